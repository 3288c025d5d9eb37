#pragma once
// Weighted sums of int8 rows. With VNNI the weights are rounded to 16 bits of the block's largest and the products are
// integers; elsewhere rows are widened to f32.
#include "attention_rows.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

#if defined(__AVX512F__)

constexpr int64_t kRowBytes = 64;       // dims of one pass
constexpr float kWeightRange = 65280.0f;  // 255 in the high byte
constexpr int kSumQueries = 3;          // queries whose sums fit the registers: 8 each

/// Up to 64 dims of a block's rows, four rows at a time, as vpdpbusd takes them: [row / 4][4][64].
struct InterleavedBytes {
  alignas(64) int8_t bytes[kBlockRows * kRowBytes];
};

WAVEKV_INLINE void interleave_bytes(const int8_t* const* rows, int64_t n, int64_t offset, int64_t dims,
                                    InterleavedBytes& out) {
  const __mmask64 mask = dims >= kRowBytes ? ~__mmask64{0} : (__mmask64{1} << dims) - 1;
  for (int64_t t = 0; t < n; t += 4) {
    __m512i r[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) r[j] = _mm512_maskz_loadu_epi8(mask, rows[t + j] + offset);
    const __m512i lo01 = _mm512_unpacklo_epi8(r[0], r[1]), hi01 = _mm512_unpackhi_epi8(r[0], r[1]);
    const __m512i lo23 = _mm512_unpacklo_epi8(r[2], r[3]), hi23 = _mm512_unpackhi_epi8(r[2], r[3]);
    int8_t* target = out.bytes + t * kRowBytes;
    _mm512_store_si512(target, _mm512_unpacklo_epi16(lo01, lo23));
    _mm512_store_si512(target + kRowBytes, _mm512_unpackhi_epi16(lo01, lo23));
    _mm512_store_si512(target + 2 * kRowBytes, _mm512_unpacklo_epi16(hi01, hi23));
    _mm512_store_si512(target + 3 * kRowBytes, _mm512_unpackhi_epi16(hi01, hi23));
  }
}

/// The weights of one query, rounded: unit * (256 * high + low).
struct RoundedWeights {
  alignas(64) uint8_t high[kBlockRows], low[kBlockRows];
  float unit;
};

WAVEKV_INLINE void round_weights(const float* weights, int64_t n, RoundedWeights& out) {
  __m512 top = _mm512_setzero_ps();
  for (int64_t t = 0; t < n; t += 16) top = _mm512_max_ps(top, keep_first({_mm512_loadu_ps(weights + t)}, n - t, 0.0f).v);
  const float most = _mm512_reduce_max_ps(top);
  const __m512 inverse = _mm512_set1_ps(most > 0 ? kWeightRange / most : 0.0f);
  for (int64_t t = 0; t < kBlockRows; t += 16) {
    const __m512 w = t < n ? keep_first({_mm512_loadu_ps(weights + t)}, n - t, 0.0f).v : _mm512_setzero_ps();
    const __m512i x = _mm512_cvtps_epi32(_mm512_mul_ps(w, inverse));
    _mm_store_si128(reinterpret_cast<__m128i*>(out.high + t), _mm512_cvtepi32_epi8(_mm512_srli_epi32(x, 8)));
    _mm_store_si128(reinterpret_cast<__m128i*>(out.low + t), _mm512_cvtepi32_epi8(x));
  }
  out.unit = most / kWeightRange;
}

WAVEKV_INLINE __m512i four_weights(const uint8_t* p) {
  int32_t four;
  memcpy(&four, p, 4);
  return _mm512_set1_epi32(four);
}

/// out[0..dims) = that * scale + unit * sums; sums[k]: dims 16 L + 4 k .. + 3 in group L of four lanes.
WAVEKV_INLINE void add_sums(const __m512i (&sums)[4], float unit, float scale, int64_t dims, float* out) {
  const __m512i even_low = _mm512_shuffle_i32x4(sums[0], sums[1], 0x44), even_high = _mm512_shuffle_i32x4(sums[2], sums[3], 0x44);
  const __m512i odd_low = _mm512_shuffle_i32x4(sums[0], sums[1], 0xee), odd_high = _mm512_shuffle_i32x4(sums[2], sums[3], 0xee);
  const __m512i natural[4] = {
      _mm512_shuffle_i32x4(even_low, even_high, 0x88), _mm512_shuffle_i32x4(even_low, even_high, 0xdd),
      _mm512_shuffle_i32x4(odd_low, odd_high, 0x88), _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd)};
#pragma GCC unroll 4
  for (int g = 0; g < 4; ++g) {
    if (g * 16 >= dims) break;
    float* target = out + g * 16;
    const __m512 old = _mm512_mul_ps(_mm512_loadu_ps(target), _mm512_set1_ps(scale));
    _mm512_storeu_ps(target, _mm512_fmadd_ps(_mm512_cvtepi32_ps(natural[g]), _mm512_set1_ps(unit), old));
  }
}

template <int R>
WAVEKV_INLINE void sum_bytes(const RoundedWeights* weights, const float* scale, const InterleavedBytes& rows, int64_t n,
                             int64_t dims, int64_t head_dim, float* out) {
  __m512i high[R][4], low[R][4];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) high[r][k] = low[r][k] = _mm512_setzero_si512();
  }
  for (int64_t t = 0; t < n; t += 4) {
    __m512i x[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) x[k] = _mm512_load_si512(rows.bytes + (t + k) * kRowBytes);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const __m512i h = four_weights(weights[r].high + t), l = four_weights(weights[r].low + t);
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        high[r][k] = _mm512_dpbusd_epi32(high[r][k], h, x[k]);
        low[r][k] = _mm512_dpbusd_epi32(low[r][k], l, x[k]);
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    __m512i sums[4];
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) sums[k] = _mm512_add_epi32(_mm512_slli_epi32(high[r][k], 8), low[r][k]);
    add_sums(sums, weights[r].unit, scale[r], dims, out + r * head_dim);
  }
}

/// out[a] = that * scale[a] + sum over t of weights[a, t] * rows[t]; rows are padded to a multiple of 4, weights are >= 0.
template <int NQ, int HD>
WAVEKV_INLINE void add_values_i8(const float* weights, const float* scale, const int8_t* const* rows, int64_t n,
                                 int64_t head_dim, float* out) {
  const int64_t d = HD > 0 ? HD : head_dim;
  RoundedWeights rounded[NQ];
  for (int a = 0; a < NQ; ++a) round_weights(weights + a * kBlockRows, n, rounded[a]);
  InterleavedBytes bytes;
  for (int64_t offset = 0; offset < d; offset += kRowBytes) {
    const int64_t dims = d - offset;
    interleave_bytes(rows, n, offset, dims, bytes);
    int a = 0;
    for (; a + kSumQueries <= NQ; a += kSumQueries) {
      sum_bytes<kSumQueries>(rounded + a, scale + a, bytes, n, dims, d, out + a * d + offset);
    }
    if constexpr (NQ % kSumQueries != 0) {
      sum_bytes<NQ % kSumQueries>(rounded + a, scale + a, bytes, n, dims, d, out + a * d + offset);
    }
  }
}

#else

template <int NQ, int HD>
WAVEKV_INLINE void add_values_i8(const float* weights, const float* scale, const int8_t* const* rows, int64_t n,
                                 int64_t head_dim, float* out) {
  add_values<NQ, HD, int8_t>(weights, scale, rows, n, nullptr, head_dim, out);
}

#endif

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
