#pragma once
// Random matrices in the file's formats, and the naive products that test_linear.cpp compares with.
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "ggml_types.h"
#include "linear_kernels.h"

namespace wavekv_test {

using wavekv::GgmlType;

struct TypeCase {
  const char* name;
  GgmlType type;
  bool quantised;
};
constexpr TypeCase kTypes[] = {
    {"Q4_0", GgmlType::kQ4_0, true}, {"Q4_1", GgmlType::kQ4_1, true}, {"Q5_0", GgmlType::kQ5_0, true},
    {"Q5_1", GgmlType::kQ5_1, true}, {"Q8_0", GgmlType::kQ8_0, true}, {"Q4_K", GgmlType::kQ4_K, true},
    {"Q5_K", GgmlType::kQ5_K, true}, {"Q6_K", GgmlType::kQ6_K, true}, {"F32", GgmlType::kF32, false},
    {"F16", GgmlType::kF16, false},  {"BF16", GgmlType::kBF16, false}};

/// A random half of 2^-12 .. 2^-3 with any mantissa; negative where asked, at random.
inline uint16_t random_half(Random& random, bool signed_too) {
  const int64_t exponent = 3 + random.below(9), mantissa = random.below(1024);
  const int64_t sign = signed_too ? random.below(2) : 0;
  return static_cast<uint16_t>(sign << 15 | exponent << 10 | mantissa);
}

/// Random blocks of `type`: every bit of the quantised values and of the small scales is random, f16 fields are ordinary.
inline std::vector<uint8_t> random_weights(GgmlType type, int64_t count, Random& random) {
  const wavekv::GgmlTypeInfo& info = *wavekv::ggml_type_info(static_cast<uint32_t>(type));
  const int64_t num_blocks = count / info.block_values;
  std::vector<uint8_t> data(static_cast<size_t>(num_blocks * info.block_bytes));
  for (uint8_t& byte : data) byte = static_cast<uint8_t>(random.below(256));
  for (int64_t b = 0; b < num_blocks; ++b) {
    uint8_t* block = data.data() + b * info.block_bytes;
    const auto put_half = [&](int64_t offset) {
      const uint16_t half = random_half(random, true);
      memcpy(block + offset, &half, 2);
    };
    switch (type) {
      case GgmlType::kF32: {
        const float value = static_cast<float>(random.normal());
        memcpy(block, &value, 4);
        break;
      }
      case GgmlType::kBF16: block[1] = static_cast<uint8_t>((block[1] & 0x80) | 0x3e); break;
      case GgmlType::kQ6_K: put_half(208); break;
      case GgmlType::kF16:
      case GgmlType::kQ4_0:
      case GgmlType::kQ5_0:
      case GgmlType::kQ8_0: put_half(0); break;
      default:
        put_half(0);
        put_half(2);
    }
  }
  return data;
}

inline std::vector<float> dequantized(GgmlType type, const std::vector<uint8_t>& data, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  wavekv::dequantize(type, data.data(), count, values.data());
  return values;
}

/// x as the quantised kernels see it: q * scale, in float64. One token.
inline std::vector<double> as_quantised(const wavekv::LinearKernels& kernels, const float* x, int64_t num_cols) {
  const int64_t num_blocks = num_cols / 32;
  std::vector<int8_t> q(static_cast<size_t>(num_cols));
  std::vector<float> scales(static_cast<size_t>(num_blocks)), scaled(static_cast<size_t>(num_blocks));
  std::vector<int32_t> sums(static_cast<size_t>(num_blocks)), halves(static_cast<size_t>(2 * num_blocks));
  kernels.quantize_row(x, num_cols, {q.data(), scales.data(), scaled.data(), sums.data(), halves.data()});
  std::vector<double> out(static_cast<size_t>(num_cols));
  for (int64_t c = 0; c < num_cols; ++c) {
    out[static_cast<size_t>(c)] = static_cast<double>(q[static_cast<size_t>(c)]) * scales[static_cast<size_t>(c / 32)];
  }
  return out;
}

/// sum of w x and of |w x| over a row.
struct Product {
  double value, magnitude;
};
inline Product product(const float* w, const double* x, int64_t num_cols) {
  Product sum{0, 0};
  for (int64_t c = 0; c < num_cols; ++c) {
    sum.value += w[c] * x[c];
    sum.magnitude += std::fabs(w[c] * x[c]);
  }
  return sum;
}

}  // namespace wavekv_test
