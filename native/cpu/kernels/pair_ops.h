#pragma once
// Pairs of 16-bit integers in 32-bit lanes, and their products: twice the multiplications of an f32 vector.
#include "vec_ops.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

/// kLanes lanes of 32 bits: an integer, or two 16-bit integers (the first in the low half).
#if defined(__AVX512F__)

struct Pairs {
  __m512i v;
};
WAVEKV_INLINE Pairs zero_pairs() { return {_mm512_setzero_si512()}; }
WAVEKV_INLINE Pairs load_pairs(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
WAVEKV_INLINE void store_pairs(int32_t* p, Pairs a) { _mm512_storeu_si512(p, a.v); }
WAVEKV_INLINE Pairs broadcast_pair(int32_t x) { return {_mm512_set1_epi32(x)}; }
/// sum + a.low * b.low + a.high * b.high
/// As an instruction: around the intrinsic g++ 12 copies and spills the accumulators of a whole register tile.
WAVEKV_INLINE Pairs add_products(Pairs sum, Pairs a, Pairs b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum.v) : "v"(a.v), "v"(b.v));
  return sum;
}
WAVEKV_INLINE Vec to_float(Pairs a) { return {_mm512_cvtepi32_ps(a.v)}; }
/// The nearest integers.
WAVEKV_INLINE Pairs to_integers(Vec a) { return {_mm512_cvtps_epi32(a.v)}; }
/// Pairs of two vectors of integers in the range of 16 bits.
WAVEKV_INLINE Pairs pair_up(Pairs low, Pairs high) {
  return {_mm512_mask_blend_epi16(0xaaaaaaaau, low.v, _mm512_slli_epi32(high.v, 16))};
}
/// Stores kLanes integers in the range of 16 bits.
WAVEKV_INLINE void store_narrow(int16_t* p, Pairs a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}
WAVEKV_INLINE Pairs load_integers(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
WAVEKV_INLINE Vec absolute(Vec a) { return {_mm512_abs_ps(a.v)}; }

#elif defined(__AVX2__)

struct Pairs {
  __m256i v;
};
WAVEKV_INLINE Pairs zero_pairs() { return {_mm256_setzero_si256()}; }
WAVEKV_INLINE Pairs load_pairs(const int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
WAVEKV_INLINE void store_pairs(int32_t* p, Pairs a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
WAVEKV_INLINE Pairs broadcast_pair(int32_t x) { return {_mm256_set1_epi32(x)}; }
WAVEKV_INLINE Pairs add_products(Pairs sum, Pairs a, Pairs b) {
  return {_mm256_add_epi32(sum.v, _mm256_madd_epi16(a.v, b.v))};
}
WAVEKV_INLINE Vec to_float(Pairs a) { return {_mm256_cvtepi32_ps(a.v)}; }
WAVEKV_INLINE Pairs to_integers(Vec a) { return {_mm256_cvtps_epi32(a.v)}; }
WAVEKV_INLINE Pairs pair_up(Pairs low, Pairs high) {
  return {_mm256_blend_epi16(low.v, _mm256_slli_epi32(high.v, 16), 0xaa)};
}
WAVEKV_INLINE void store_narrow(int16_t* p, Pairs a) {
  const __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow);
}
WAVEKV_INLINE Pairs load_integers(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
WAVEKV_INLINE Vec absolute(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }

#else

struct Pairs {
  Integers v;
};
WAVEKV_INLINE Pairs zero_pairs() { return {Integers{0, 0, 0, 0}}; }
WAVEKV_INLINE Pairs load_pairs(const int32_t* p) {
  Pairs a;
  memcpy(&a, p, sizeof a);
  return a;
}
WAVEKV_INLINE void store_pairs(int32_t* p, Pairs a) { memcpy(p, &a, sizeof a); }
WAVEKV_INLINE Pairs broadcast_pair(int32_t x) { return {Integers{x, x, x, x}}; }
WAVEKV_INLINE Pairs add_products(Pairs sum, Pairs a, Pairs b) {
  const Integers low = ((a.v << 16) >> 16) * ((b.v << 16) >> 16);
  return {sum.v + low + (a.v >> 16) * (b.v >> 16)};
}
WAVEKV_INLINE Vec to_float(Pairs a) {
  Vec r;
  for (int i = 0; i < 4; ++i) r.v[i] = static_cast<float>(a.v[i]);
  return r;
}
WAVEKV_INLINE Pairs to_integers(Vec a) {
  const Vec rounded = round_nearest(a);
  Pairs r;
  for (int i = 0; i < 4; ++i) r.v[i] = static_cast<int32_t>(rounded.v[i]);
  return r;
}
WAVEKV_INLINE Pairs pair_up(Pairs low, Pairs high) { return {(low.v & 0xffff) | (high.v << 16)}; }
WAVEKV_INLINE void store_narrow(int16_t* p, Pairs a) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<int16_t>(a.v[i]);
}
WAVEKV_INLINE Pairs load_integers(const int8_t* p) { return {Integers{p[0], p[1], p[2], p[3]}}; }
WAVEKV_INLINE Vec absolute(Vec a) { return max(a, broadcast(0.0f) - a); }

#endif

/// wide[0..16) = narrow[0..16)
WAVEKV_INLINE void widen_16(const int8_t* narrow, int16_t* wide) {
#if defined(__AVX2__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(narrow));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(wide), _mm256_cvtepi8_epi16(bytes));
#else
  for (int i = 0; i < 16; ++i) wide[i] = narrow[i];
#endif
}

/// The pair of 16-bit integers at p.
WAVEKV_INLINE int32_t pair_at(const int16_t* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof pair);
  return pair;
}

/// acc[r][v] += products of rows[r * row_stride + 2i, + 2i + 1] with the pairs panel[i * panel_stride + v * kLanes ..],
/// for i below num_pairs.
template <int R, int V>
WAVEKV_INLINE void multiply_pairs(Pairs (&acc)[R][V], const int16_t* rows, int64_t row_stride, int64_t num_pairs,
                                  const int32_t* panel, int64_t panel_stride) {
  for (int64_t i = 0; i < num_pairs; ++i) {
    Pairs b[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) b[v] = load_pairs(panel + i * panel_stride + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Pairs a = broadcast_pair(pair_at(rows + r * row_stride + 2 * i));
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[r][v] = add_products(acc[r][v], a, b[v]);
    }
  }
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
