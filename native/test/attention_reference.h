#pragma once
// Naive float64 attention and f16 conversion for the kernel tests.
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "kernels.h"

namespace wavekv_test {

using wavekv::AttentionState;
using wavekv::Kernels;
using wavekv::KvRange;
using wavekv::KvType;
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
  void add(double log_weight, std::vector<double> vector) {
    logs.push_back(log_weight);
    vectors.push_back(std::move(vector));
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

inline std::vector<double> half_vector(const uint16_t* x, int64_t n) {
  std::vector<double> result;
  for (int64_t i = 0; i < n; ++i) result.push_back(half_value(x[i]));
  return result;
}

/// scale * x + centre, f16 [n] or null.
inline std::vector<double> i8_vector(const int8_t* x, double scale, const uint16_t* centre, int64_t n) {
  std::vector<double> result;
  for (int64_t i = 0; i < n; ++i) result.push_back(scale * x[i] + (centre == nullptr ? 0.0 : half_value(centre[i])));
  return result;
}

inline double dot(const float* q, const std::vector<double>& x) {
  double total = 0;
  for (size_t i = 0; i < x.size(); ++i) total += static_cast<double>(q[i]) * x[i];
  return total;
}

/// Keys and values in arrays of their own, f16 [numTokens, headDim], as the tail of a sequence has them.
inline KvRange f16_range(const uint16_t* keys, const uint16_t* values, int64_t head_dim, int64_t num_tokens) {
  return {KvType::kF16, reinterpret_cast<const uint8_t*>(keys), reinterpret_cast<const uint8_t*>(values), 2 * head_dim,
          num_tokens, nullptr};
}

/// One token of a range as KvRange defines it, in float64.
struct Token {
  std::vector<double> key, value;
};
inline Token read_token(const KvRange& range, int64_t t, int64_t head_dim) {
  const uint8_t* key = range.keys + t * range.stride;
  if (range.type == KvType::kF16) {
    const uint8_t* value = range.values + t * range.stride;
    return {half_vector(reinterpret_cast<const uint16_t*>(key), head_dim),
            half_vector(reinterpret_cast<const uint16_t*>(value), head_dim)};
  }
  const int8_t* bytes = reinterpret_cast<const int8_t*>(key);
  float scales[2];
  memcpy(scales, key + 2 * head_dim, sizeof scales);
  return {i8_vector(bytes, static_cast<double>(scales[0]), range.centre, head_dim),
          i8_vector(bytes + head_dim, static_cast<double>(scales[1]), nullptr, head_dim)};
}

/// Adds the first `num_tokens` of a range, each read in float64, under one query.
inline void add_tokens(Reference& reference, const float* q, const KvRange& range, int64_t num_tokens,
                       int64_t head_dim) {
  for (int64_t t = 0; t < num_tokens; ++t) {
    Token token = read_token(range, t, head_dim);
    reference.add(dot(q, token.key), std::move(token.value));
  }
}

/// Finished output and log-sum-exp of one query against the reference. tolerance: of the output, relative to its largest
/// element; mass_tolerance: absolute, of the log of the mass.
inline void check_state(const Kernels& kernels, State& state, int64_t query, int64_t head_dim,
                        const Reference& reference, double tolerance, double mass_tolerance = 1e-4) {
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
    CHECK_NEAR(log_total, reference.log_total(), mass_tolerance, 1e-6);
  }
}

}  // namespace wavekv_test
