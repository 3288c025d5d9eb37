#pragma once
// Naive float64 attention and f16 conversion for the kernel tests.
#include <cstdint>
#include <vector>

#include "check.h"
#include "kernels.h"

namespace wavekv_test {

using wavekv::AttentionState;
using wavekv::Kernels;
using wavekv::KvRange;
using wavekv::SimdLevel;
using wavekv::kNoMass;

inline double half_value(uint16_t h) {
  const int exponent = (h >> 10) & 31, mantissa = h & 1023;
  const double magnitude =
      exponent == 31  ? (mantissa == 0 ? HUGE_VAL : NAN)
      : exponent == 0 ? std::ldexp(mantissa, -24)
                      : std::ldexp(1024 + mantissa, exponent - 25);
  return (h & 0x8000) != 0 ? -magnitude : magnitude;
}

/// Nearest half of a number in f16's finite range.
inline uint16_t half_of(double x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  exponent = exponent - 1 < -14 ? -14 : exponent - 1;
  const int scaled = static_cast<int>(std::nearbyint(std::ldexp(std::fabs(x), 10 - exponent)));
  const int bits = exponent == -14 && scaled < 1024 ? scaled : ((exponent + 15) << 10) + scaled - 1024;
  return static_cast<uint16_t>(bits | (x < 0 ? 0x8000 : 0));
}

inline std::vector<uint16_t> random_halves(Random& random, int64_t n, double scale) {
  std::vector<uint16_t> x(static_cast<size_t>(n));
  for (uint16_t& h : x) h = half_of(random.normal() * scale);
  return x;
}

inline std::vector<float> random_floats(Random& random, int64_t n, double scale) {
  std::vector<float> x(static_cast<size_t>(n));
  for (float& value : x) value = static_cast<float>(random.normal() * scale);
  return x;
}

/// Every level that this CPU runs.
inline std::vector<const Kernels*> levels() {
  std::vector<const Kernels*> all;
  for (SimdLevel level : {SimdLevel::kPortable, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    if (level <= wavekv::detect_simd_level()) all.push_back(&wavekv::kernels_for(level));
  }
  return all;
}

/// A state that owns its arrays.
struct State {
  std::vector<float> out, max, denominator;
  State(int64_t num_queries, int64_t head_dim)
      : out(static_cast<size_t>(num_queries * head_dim)),
        max(static_cast<size_t>(num_queries), kNoMass),
        denominator(static_cast<size_t>(num_queries)) {}
  AttentionState view() { return {out.data(), max.data(), denominator.data()}; }
};

/// sum of w v, and sum of w, relative to exp(max), of one query; all terms are kept as (log weight, vector).
struct Reference {
  std::vector<double> logs;
  std::vector<std::vector<double>> vectors;
  void add(double log_weight, const uint16_t* vector, int64_t head_dim, double factor = 1) {
    logs.push_back(log_weight);
    std::vector<double> v(static_cast<size_t>(head_dim));
    for (int64_t i = 0; i < head_dim; ++i) v[static_cast<size_t>(i)] = half_value(vector[i]) * factor;
    vectors.push_back(std::move(v));
  }
  double log_total() const {
    double top = -1e300, total = 0;
    for (double x : logs) top = x > top ? x : top;
    for (double x : logs) total += std::exp(x - top);
    return logs.empty() ? -1e300 : top + std::log(total);
  }
  std::vector<double> output(int64_t head_dim) const {
    std::vector<double> out(static_cast<size_t>(head_dim), 0.0);
    const double total = log_total();
    for (size_t t = 0; t < logs.size(); ++t) {
      for (size_t i = 0; i < out.size(); ++i) out[i] += std::exp(logs[t] - total) * vectors[t][i];
    }
    return out;
  }
};

inline double dot_half(const float* q, const uint16_t* k, int64_t head_dim) {
  double total = 0;
  for (int64_t i = 0; i < head_dim; ++i) total += static_cast<double>(q[i]) * half_value(k[i]);
  return total;
}

/// Finished output and log-sum-exp of one query against the reference.
inline void check_state(const Kernels& kernels, State& state, int64_t query, int64_t head_dim,
                        const Reference& reference, double tolerance) {
  const int64_t num_queries = static_cast<int64_t>(state.max.size());
  std::vector<float> out(state.out.size(), -7.0f);
  kernels.finish_state(num_queries, head_dim, state.view(), out.data());
  const std::vector<double> expected = reference.output(head_dim);
  double size = 1e-3;
  for (double x : expected) size = std::fabs(x) > size ? std::fabs(x) : size;
  for (int64_t i = 0; i < head_dim; ++i) {
    CHECK_NEAR(out[static_cast<size_t>(query * head_dim + i)], expected[static_cast<size_t>(i)], tolerance * size, 0);
  }
  if (reference.logs.empty()) {
    CHECK(state.max[static_cast<size_t>(query)] == kNoMass && state.denominator[static_cast<size_t>(query)] == 0.0f);
  } else {
    const double log_total = state.max[static_cast<size_t>(query)] + std::log(state.denominator[static_cast<size_t>(query)]);
    CHECK_NEAR(log_total, reference.log_total(), 1e-4, 1e-6);
  }
}

}  // namespace wavekv_test
