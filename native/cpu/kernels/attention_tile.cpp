// Prefill: many queries over one run of keys, in tiles of keys that are converted once for all queries (see
// attention_tile.h): f32 products for kF16, products of integers for kQ8.
#include "attention_kernels.h"
#include "attention_rows.h"
#include "attention_tile.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

static_assert(kPanelWidth == kBlockRows, "softmax_steps and the tile agree on the width");

/// kF16: scores[r, t] = q[r] . key t, for the tile's keys.
template <int R>
WAVEKV_INLINE void scores_f16(const float* q, int64_t head_dim, const TileScratch& tile) {
  for (int64_t t = 0; t < kPanelWidth; t += kTileVecs * kLanes) {
    Vec acc[R][kTileVecs];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVecs; ++v) acc[r][v] = broadcast(0.0f);
    }
    multiply_tile<R, kTileVecs>(acc, q, head_dim, 1, head_dim, tile.keys + t, kPanelWidth);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVecs; ++v) store(tile.scores + r * kPanelWidth + t + v * kLanes, acc[r][v]);
    }
  }
}

/// kF16: out[r, column ..] = keep[r] * out + the weights, which replaced the scores, times the values.
template <int R, int V>
WAVEKV_INLINE void outputs_f16(const float* keep, int64_t num_keys, int64_t head_dim, int64_t column,
                               const TileScratch& tile, float* out) {
  Vec acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[r][v] = load(out + r * head_dim + column + v * kLanes) * broadcast(keep[r]);
  }
  multiply_tile<R, V>(acc, tile.scores, kPanelWidth, 1, num_keys, tile.values + column, head_dim);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(out + r * head_dim + column + v * kLanes, acc[r][v]);
  }
}

/// kQ8: scores[r, t] = q[r] . (key t - centre) + ln(largest element of value t), their maxima to tops[r]. So a weight holds
/// its value's size, and an output is one integer sum.
template <int R>
WAVEKV_INLINE void scores_q8(int64_t first_query, int64_t head_dim, const TileScratch& tile, float* tops) {
  const int16_t* q = tile.queries + first_query * head_dim;
  Vec top[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) top[r] = broadcast(kNoMass);
  for (int64_t t = 0; t < kWidth; t += kTileVecs * kLanes) {
    Pairs acc[R][kTileVecs];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVecs; ++v) acc[r][v] = zero_pairs();
    }
    multiply_pairs<R, kTileVecs>(acc, q, head_dim, head_dim / 2, tile.key_pairs + t, kWidth);
#pragma GCC unroll 4
    for (int v = 0; v < kTileVecs; ++v) {
      const int64_t at = t + v * kLanes;
      const Vec scale = load(tile.key_scales + at), log = load(tile.value_logs + at);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec factor = scale * broadcast(tile.query_scales[first_query + r]);
        const Vec score = fma(to_float(acc[r][v]), factor, log);
        top[r] = max(top[r], score);
        store(tile.scores + r * kWidth + at, score);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) tops[r] = maximum(top[r]);
}

/// 2^x for x up to 15, relative error below 3e-6 (the last bit of a weight is 6e-5 of the largest); as exp_at_most_0().
WAVEKV_INLINE Vec power_of_2(Vec x) {
  const Vec magic = broadcast(12582912.0f);
  const Vec t = max(x, broadcast(-125.0f));
  const Vec rounded = t + magic;
  const Vec r = t - (rounded - magic);
  Vec p = broadcast(9.58285433e-3f);  // least relative error on [-1/2, 1/2]
  p = fma(p, r, broadcast(5.59064349e-2f));
  p = fma(p, r, broadcast(2.40240987e-1f));
  p = fma(p, r, broadcast(6.93124192e-1f));
  p = fma(p, r, broadcast(1.0f));
  return scale_by_low_bits(p, rounded);
}

/// Hides scores[seen..kWidth); returns the largest of the others.
inline float hide_unseen(float* scores, int64_t seen) {
  for (int64_t t = seen; t < kWidth; ++t) scores[t] = kNoMass;
  Vec top = broadcast(kNoMass);
  for (int64_t t = 0; t < kWidth; t += kLanes) top = max(top, load(scores + t));
  return maximum(top);
}

/// Pairs of weights kWeightOne * exp(scores[t] - top); returns the sum of exp(scores[t] - top) / value's largest.
WAVEKV_INLINE float weights_q8(const float* scores, float top, const float* value_inverses, int32_t* weights) {
  const Vec log2e = broadcast(1.44269504088896341f), shift = broadcast(kWeightBits - 1.44269504088896341f * top);
  Vec total = broadcast(0.0f), other = total;
#pragma GCC unroll 4
  for (int64_t i = 0; i < kWidth; i += 2 * kLanes) {
    const Vec low = power_of_2(fma(load(scores + i), log2e, shift));
    const Vec high = power_of_2(fma(load(scores + i + kLanes), log2e, shift));
    total = fma(low, load(value_inverses + i), total);
    other = fma(high, load(value_inverses + i + kLanes), other);
    store_pairs(weights + i / 2, pair_up(to_integers(low), to_integers(high)));
  }
  return sum(total + other) * (1.0f / kWeightOne);
}

/// kQ8: scores become weights. A tile has its own maximum, so that its weights use all their bits however small its share is.
/// tops: the largest scores, of all the tile's keys. keep[r], add[r]: what the state's output and the tile's integer sums are
/// multiplied with.
template <int R>
WAVEKV_INLINE void softmax_q8(const float* offsets, const int64_t* seen, const TileScratch& tile, float* tops,
                              AttentionState state, float* keep, float* add) {
  static_assert(R <= 8, "two changes a row in vectors of up to 16");
  float change[16], total[R];
  for (int i = 0; i < 16; ++i) change[i] = 0.0f;
  for (int r = 0; r < R; ++r) {
    float* scores = tile.scores + r * kWidth;
    int32_t* weights = tile.weights + r * kWidth / 2;
    if (seen[r] < kWidth) tops[r] = hide_unseen(scores, seen[r]);
    if (seen[r] > 0) {
      total[r] = weights_q8(scores, tops[r], tile.value_inverses, weights);
    } else {
      total[r] = 0.0f;
      memset(weights, 0, kWidth / 2 * sizeof(int32_t));
    }
    const float tile_top = tops[r] + offsets[r], top = tile_top > state.max[r] ? tile_top : state.max[r];
    change[r] = state.max[r] - top;
    change[8 + r] = tile_top - top;
    state.max[r] = top;
  }
  for (int i = 0; i < 16; i += kLanes) store(change + i, exp_at_most_0(load(change + i)));
  for (int r = 0; r < R; ++r) {
    keep[r] = change[r];
    add[r] = change[8 + r] * (1.0f / (kWeightOne * kValueOne));
    state.denominator[r] = state.denominator[r] * change[r] + total[r] * change[8 + r];
  }
}

template <int R, int V>
WAVEKV_INLINE void outputs_q8(const float* keep, const float* add, int64_t num_pairs, int64_t head_dim, int64_t column,
                              const TileScratch& tile, float* out) {
  Pairs acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[r][v] = zero_pairs();
  }
  const int16_t* weights = reinterpret_cast<const int16_t*>(tile.weights);
  multiply_pairs<R, V>(acc, weights, kWidth, num_pairs, tile.value_pairs + column, head_dim);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* at = out + r * head_dim + column + v * kLanes;
      store(at, fma(to_float(acc[r][v]), broadcast(add[r]), load(at) * broadcast(keep[r])));
    }
  }
}

/// R queries over one tile; q: the first of them; seen: [R], how many of the tile's keys each sees, at most `most`.
template <int R>
void attend_f16(const float* q, int64_t, int64_t head_dim, const int64_t* seen, int64_t most, const TileScratch& tile,
                AttentionState state) {
  float keep[R];
  scores_f16<R>(q, head_dim, tile);
  softmax_steps<R>(tile.scores, seen, kPanelWidth, state.max, state.denominator, keep);
  int64_t column = 0;
  for (; column + kTileVecs * kLanes <= head_dim; column += kTileVecs * kLanes) {
    outputs_f16<R, kTileVecs>(keep, most, head_dim, column, tile, state.out);
  }
  for (; column < head_dim; column += kLanes) outputs_f16<R, 1>(keep, most, head_dim, column, tile, state.out);
}

template <int R>
void attend_q8(const float*, int64_t first_query, int64_t head_dim, const int64_t* seen, int64_t most,
               const TileScratch& tile, AttentionState state) {
  float tops[R], keep[R], add[R];
  scores_q8<R>(first_query, head_dim, tile, tops);
  softmax_q8<R>(tile.offsets + first_query, seen, tile, tops, state, keep, add);
  const int64_t pairs = (most + 2 * kLanes - 1) / (2 * kLanes) * kLanes;
  int64_t column = 0;
  for (; column + kTileVecs * kLanes <= head_dim; column += kTileVecs * kLanes) {
    outputs_q8<R, kTileVecs>(keep, add, pairs, head_dim, column, tile, state.out);
  }
  for (; column < head_dim; column += kLanes) outputs_q8<R, 1>(keep, add, pairs, head_dim, column, tile, state.out);
}

using AttendRows = void (*)(const float*, int64_t, int64_t, const int64_t*, int64_t, const TileScratch&, AttentionState);
constexpr AttendRows kAttendF16[kTileRows] = {attend_f16<1>, attend_f16<2>, attend_f16<3>,
                                              attend_f16<4>, attend_f16<5>, attend_f16<6>};
constexpr AttendRows kAttendQ8[kTileRows] = {attend_q8<1>, attend_q8<2>, attend_q8<3>,
                                             attend_q8<4>, attend_q8<5>, attend_q8<6>};

int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

}  // namespace

int64_t tile_scratch_floats(int64_t head_dim, int64_t num_queries) { return scratch_floats(head_dim, num_queries); }

void attend_tile(const float* q, int64_t num_queries, int64_t head_dim, KvRange range, const int64_t* visible,
                 float* scratch, AttentionState state) {
  const TileScratch tile = carve(scratch, head_dim, num_queries);
  int64_t farthest = visible == nullptr ? range.num_tokens : 0;
  for (int64_t a = 0; visible != nullptr && a < num_queries; ++a) {
    const int64_t seen = clamp(visible[a], 0, range.num_tokens);
    farthest = seen > farthest ? seen : farthest;
  }
  const bool q8 = range.type == KvType::kQ8;
  if (q8 && farthest > 0) load_queries(q, num_queries, head_dim, range.centre, tile);
  const int64_t width = q8 ? kWidth : kPanelWidth;
  for (int64_t first = 0; first < farthest; first += width) {
    const int64_t num_keys = clamp(farthest - first, 0, width);
    (q8 ? load_tile_q8 : load_tile_f16)(range, first, num_keys, head_dim, tile);
    for (int64_t a = 0; a < num_queries; a += kTileRows) {
      const int64_t rows = clamp(num_queries - a, 0, kTileRows);
      int64_t seen[kTileRows];
      int64_t most = 0;
      for (int64_t r = 0; r < rows; ++r) {
        seen[r] = visible == nullptr ? num_keys : clamp(visible[a + r] - first, 0, num_keys);
        most = seen[r] > most ? seen[r] : most;
      }
      if (most == 0) continue;
      const AttentionState part = {state.out + a * head_dim, state.max + a, state.denominator + a};
      (q8 ? kAttendQ8 : kAttendF16)[rows - 1](q + a * head_dim, a, head_dim, seen, most, tile, part);
    }
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
