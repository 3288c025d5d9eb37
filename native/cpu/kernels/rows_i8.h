#pragma once
// Scores of int8 rows under queries of 16 bits: products of integers, so that every SIMD level gives the same numbers.
#include "attention_rows.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr float kQueryRange = 32000.0f;  // largest rounded query element: its high byte stays within int8
constexpr int64_t kChunk = 64;           // dims of one vector of int8

/// Queries rounded to 16 bits: q is about scale * (256 * high + low).
struct RoundedQueries {
  float scales[kMaxQueries];
#if defined(__AVX512F__)
  int32_t offsets[kMaxQueries];  // 128 * the sum of the rounded elements: what rows stored as unsigned bytes add
  // [query][chunk][{high, low}][4]: bytes of the chunk, in each 16 of them one group of four repeated four times
  alignas(64) int8_t parts[kMaxQueries * (kMaxHeadDim / kChunk) * 8 * kChunk];
#else
  alignas(64) int16_t elements[kMaxQueries * kMaxHeadDim];  // [query, headDim]
#endif
};

/// Rounds one query; returns its scale.
inline float round_query(const float* q, int64_t head_dim, int16_t* out) {
  Vec top = broadcast(0.0f);
  for (int64_t i = 0; i < head_dim; i += kLanes) top = max(top, max(load(q + i), broadcast(0.0f) - load(q + i)));
  const float most = maximum(top);
  const Vec inverse = broadcast(most > 0 ? kQueryRange / most : 0.0f);
  for (int64_t i = 0; i < head_dim; i += kLanes) {
    float rounded[kLanes];
    store(rounded, round_nearest(load(q + i) * inverse));
    for (int j = 0; j < kLanes; ++j) out[i + j] = static_cast<int16_t>(rounded[j]);
  }
  return most / kQueryRange;
}

#if defined(__AVX512F__)

inline void round_queries(const float* q, int64_t num_queries, int64_t head_dim, RoundedQueries& out) {
  const int64_t chunks = (head_dim + kChunk - 1) / kChunk;
  for (int64_t a = 0; a < num_queries; ++a) {
    alignas(64) int16_t rounded[kMaxHeadDim];
    memset(rounded, 0, sizeof rounded);
    out.scales[a] = round_query(q + a * head_dim, head_dim, rounded);
    int32_t total = 0;
    for (int64_t i = 0; i < head_dim; ++i) total += rounded[i];
    out.offsets[a] = 128 * total;
    for (int64_t c = 0; c < chunks; ++c) {
      alignas(64) int8_t bytes[2][kChunk];
      for (int64_t i = 0; i < kChunk; ++i) {
        const int32_t x = rounded[c * kChunk + i], high = (x + 128) >> 8;
        bytes[0][i] = static_cast<int8_t>(high);
        bytes[1][i] = static_cast<int8_t>(x - 256 * high);
      }
      for (int half = 0; half < 2; ++half) {
        const __m512i part = _mm512_load_si512(bytes[half]);
        int8_t* target = out.parts + (((a * chunks + c) * 2 + half) * 4) * kChunk;
        _mm512_store_si512(target, _mm512_shuffle_epi32(part, _MM_PERM_AAAA));
        _mm512_store_si512(target + kChunk, _mm512_shuffle_epi32(part, _MM_PERM_BBBB));
        _mm512_store_si512(target + 2 * kChunk, _mm512_shuffle_epi32(part, _MM_PERM_CCCC));
        _mm512_store_si512(target + 3 * kChunk, _mm512_shuffle_epi32(part, _MM_PERM_DDDD));
      }
    }
  }
}

/// Four rows of a chunk as unsigned bytes, interleaved by groups of four dims; dims from `dims` on count as 0.
WAVEKV_INLINE void load_4_rows(const int8_t* const* rows, int64_t offset, int64_t dims, __m512i (&out)[4]) {
  const __mmask64 mask = dims >= kChunk ? ~__mmask64{0} : (__mmask64{1} << dims) - 1;
  const __m512i unsign = _mm512_set1_epi8(-128);
  __m512i r[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) r[j] = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, rows[j] + offset), unsign);
  const __m512i lo01 = _mm512_unpacklo_epi32(r[0], r[1]), hi01 = _mm512_unpackhi_epi32(r[0], r[1]);
  const __m512i lo23 = _mm512_unpacklo_epi32(r[2], r[3]), hi23 = _mm512_unpackhi_epi32(r[2], r[3]);
  out[0] = _mm512_unpacklo_epi64(lo01, lo23);
  out[1] = _mm512_unpackhi_epi64(lo01, lo23);
  out[2] = _mm512_unpacklo_epi64(hi01, hi23);
  out[3] = _mm512_unpackhi_epi64(hi01, hi23);
}

/// Adds the four groups of four lanes of each of acc[0..3] up: out lanes 4 a + r, row r under query a.
WAVEKV_INLINE __m512i add_groups(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
  const __m512i cd = _mm512_add_epi32(_mm512_shuffle_i32x4(c, d, 0x88), _mm512_shuffle_i32x4(c, d, 0xdd));
  return _mm512_add_epi32(_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xdd));
}

/// The scores of four rows under queries A .. A + 3 of NQ.
template <int NQ, int A>
WAVEKV_INLINE void store_four(const RoundedQueries& queries, int64_t first, const __m512i (&sums)[NQ], float* scores) {
  constexpr int kCount = NQ - A < 4 ? NQ - A : 4;
  const __m512i all = add_groups(sums[A], sums[A + (kCount > 1 ? 1 : 0)], sums[A + (kCount > 2 ? 2 : 0)],
                                 sums[A + (kCount > 3 ? 3 : 0)]);
  const __m128i parts[4] = {_mm512_castsi512_si128(all), _mm512_extracti32x4_epi32(all, 1),
                            _mm512_extracti32x4_epi32(all, 2), _mm512_extracti32x4_epi32(all, 3)};
#pragma GCC unroll 4
  for (int b = 0; b < kCount; ++b) {
    const __m128i exact = _mm_sub_epi32(parts[b], _mm_set1_epi32(queries.offsets[first + A + b]));
    _mm_storeu_ps(scores + (A + b) * kBlockRows,
                  _mm_mul_ps(_mm_cvtepi32_ps(exact), _mm_set1_ps(queries.scales[first + A + b])));
  }
}

/// scores[a * kBlockRows + t] = q[first + a] . row t, for NQ queries and n rows, padded to a multiple of 4.
/// ahead: as many places to prefetch meanwhile, ahead_bytes each, or null.
template <int NQ, int HD>
WAVEKV_INLINE void score_rows_i8(const RoundedQueries& queries, int64_t first, int64_t head_dim,
                                 const int8_t* const* rows, int64_t n, const int8_t* const* ahead, int64_t ahead_bytes,
                                 float* scores) {
  const int64_t dim = HD > 0 ? HD : head_dim, chunks = (dim + kChunk - 1) / kChunk;
  for (int64_t t = 0; t < n; t += 4) {
    for (int64_t j = 0; ahead != nullptr && j < 4; ++j) prefetch_bytes(ahead[t + j], ahead_bytes);
    __m512i high[NQ], low[NQ];
#pragma GCC unroll 8
    for (int a = 0; a < NQ; ++a) high[a] = low[a] = _mm512_setzero_si512();
    for (int64_t c = 0; c < chunks; ++c) {
      __m512i x[4];
      load_4_rows(rows + t, c * kChunk, dim - c * kChunk, x);
#pragma GCC unroll 8
      for (int a = 0; a < NQ; ++a) {
        const int8_t* part = queries.parts + ((first + a) * chunks + c) * 8 * kChunk;
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) {
          high[a] = _mm512_dpbusd_epi32(high[a], x[k], _mm512_load_si512(part + k * kChunk));
          low[a] = _mm512_dpbusd_epi32(low[a], x[k], _mm512_load_si512(part + (4 + k) * kChunk));
        }
      }
    }
#pragma GCC unroll 8
    for (int a = 0; a < NQ; ++a) high[a] = _mm512_add_epi32(_mm512_slli_epi32(high[a], 8), low[a]);
    store_four<NQ, 0>(queries, first, high, scores + t);
    if constexpr (NQ > 4) store_four<NQ, 4>(queries, first, high, scores + t);
  }
}

#else

inline void round_queries(const float* q, int64_t num_queries, int64_t head_dim, RoundedQueries& out) {
  for (int64_t a = 0; a < num_queries; ++a) {
    out.scales[a] = round_query(q + a * head_dim, head_dim, out.elements + a * head_dim);
  }
}

WAVEKV_INLINE int32_t dot_i8(const int16_t* q, const int8_t* row, int64_t head_dim) {
#if defined(__AVX2__)
  __m256i total = _mm256_setzero_si256();
  for (int64_t i = 0; i < head_dim; i += 16) {
    const __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i)));
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + i));
    total = _mm256_add_epi32(total, _mm256_madd_epi16(x, w));
  }
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(total), _mm256_extracti128_si256(total, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
#else
  int32_t total = 0;
  for (int64_t i = 0; i < head_dim; ++i) total += static_cast<int32_t>(q[i]) * row[i];
  return total;
#endif
}

template <int NQ, int HD>
WAVEKV_INLINE void score_rows_i8(const RoundedQueries& queries, int64_t first, int64_t head_dim,
                                 const int8_t* const* rows, int64_t n, const int8_t* const* ahead, int64_t ahead_bytes,
                                 float* scores) {
  const int64_t dim = HD > 0 ? HD : head_dim;
  for (int64_t t = 0; t < n; ++t) {
    if (ahead != nullptr) prefetch_bytes(ahead[t], ahead_bytes);
    for (int a = 0; a < NQ; ++a) {
      const int32_t dot = dot_i8(queries.elements + (first + a) * dim, rows[t], dim);
      scores[a * kBlockRows + t] = static_cast<float>(dot) * queries.scales[first + a];
    }
  }
}

#endif

/// out[a] = q[a] . centre, f16 [headDim].
inline void centre_scores(const float* q, int64_t num_queries, int64_t head_dim, const uint16_t* centre, float* out) {
  for (int64_t a = 0; a < num_queries; ++a) {
    Vec total = broadcast(0.0f);
    for (int64_t i = 0; i < head_dim; i += kLanes) total = fma(load(q + a * head_dim + i), load_f16(centre + i), total);
    out[a] = sum(total);
  }
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
