#pragma once
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// A small harness: TEST(name) { ... CHECK(...); } in a file with TEST_MAIN() at its end.
namespace wavekv_test {

struct Case {
  const char* name;
  std::function<void()> body;
};
inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
struct Registration {
  Registration(const char* name, std::function<void()> body) { cases().push_back({name, std::move(body)}); }
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& what) {
  std::ostringstream message;
  message << file << ":" << line << ": " << what;
  throw std::runtime_error(message.str());
}

inline void check_near(double actual, double expected, double absolute, double relative, const char* file, int line,
                       const std::string& what) {
  const double tolerance = absolute + relative * std::fabs(expected);
  if (!(std::fabs(actual - expected) <= tolerance)) {
    std::ostringstream message;
    message.precision(9);
    message << what << ": got " << actual << ", expected " << expected << " within " << tolerance;
    fail(file, line, message.str());
  }
}

inline int run_all() {
  int passed = 0, failed = 0;
  for (const Case& test : cases()) {
    try {
      test.body();
      ++passed;
    } catch (const std::exception& error) {
      ++failed;
      std::printf("FAILED %s\n  %s\n", test.name, error.what());
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

/// Deterministic generator (xorshift64*), the same on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2685821657736338717ULL + 1) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 2685821657736338717ULL;
  }
  double uniform() { return static_cast<double>(next() >> 11) * (1.0 / 9007199254740992.0); }
  double normal() {
    const double u = uniform() + 1e-300, v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(next() % static_cast<uint64_t>(n)); }

 private:
  uint64_t state_;
};

}  // namespace wavekv_test

#define TEST(name)                                                              \
  static void test_##name();                                                    \
  static wavekv_test::Registration registration_##name(#name, test_##name);     \
  static void test_##name()
#define CHECK(condition) \
  do { if (!(condition)) wavekv_test::fail(__FILE__, __LINE__, "not true: " #condition); } while (0)
#define CHECK_NEAR(actual, expected, absolute, relative) \
  wavekv_test::check_near(actual, expected, absolute, relative, __FILE__, __LINE__, #actual)
#define TEST_MAIN() \
  int main() { return wavekv_test::run_all(); }
