#pragma once
// Decode attention over rows named by pointers: scores, online softmax, weighted sum of values. A block of up to
// kBlockRows rows is gathered from any number of ranges, so that short, scattered ranges cost no more than long ones.
#include "kernels.h"
#include "interleave.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr int64_t kBlockRows = 64;     // most rows between two softmax steps
constexpr int64_t kRowPadding = 8;     // rows scored at once; blocks are padded to a multiple with their last row
constexpr int64_t kMaxQueryGroup = kLanes == 8 ? 6 : 8;  // queries that share the registers of one pass
constexpr int64_t kMaxQueries = 32;    // queries of one pass over memory

/// Queries in the order of interleaved rows.
struct SpreadQueries {
  alignas(64) float q[kMaxQueries * kMaxHeadDim * 4];  // [numQueries, headDim, 4]
};

/// Rows of a block, interleaved by four.
struct InterleavedRows {
  alignas(64) uint16_t rows[kBlockRows * kMaxHeadDim];  // f16 [numRows / 4, headDim, 4]
};

inline void spread_queries(const float* q, int64_t num_queries, int64_t head_dim, SpreadQueries& spread) {
  for (int64_t a = 0; a < num_queries; ++a) spread_query(q + a * head_dim, head_dim, spread.q + a * head_dim * 4);
}

/// Rows of a block: L1 holds keys, values and the next block's of both (8 KB each at head dims 64 and 128).
WAVEKV_INLINE int64_t block_rows(int64_t head_dim) { return head_dim <= 64 ? kBlockRows : kBlockRows / 2; }

/// Splits `num_queries` into even groups of at most kMaxQueryGroup.
WAVEKV_INLINE int64_t query_group(int64_t num_queries) {
  const int64_t groups = (num_queries + kMaxQueryGroup - 1) / kMaxQueryGroup;
  return (num_queries + groups - 1) / groups;
}

/// A number as a type, for what is compiled once for each.
template <int N>
struct Number {
  static constexpr int value = N;
};

/// body(number of queries, head dim) with both as types: queries 1 to kMaxQueryGroup; a head dim that is not compiled for is 0.
template <int HD, typename Body>
WAVEKV_INLINE void with_query_count(int64_t num_queries, Body&& body) {
  switch (num_queries) {
    case 1: return body(Number<1>(), Number<HD>());
    case 2: return body(Number<2>(), Number<HD>());
    case 3: return body(Number<3>(), Number<HD>());
    case 4: return body(Number<4>(), Number<HD>());
    case 5: return body(Number<5>(), Number<HD>());
    case 6: return body(Number<6>(), Number<HD>());
    case 7: return body(Number<7>(), Number<HD>());
    default: return body(Number<8>(), Number<HD>());
  }
}
template <typename Body>
WAVEKV_INLINE void with_shape(int64_t num_queries, int64_t head_dim, Body&& body) {
  if (head_dim == 64) return with_query_count<64>(num_queries, body);
  if (head_dim == 128) return with_query_count<128>(num_queries, body);
  with_query_count<0>(num_queries, body);
}

/// body(first query, count) for each group of queries that share a pass.
template <typename Body>
WAVEKV_INLINE void for_query_groups(int64_t num_queries, Body&& body) {
  if (num_queries <= 0) return;
  const int64_t group = query_group(num_queries);
  for (int64_t first = 0; first < num_queries; first += group) {
    body(first, num_queries - first < group ? num_queries - first : group);
  }
}
/// The state of the queries from `first` on.
WAVEKV_INLINE AttentionState state_from(AttentionState state, int64_t first, int64_t head_dim) {
  return {state.out + first * head_dim, state.max + first, state.denominator + first};
}

/// rows: n pointers, padded.
template <int HD>
WAVEKV_INLINE void interleave_rows(const uint16_t* const* rows, int64_t n, int64_t head_dim, InterleavedRows& out) {
  const int64_t d = HD > 0 ? HD : head_dim;
  for (int64_t t = 0; t < n; t += 4) interleave_4_rows(rows + t, d, out.rows + t * d);
  if ((n + 3) / 4 % 2 != 0) interleave_4_rows(rows + (n + 3) / 4 * 4, d, out.rows + (n + 3) / 4 * 4 * d);
}

/// scores[a * kBlockRows + t] = q[a] . row t, for NQ queries; writes up to the padded number of rows.
/// q: f32 [NQ, headDim, 4], spread. HD is the head dim where known when compiled, else 0.
/// ahead: as many rows (padded) to prefetch meanwhile, or null.
template <int NQ, int HD>
WAVEKV_INLINE void score_rows(const float* q, int64_t head_dim, const InterleavedRows& rows, int64_t n,
                              const uint16_t* const* ahead, float* scores) {
  const int64_t d = HD > 0 ? HD : head_dim;
  for (int64_t t = 0; t < n; t += kRowPadding) {
    if (ahead != nullptr) {
      for (int64_t j = 0; j < kRowPadding; ++j) prefetch_row(ahead[t + j], d);
    }
    const uint16_t* first = rows.rows + t * d;
    const uint16_t* second = first + 4 * d;
    Vec acc[NQ][2];
#pragma GCC unroll 8
    for (int a = 0; a < NQ; ++a) acc[a][0] = acc[a][1] = broadcast(0.0f);
#pragma GCC unroll 2
    for (int64_t i = 0; i < d * 4; i += kLanes) {
      const Vec x = load_f16(first + i), y = load_f16(second + i);
#pragma GCC unroll 8
      for (int a = 0; a < NQ; ++a) {
        const Vec w = load(q + a * d * 4 + i);
        acc[a][0] = fma(x, w, acc[a][0]);
        acc[a][1] = fma(y, w, acc[a][1]);
      }
    }
    store_row_sums<NQ>(scores + t, kBlockRows, acc);
  }
}

/// The largest of scores[0..n), or kNoMass.
WAVEKV_INLINE float largest_score(const float* scores, int64_t n) {
  Vec top = broadcast(kNoMass);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) top = max(top, load(scores + i));
  if (i < n) top = max(top, keep_first(load(scores + i), n - i, kNoMass));
  return maximum(top);
}

/// scores[0..n) become exp(score - shift), the rest of the last vector 0; returns their sum.
WAVEKV_INLINE float exponentials(float* scores, int64_t n, float shift) {
  Vec total = broadcast(0.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec p = exp_at_most_0(load(scores + i) - broadcast(shift));
    store(scores + i, p);
    total = total + p;
  }
  if (i < n) {
    const Vec p = keep_first(exp_at_most_0(load(scores + i) - broadcast(shift)), n - i, 0.0f);
    store(scores + i, p);
    total = total + p;
  }
  return sum(total);
}

/// The softmax step of R queries: each row of scores [R, kBlockRows] becomes its weights exp(score - new max), 0 from
/// num[r] up to `width`; scale[r] is what the state's output must be multiplied with. A query that sees no mass keeps
/// its state.
template <int R>
WAVEKV_INLINE void softmax_steps(float* scores, const int64_t* num, int64_t width, float* max_seen, float* denominator,
                                 float* scale) {
  float top[R], change[16];
  static_assert(R <= 16, "changes are taken in vectors of up to 16");
  for (int r = 0; r < R; ++r) {
    top[r] = largest_score(scores + r * kBlockRows, num[r]);
    if (top[r] < max_seen[r]) top[r] = max_seen[r];
    change[r] = max_seen[r] - top[r];
  }
  for (int r = R; r < 16; ++r) change[r] = 0.0f;
  for (int r = 0; r < R; r += kLanes) store(change + r, exp_at_most_0(load(change + r)));
  for (int r = 0; r < R; ++r) {
    float* row = scores + r * kBlockRows;
    scale[r] = change[r];
    const bool nothing = top[r] <= kNoMass;
    const int64_t n = nothing ? 0 : num[r];
    const float total = exponentials(row, n, top[r]);
    for (int64_t i = (n + kLanes - 1) / kLanes * kLanes; i < width; i += kLanes) store(row + i, broadcast(0.0f));
    denominator[r] = denominator[r] * change[r] + total;
    max_seen[r] = top[r];
  }
}

WAVEKV_INLINE Vec load_element(const uint16_t* p) { return load_f16(p); }
WAVEKV_INLINE Vec load_element(const int8_t* p) { return load_i8(p); }

/// out[a, offset..offset + NV * kLanes) = that * scale[a] + sum over t of weights[a, t] * rows[t].
template <int NQ, int NV, typename Element>
WAVEKV_INLINE void add_value_columns(const float* weights, const float* scale, const Element* const* rows, int64_t n,
                                     const Element* const* ahead, int64_t head_dim, int64_t offset, float* out) {
  Vec acc[NQ][NV];
#pragma GCC unroll 8
  for (int a = 0; a < NQ; ++a) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[a][v] = load(out + a * head_dim + offset + v * kLanes) * broadcast(scale[a]);
  }
  for (int64_t t = 0; t < n; ++t) {
    if (ahead != nullptr) prefetch_bytes(ahead[t], head_dim * static_cast<int64_t>(sizeof(Element)));
    Vec x[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) x[v] = load_element(rows[t] + offset + v * kLanes);
#pragma GCC unroll 8
    for (int a = 0; a < NQ; ++a) {
      const Vec w = broadcast(weights[a * kBlockRows + t]);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[a][v] = fma(w, x[v], acc[a][v]);
    }
  }
#pragma GCC unroll 8
  for (int a = 0; a < NQ; ++a) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) store(out + a * head_dim + offset + v * kLanes, acc[a][v]);
  }
}

/// Columns of values (in vectors) whose accumulators fit the registers beside NQ queries.
template <int NQ>
constexpr int value_columns() {
  return kLanes == 16 ? (NQ <= 6 ? 4 : 2) : (NQ <= 2 ? 4 : NQ <= 6 ? 2 : 1);
}

/// weights: [NQ, kBlockRows]; scale: [NQ]; out: [NQ, headDim]. ahead: n rows to prefetch meanwhile, or null.
template <int NQ, int HD, typename Element>
WAVEKV_INLINE void add_values(const float* weights, const float* scale, const Element* const* rows, int64_t n,
                              const Element* const* ahead, int64_t head_dim, float* out) {
  const int64_t d = HD > 0 ? HD : head_dim;
  constexpr int kColumns = value_columns<NQ>();
  int64_t i = 0;
  for (; i + kColumns * kLanes <= d; i += kColumns * kLanes) {
    add_value_columns<NQ, kColumns, Element>(weights, scale, rows, n, i == 0 ? ahead : nullptr, d, i, out);
  }
  for (; i < d; i += kLanes) add_value_columns<NQ, 1, Element>(weights, scale, rows, n, nullptr, d, i, out);
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
