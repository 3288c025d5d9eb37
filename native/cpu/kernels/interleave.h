#pragma once
// Rows of f16 interleaved by four: [headDim][4 rows] makes one vector hold the same dims of four rows, so that scoring
// them needs no sum over lanes for each row, and shuffles f16 rather than f32.
#include "vec_ops.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

#if defined(__AVX512F__)

/// Four rows of f16 [headDim] into [headDim][4 rows], the dims of each group of 32 (or of the last 16) in the order
/// that spread_query follows.
WAVEKV_INLINE void interleave_4_rows(const uint16_t* const* rows, int64_t head_dim, uint16_t* out) {
  int64_t i = 0;
  for (; i + 32 <= head_dim; i += 32) {
    const __m512i r0 = _mm512_loadu_si512(rows[0] + i), r1 = _mm512_loadu_si512(rows[1] + i);
    const __m512i r2 = _mm512_loadu_si512(rows[2] + i), r3 = _mm512_loadu_si512(rows[3] + i);
    const __m512i lo01 = _mm512_unpacklo_epi16(r0, r1), hi01 = _mm512_unpackhi_epi16(r0, r1);
    const __m512i lo23 = _mm512_unpacklo_epi16(r2, r3), hi23 = _mm512_unpackhi_epi16(r2, r3);
    _mm512_storeu_si512(out + i * 4, _mm512_unpacklo_epi32(lo01, lo23));
    _mm512_storeu_si512(out + i * 4 + 32, _mm512_unpackhi_epi32(lo01, lo23));
    _mm512_storeu_si512(out + i * 4 + 64, _mm512_unpacklo_epi32(hi01, hi23));
    _mm512_storeu_si512(out + i * 4 + 96, _mm512_unpackhi_epi32(hi01, hi23));
  }
  if (i < head_dim) {
    const __m256i r0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[0] + i));
    const __m256i r1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[1] + i));
    const __m256i r2 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[2] + i));
    const __m256i r3 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[3] + i));
    const __m256i lo01 = _mm256_unpacklo_epi16(r0, r1), hi01 = _mm256_unpackhi_epi16(r0, r1);
    const __m256i lo23 = _mm256_unpacklo_epi16(r2, r3), hi23 = _mm256_unpackhi_epi16(r2, r3);
    __m256i* part = reinterpret_cast<__m256i*>(out + i * 4);
    _mm256_storeu_si256(part, _mm256_unpacklo_epi32(lo01, lo23));
    _mm256_storeu_si256(part + 1, _mm256_unpackhi_epi32(lo01, lo23));
    _mm256_storeu_si256(part + 2, _mm256_unpacklo_epi32(hi01, hi23));
    _mm256_storeu_si256(part + 3, _mm256_unpackhi_epi32(hi01, hi23));
  }
}
/// out: f32 [4 * headDim], each element of q four times, in the order of interleave_4_rows.
WAVEKV_INLINE void spread_query(const float* q, int64_t head_dim, float* out) {
  const __m512i first = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 8, 8, 8, 8, 9, 9, 9, 9);
  for (int64_t i = 0; i < head_dim; i += 16) {
    const bool last_half = i % 32 == 0 && i + 32 > head_dim;
    const int64_t step = last_half ? 16 : 32;
    float* part = out + (last_half ? i * 4 : i / 32 * 128 + i % 32);
    for (int j = 0; j < 4; ++j) {
      const __m512i index = _mm512_add_epi32(first, _mm512_set1_epi32(2 * j));
      _mm512_storeu_ps(part + j * step, _mm512_permutexvar_ps(index, _mm512_loadu_ps(q + i)));
    }
  }
}
/// acc[r][s] holds, in each group of four lanes, sums of rows 4s..4s+3 under query r: adds the groups up into
/// out[r * stride + 4 s ..], for R queries and two sets of rows.
template <int R>
WAVEKV_INLINE void store_row_sums(float* out, int64_t stride, const Vec (&acc)[R][2]) {
#pragma GCC unroll 4
  for (int r = 0; r < R; r += 2) {
    const int other = r + 1 < R ? r + 1 : r;
    const __m512 a = acc[r][0].v, b = acc[r][1].v, c = acc[other][0].v, d = acc[other][1].v;
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x88), _mm512_shuffle_f32x4(c, d, 0xdd));
    const __m512 all = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    _mm256_storeu_ps(out + r * stride, _mm512_castps512_ps256(all));
    if (other != r) _mm256_storeu_ps(out + other * stride, _mm512_extractf32x8_ps(all, 1));
  }
}

#elif defined(__AVX2__)

WAVEKV_INLINE void interleave_4_rows(const uint16_t* const* rows, int64_t head_dim, uint16_t* out) {
  for (int64_t i = 0; i < head_dim; i += 16) {
    const __m256i r0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[0] + i));
    const __m256i r1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[1] + i));
    const __m256i r2 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[2] + i));
    const __m256i r3 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[3] + i));
    const __m256i lo01 = _mm256_unpacklo_epi16(r0, r1), hi01 = _mm256_unpackhi_epi16(r0, r1);
    const __m256i lo23 = _mm256_unpacklo_epi16(r2, r3), hi23 = _mm256_unpackhi_epi16(r2, r3);
    __m256i* part = reinterpret_cast<__m256i*>(out + i * 4);
    _mm256_storeu_si256(part, _mm256_unpacklo_epi32(lo01, lo23));
    _mm256_storeu_si256(part + 1, _mm256_unpackhi_epi32(lo01, lo23));
    _mm256_storeu_si256(part + 2, _mm256_unpacklo_epi32(hi01, hi23));
    _mm256_storeu_si256(part + 3, _mm256_unpackhi_epi32(hi01, hi23));
  }
}
WAVEKV_INLINE void spread_query(const float* q, int64_t head_dim, float* out) {
  for (int64_t i = 0; i < head_dim; i += 16) {
    for (int j = 0; j < 4; ++j) {
      for (int half = 0; half < 2; ++half) {
        const float* pair = q + i + 8 * half + 2 * j;
        float* part = out + i * 4 + j * 16 + half * 8;
        _mm_storeu_ps(part, _mm_set1_ps(pair[0]));
        _mm_storeu_ps(part + 4, _mm_set1_ps(pair[1]));
      }
    }
  }
}
template <int R>
WAVEKV_INLINE void store_row_sums(float* out, int64_t stride, const Vec (&acc)[R][2]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < 2; ++s) {
      const __m256 a = acc[r][s].v;
      _mm_storeu_ps(out + r * stride + 4 * s, _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
    }
  }
}

#else

WAVEKV_INLINE void interleave_4_rows(const uint16_t* const* rows, int64_t head_dim, uint16_t* out) {
  for (int64_t i = 0; i < head_dim; ++i) {
    for (int r = 0; r < 4; ++r) out[i * 4 + r] = rows[r][i];
  }
}
WAVEKV_INLINE void spread_query(const float* q, int64_t head_dim, float* out) {
  for (int64_t i = 0; i < head_dim; ++i) store(out + i * 4, broadcast(q[i]));
}
template <int R>
WAVEKV_INLINE void store_row_sums(float* out, int64_t stride, const Vec (&acc)[R][2]) {
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < 2; ++s) store(out + r * stride + 4 * s, acc[r][s]);
  }
}

#endif

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
