#pragma once
// What the attention and clustering kernels need beyond vec.h: selects, logarithm, softmax exponential, transposes.
// The same rules as in vec.h: internal linkage only, no std templates.
#include "vec.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

#define WAVEKV_INLINE inline __attribute__((always_inline))

constexpr int64_t kMaxHeadDim = 256;

/// Into the second-level cache: the first level has too few outstanding misses to keep memory busy.
inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }
WAVEKV_INLINE void prefetch_bytes(const void* p, int64_t size_bytes) {
  for (int64_t i = 0; i < size_bytes; i += 64) prefetch(static_cast<const char*>(p) + i);
}
/// Prefetches one f16 row of `head_dim` elements.
WAVEKV_INLINE void prefetch_row(const uint16_t* row, int64_t head_dim) { prefetch_bytes(row, head_dim * 2); }

#if defined(__AVX512F__)

/// Lanes n and above become `fill`.
WAVEKV_INLINE Vec keep_first(Vec a, int64_t n, float fill) {
  const __mmask16 mask = n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1u);
  return {_mm512_mask_mov_ps(_mm512_set1_ps(fill), mask, a.v)};
}
/// a > b ? yes : no, lane by lane (no where either is NaN).
WAVEKV_INLINE Vec select_greater(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ), no.v, yes.v)};
}
WAVEKV_INLINE Vec load_u16(const uint16_t* p) {
  const __m256i integers = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(integers))};
}
WAVEKV_INLINE Vec load_i8(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
WAVEKV_INLINE Vec square_root(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
/// Bit i: a > b in lane i.
WAVEKV_INLINE uint32_t greater_mask(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }
/// a * 2^n, where the low bits of `rounded` hold n (see exp_at_most_0).
WAVEKV_INLINE Vec scale_by_low_bits(Vec a, Vec rounded) {
  const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(rounded.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), exponent))};
}
/// x = mantissa * 2^exponent with mantissa in [1, 2), for positive normal x.
WAVEKV_INLINE void split_exponent(Vec x, Vec& mantissa, Vec& exponent) {
  mantissa = {_mm512_getmant_ps(x.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero)};
  exponent = {_mm512_getexp_ps(x.v)};
}
/// Transposes a square of kLanes x kLanes in place.
WAVEKV_INLINE void transpose(Vec (&r)[16]) {
  __m512 t[16], u[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v);
    t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // u[i + j], lane L: column 4L + j of rows i..i+3
    const __m512d t0 = _mm512_castps_pd(t[i]), t1 = _mm512_castps_pd(t[i + 1]);
    const __m512d t2 = _mm512_castps_pd(t[i + 2]), t3 = _mm512_castps_pd(t[i + 3]);
    u[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2));
    u[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2));
    u[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3));
    u[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3));
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 even_top = _mm512_shuffle_f32x4(u[j], u[4 + j], 0x88);
    const __m512 even_bottom = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0x88);
    const __m512 odd_top = _mm512_shuffle_f32x4(u[j], u[4 + j], 0xdd);
    const __m512 odd_bottom = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0xdd);
    r[j].v = _mm512_shuffle_f32x4(even_top, even_bottom, 0x88);
    r[4 + j].v = _mm512_shuffle_f32x4(odd_top, odd_bottom, 0x88);
    r[8 + j].v = _mm512_shuffle_f32x4(even_top, even_bottom, 0xdd);
    r[12 + j].v = _mm512_shuffle_f32x4(odd_top, odd_bottom, 0xdd);
  }
}

#elif defined(__AVX2__)

WAVEKV_INLINE Vec keep_first(Vec a, int64_t n, float fill) {
  const __m256 lane = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7);
  const float bound = n >= 8 ? 8.0f : n <= 0 ? 0.0f : static_cast<float>(n);
  return {_mm256_blendv_ps(_mm256_set1_ps(fill), a.v, _mm256_cmp_ps(lane, _mm256_set1_ps(bound), _CMP_LT_OQ))};
}
WAVEKV_INLINE Vec select_greater(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm256_blendv_ps(no.v, yes.v, _mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ))};
}
WAVEKV_INLINE Vec load_u16(const uint16_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
WAVEKV_INLINE Vec load_i8(const int8_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
WAVEKV_INLINE Vec square_root(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
WAVEKV_INLINE uint32_t greater_mask(Vec a, Vec b) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)));
}
WAVEKV_INLINE Vec scale_by_low_bits(Vec a, Vec rounded) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(rounded.v), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), exponent))};
}
WAVEKV_INLINE void split_exponent(Vec x, Vec& mantissa, Vec& exponent) {
  const __m256i bits = _mm256_castps_si256(x.v);
  exponent = {_mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(127)))};
  mantissa = {_mm256_castsi256_ps(_mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)),
                                                  _mm256_set1_epi32(0x3f800000)))};
}
WAVEKV_INLINE void transpose(Vec (&r)[8]) {
  __m256 t[8], u[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i].v, r[2 * i + 1].v);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i].v, r[2 * i + 1].v);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    const __m256d t0 = _mm256_castps_pd(t[i]), t1 = _mm256_castps_pd(t[i + 1]);
    const __m256d t2 = _mm256_castps_pd(t[i + 2]), t3 = _mm256_castps_pd(t[i + 3]);
    u[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(t0, t2));
    u[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(t0, t2));
    u[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(t1, t3));
    u[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(t1, t3));
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    r[j].v = _mm256_permute2f128_ps(u[j], u[4 + j], 0x20);
    r[4 + j].v = _mm256_permute2f128_ps(u[j], u[4 + j], 0x31);
  }
}

#else

WAVEKV_INLINE Vec keep_first(Vec a, int64_t n, float fill) {
  for (int i = 0; i < 4; ++i) a.v[i] = i < n ? a.v[i] : fill;
  return a;
}
WAVEKV_INLINE Vec select_greater(Vec a, Vec b, Vec yes, Vec no) {
  return {a.v > b.v ? yes.v : no.v};
}
WAVEKV_INLINE Vec load_u16(const uint16_t* p) {
  Vec r;
  for (int i = 0; i < 4; ++i) r.v[i] = static_cast<float>(p[i]);
  return r;
}
WAVEKV_INLINE Vec load_i8(const int8_t* p) {
  Vec r;
  for (int i = 0; i < 4; ++i) r.v[i] = static_cast<float>(p[i]);
  return r;
}
WAVEKV_INLINE Vec square_root(Vec a) {
  for (int i = 0; i < 4; ++i) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
}
WAVEKV_INLINE uint32_t greater_mask(Vec a, Vec b) {
  uint32_t mask = 0;
  for (int i = 0; i < 4; ++i) mask |= static_cast<uint32_t>(a.v[i] > b.v[i]) << i;
  return mask;
}
WAVEKV_INLINE Vec scale_by_low_bits(Vec a, Vec rounded) { return {(Lanes)((Bits)a.v + ((Bits)rounded.v << 23))}; }
WAVEKV_INLINE void split_exponent(Vec x, Vec& mantissa, Vec& exponent) {
  const Bits bits = (Bits)x.v;
  for (int i = 0; i < 4; ++i) exponent.v[i] = static_cast<float>(static_cast<int32_t>(bits[i] >> 23) - 127);
  mantissa.v = (Lanes)((bits & 0x007fffffu) | 0x3f800000u);
}
WAVEKV_INLINE void transpose(Vec (&r)[4]) {
  for (int i = 0; i < 4; ++i) {
    for (int j = i + 1; j < 4; ++j) {
      const float swapped = r[i].v[j];
      r[i].v[j] = r[j].v[i];
      r[j].v[i] = swapped;
    }
  }
}

#endif

/// 0, 1, 2, ...
WAVEKV_INLINE Vec lane_numbers() {
  alignas(64) static constexpr float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load(numbers);
}

/// ln(x) for positive normal x, relative error below 1e-6 away from 1 (absolute 1e-7 near it).
inline Vec log(Vec x) {
  Vec mantissa, exponent;
  split_exponent(x, mantissa, exponent);
  const Vec root2 = broadcast(1.41421356237f), one = broadcast(1.0f), zero = broadcast(0.0f);
  exponent = exponent + select_greater(mantissa, root2, one, zero);
  mantissa = mantissa * select_greater(mantissa, root2, broadcast(0.5f), one);
  const Vec r = mantissa - one, r2 = r * r;
  Vec p = broadcast(7.0376836292e-2f);
  p = fma(p, r, broadcast(-1.1514610310e-1f));
  p = fma(p, r, broadcast(1.1676998740e-1f));
  p = fma(p, r, broadcast(-1.2420140846e-1f));
  p = fma(p, r, broadcast(1.4249322787e-1f));
  p = fma(p, r, broadcast(-1.6668057665e-1f));
  p = fma(p, r, broadcast(2.0000714765e-1f));
  p = fma(p, r, broadcast(-2.4999993993e-1f));
  p = fma(p, r, broadcast(3.3333331174e-1f));
  Vec y = p * r * r2;
  y = fma(exponent, broadcast(-2.12194440e-4f), y);
  y = fma(r2, broadcast(-0.5f), y);
  return fma(exponent, broadcast(0.693359375f), r + y);
}

/// exp(x) for x <= 0, for softmax weights: absolute error below 2e-7; x below -86 gives about 1e-38.
/// 2^t with t = n + r: adding 1.5 * 2^23 rounds t to the integer n and leaves n in the low bits.
WAVEKV_INLINE Vec exp_at_most_0(Vec x) {
  const Vec magic = broadcast(12582912.0f);
  const Vec t = max(x * broadcast(1.44269504088896341f), broadcast(-125.0f));
  const Vec rounded = t + magic;
  const Vec r = t - (rounded - magic);
  Vec p = broadcast(1.54035304e-4f);  // ln(2)^k / k!
  p = fma(p, r, broadcast(1.33335581e-3f));
  p = fma(p, r, broadcast(9.61812911e-3f));
  p = fma(p, r, broadcast(5.55041087e-2f));
  p = fma(p, r, broadcast(2.40226507e-1f));
  p = fma(p, r, broadcast(6.93147181e-1f));
  p = fma(p, r, broadcast(1.0f));
  return scale_by_low_bits(p, rounded);
}

/// exp of one number; as exp(Vec), not below exp(-87).
inline float exp_one(float x) {
  float lanes[kLanes];
  store(lanes, exp(broadcast(x)));
  return lanes[0];
}

inline float sqrt_one(float x) { return __builtin_sqrtf(x); }

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
