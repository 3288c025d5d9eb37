// Speed of the linear layers: GB/s of packed weights for 1 token, GOP/s (2 x multiply-adds) for more, every format.
//   bench_linear [threads] [rows] [cols] [level: portable | avx2 | avx512]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bench_support.h"
#include "huge_buffer.h"
#include "kernels.h"
#include "linear.h"
#include "linear_kernels.h"

using namespace wavekv;
using namespace wavekv_bench;

namespace {

constexpr int64_t kStreamBytes = int64_t{64} << 20;  // beyond L2; a server's L3 may still hold it, as it may a small model
constexpr int kRounds = 15;

struct BenchType {
  const char* name;
  GgmlType type;
};
constexpr BenchType kTypes[] = {{"Q4_0", GgmlType::kQ4_0}, {"Q4_1", GgmlType::kQ4_1}, {"Q5_0", GgmlType::kQ5_0},
                                {"Q5_1", GgmlType::kQ5_1}, {"Q8_0", GgmlType::kQ8_0}, {"Q4_K", GgmlType::kQ4_K},
                                {"Q5_K", GgmlType::kQ5_K}, {"Q6_K", GgmlType::kQ6_K}, {"F16", GgmlType::kF16}};

/// Seconds of the best call: other work on the machine only ever adds.
template <typename Body>
double seconds(Body&& body) {
  body();
  double times[kRounds];
  for (double& time : times) {
    const double start = wall_seconds();
    body();
    time = wall_seconds() - start;
  }
  return *std::min_element(times, times + kRounds);
}

double read_bandwidth(ThreadPool& pool) {
  HugeBuffer memory(kStreamBytes);
  memset(memory.data(), 1, static_cast<size_t>(kStreamBytes));
  const double time = seconds([&] { read_all(memory, pool); });
  return static_cast<double>(kStreamBytes) / time / 1e9;
}

double run(const PackedMatrix& w, int64_t tokens, const Kernels& kernels, ThreadPool& pool) {
  const int64_t rows = packed_rows(w), cols = packed_cols(w);
  HugeBuffer x(tokens * cols * 4), y(tokens * rows * 4);
  for (int64_t i = 0; i < tokens * cols; ++i) x.as<float>()[i] = static_cast<float>(i % 97) - 48.0f;
  auto inputs = make_activations();
  prepare_activations(x.as<float>(), cols, tokens, cols, *inputs, kernels, pool);
  return seconds([&] { linear(w, *inputs, y.as<float>(), rows, nullptr, false, kernels, pool); });
}

}  // namespace

int main(int argc, char** argv) {
  ThreadPool pool(argc > 1 ? std::atoi(argv[1]) : 0);
  const int64_t rows = argc > 2 ? std::atoll(argv[2]) : 1536;
  const int64_t cols = argc > 3 ? std::atoll(argv[3]) : 768;
  const std::string level = argc > 4 ? argv[4] : "avx512";
  Kernels kernels{};
  kernels.linear = &portable::kLinearKernels;
#if defined(__x86_64__)
  const SimdLevel detected = detect_simd_level();
  if (level == "avx2" && detected >= SimdLevel::kAvx2) kernels.linear = &avx2::kLinearKernels;
  if (level == "avx512" && detected >= SimdLevel::kAvx512) kernels.linear = &avx512::kLinearKernels;
#endif
  if (rows < 1 || cols < 256 || cols % 256 != 0) {
    std::fprintf(stderr, "cols is a positive multiple of 256\n");
    return 1;
  }
  std::printf("%d threads, read %.1f GB/s\n", pool.num_threads(), read_bandwidth(pool));
  std::printf("%-5s %10s | GOP/s at [%lld, %lld], tokens:\n", "", "1 token", static_cast<long long>(rows),
              static_cast<long long>(cols));
  std::printf("%-5s %10s %8s %8s %8s %8s %8s\n", "type", "GB/s", "2", "4", "8", "16", "256");
  for (const BenchType& type : kTypes) {
    const auto small = weight_matrix(type.type, rows, cols, pool);
    const int64_t tall_rows = kStreamBytes * rows / packed_bytes(*small);
    const auto tall = weight_matrix(type.type, tall_rows, cols, pool);
    std::printf("%-5s %10.1f", type.name, static_cast<double>(packed_bytes(*tall)) / run(*tall, 1, kernels, pool) / 1e9);
    for (const int64_t tokens : {2, 4, 8, 16, 256}) {
      const double operations = 2.0 * static_cast<double>(rows * cols * tokens);
      std::printf(" %8.0f", operations / run(*small, tokens, kernels, pool) / 1e9);
    }
    std::printf("\n");
    std::fflush(stdout);
  }
  return 0;
}
