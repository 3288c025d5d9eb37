// Quantising the inputs of linear layers, and the table of their kernels.
#include "linear_formats.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr float kSmallest = 1e-30f;  // below it 127 / max |x| nears the end of the f32 range

/// Sums of the quantised values of a block's two halves.
struct HalfSums {
  int32_t first, second;
};

// largest(x): the largest |x| of a block, compared as integers, so that a NaN (all exponent bits set) is the largest.
// round_block(x, inverse, q): q = x * inverse to the nearest integer, ties to even. Products are below 127.5, or the block
// holds a NaN or an infinity and any q will do.

#if defined(__AVX512VNNI__)

inline float largest(const float* x) {
  const __m512i mask = _mm512_set1_epi32(0x7fffffff);
  const __m512i a = _mm512_and_si512(_mm512_loadu_si512(x), mask);
  const __m512i b = _mm512_and_si512(_mm512_loadu_si512(x + 16), mask);
  const int32_t bits = _mm512_reduce_max_epi32(_mm512_max_epi32(a, b));
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

inline HalfSums round_block(const float* x, float inverse, int8_t* q) {
  const __m512 factor = _mm512_set1_ps(inverse);
  const __m128i first = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), factor)));
  const __m128i second = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16), factor)));
  const __m256i all = _mm256_set_m128i(second, first);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), all);
  __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), all);
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xb1));
  return {_mm256_extract_epi32(sums, 0), _mm256_extract_epi32(sums, 4)};
}

#elif defined(__AVX2__)

inline float largest(const float* x) {
  __m256i top = _mm256_setzero_si256();
  for (int i = 0; i < 32; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
    top = _mm256_max_epi32(top, _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)));
  }
  __m128i half = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  const int32_t bits = _mm_cvtsi128_si32(half);
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

/// Sixteen values to bytes; their sum.
inline int32_t round_half(const float* x, float inverse, int8_t* q) {
  const __m256 factor = _mm256_set1_ps(inverse);
  const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), factor));
  const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), factor));
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
  const __m128i low = _mm256_castsi256_si128(words), high = _mm256_extracti128_si256(words, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm_packs_epi16(low, high));
  __m128i sums = _mm_madd_epi16(_mm_add_epi16(low, high), _mm_set1_epi16(1));
  sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0x4e));
  sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0xb1));
  return _mm_cvtsi128_si32(sums);
}

inline HalfSums round_block(const float* x, float inverse, int8_t* q) {
  return {round_half(x, inverse, q), round_half(x + 16, inverse, q + 16)};
}

#else

inline float largest(const float* x) {
  int32_t top = 0;
  for (int i = 0; i < 32; ++i) {
    int32_t bits;
    memcpy(&bits, x + i, 4);
    bits &= 0x7fffffff;
    top = bits > top ? bits : top;
  }
  float value;
  memcpy(&value, &top, 4);
  return value;
}

inline int32_t round_half(const float* x, float inverse, int8_t* q) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) {
    const float shifted = x[i] * inverse + kRound;
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    q[i] = static_cast<int8_t>(bits);
    sum += q[i];
  }
  return sum;
}

inline HalfSums round_block(const float* x, float inverse, int8_t* q) {
  return {round_half(x, inverse, q), round_half(x + 16, inverse, q + 16)};
}

#endif

void quantize_row(const float* x, int64_t num_cols, QuantizedRow out) {
  for (int64_t b = 0; b < num_cols / kBlockCols; ++b) {
    const float top = largest(x + b * kBlockCols);
    const bool tiny = top < kSmallest;
    const float inverse = tiny ? 0.0f : 127.0f / top;
    const float broken = top - top;  // NaN where a value is not finite, else 0
    const float scale = (tiny ? 0.0f : top * (1.0f / 127.0f)) + broken;
    const HalfSums sums = round_block(x + b * kBlockCols, inverse, out.q + b * kBlockCols);
    out.scales[b] = scale;
    out.scaled_sums[b] = scale * static_cast<float>(sums.first + sums.second);
    out.negative_sums[b] = -(sums.first + sums.second);
    out.negative_halves[2 * b] = -sums.first;
    out.negative_halves[2 * b + 1] = -sums.second;
  }
}

}  // namespace

const LinearKernels kLinearKernels = {
    quantize_row, few_quantized, many_quantized, many_scratch_bytes, 4,
};

}  // namespace WAVEKV_ISA
}  // namespace wavekv
