#pragma once
// Scratch of a prefill tile and its conversion. kF16 keys and values become f32. kQ8 ones are multiplied as they are stored,
// with queries and weights rounded to 16-bit integers; no sum of products can leave 32 bits:
//   score    offset + key scale * query scale * (integers); query elements are at most kLargest, 256 * kLargest * 127 < 2^31
//   output   weights are 0..kWeightOne (and its rounding), 128 * kWeightOne * 127 < 2^31
// Rounding kF16 would cost more than it saves: its keys have no centre to be taken off, so that a large common part (a bias of
// the model) would take the bits, and the tail is a small part of the keys of a long prompt.
// A token's numbers depend on that token alone: what a query gets is independent of the tokens after it.
#include "pair_ops.h"
#include "register_tile.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr int64_t kWidth = 2 * kPanelWidth;  // keys of a kQ8 tile, whose panels take as much memory as those of 64 in f32
constexpr float kLargest = 32767.0f;
constexpr float kWeightBits = 14.0f, kWeightOne = 16384.0f;  // 2^15 would be the first that 16 bits cannot hold
constexpr float kValueOne = 127.0f;
constexpr float kSmallestValue = 5.9604645e-08f;  // 2^-24, f16's least: values below it (zeros) count as that large
constexpr float kSmallestScale = 1e-30f;          // queries of less count as zeros: 1 / scale must be finite

///   scratch  | key panel 4 bytes [paddedDim, 64] | value panel 4 bytes [64, headDim] | rows i16 [128, paddedDim]
///            | key scales, value logs, value inverses f32 [128] each | scores f32 [6, 128] | weights i32 [6, 64]
///            | query scales, offsets f32 [numQueries] each | queries i16 [numQueries, headDim]     aligned to 64 bytes
struct TileScratch {
  int64_t padded_dim;  // headDim rounded up to whole squares of pairs
  // kF16; 0 beyond the tile's keys
  float* keys;    // [headDim, 64]: keys side by side
  float* values;  // [64, headDim]
  float* scores;  // [kTileRows, 64]
  // kQ8, in part the same memory. Tokens t and t + kLanes of each 2 kLanes are a pair.
  int32_t* key_pairs;     // [paddedDim / 2, 128]: pairs of dims; rows beyond headDim / 2 are not read
  int32_t* value_pairs;   // [64, headDim]: pairs of tokens; 0 beyond the tile's keys
  int16_t* rows;          // [128, paddedDim]: keys before they are transposed
  float* key_scales;      // [128]
  float* value_logs;      // [128]: ln(127 * value scale), added to the score
  float* value_inverses;  // [128]: 1 / (127 * value scale): takes it out of the denominator again
  int32_t* weights;       // [kTileRows, 64]: pairs of tokens; their scores are [kTileRows, 128]
  float* query_scales;    // [numQueries]
  float* offsets;         // [numQueries]: q . centre
  int16_t* queries;       // [numQueries, headDim]
};

WAVEKV_INLINE int64_t pad_dim(int64_t head_dim) { return (head_dim + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes); }

/// Floats that carve() lays out, 15 floats for alignment included.
inline int64_t scratch_floats(int64_t head_dim, int64_t num_queries) {
  const int64_t padded = pad_dim(head_dim);
  const int64_t tile = padded * kPanelWidth + kPanelWidth * head_dim + kWidth * padded / 2;
  const int64_t rows = 3 * kWidth + kTileRows * kWidth + kTileRows * kWidth / 2;
  return 15 + tile + rows + 2 * num_queries + num_queries * head_dim / 2;
}

inline TileScratch carve(float* scratch, int64_t head_dim, int64_t num_queries) {
  float* next = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(scratch) + 63) & ~uintptr_t{63});
  const auto take = [&next](int64_t floats) {
    float* part = next;
    next += floats;
    return part;
  };
  TileScratch tile;
  tile.padded_dim = pad_dim(head_dim);
  tile.keys = take(tile.padded_dim * kPanelWidth);
  tile.key_pairs = reinterpret_cast<int32_t*>(tile.keys);
  tile.values = take(kPanelWidth * head_dim);
  tile.value_pairs = reinterpret_cast<int32_t*>(tile.values);
  tile.rows = reinterpret_cast<int16_t*>(take(kWidth * tile.padded_dim / 2));
  tile.key_scales = take(kWidth);
  tile.value_logs = take(kWidth);
  tile.value_inverses = take(kWidth);
  tile.scores = take(kTileRows * kWidth);
  tile.weights = reinterpret_cast<int32_t*>(take(kTileRows * kWidth / 2));
  tile.query_scales = take(num_queries);
  tile.offsets = take(num_queries);
  tile.queries = reinterpret_cast<int16_t*>(take(num_queries * head_dim / 2));
  return tile;
}

/// Rounded queries, their scales and their products with the centre.
inline void load_queries(const float* q, int64_t num_queries, int64_t head_dim, const uint16_t* centre,
                         const TileScratch& tile) {
  for (int64_t a = 0; a < num_queries; ++a) {
    Vec largest = broadcast(0.0f), offset = largest;
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      const Vec x = load(q + a * head_dim + i);
      largest = max(largest, absolute(x));
      offset = fma(x, load_f16(centre + i), offset);
    }
    const float scale = maximum(largest) * (1.0f / kLargest);
    tile.query_scales[a] = scale;
    tile.offsets[a] = sum(offset);
    const Vec factor = broadcast(scale > kSmallestScale ? 1.0f / scale : 0.0f);
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      store_narrow(tile.queries + a * head_dim + i, to_integers(load(q + a * head_dim + i) * factor));
    }
  }
}

/// Pairs of keys side by side, from the rows.
inline void transpose_pairs(const TileScratch& tile) {
  const int64_t num_pairs = tile.padded_dim / 2;
  const float* rows = reinterpret_cast<const float*>(tile.rows);  // pairs, moved as they are
  for (int64_t t = 0; t < kWidth; t += kLanes) {
    for (int64_t i = 0; i < num_pairs; i += kLanes) {
      Vec square[kLanes];
      for (int j = 0; j < kLanes; ++j) square[j] = load(rows + (t + j) * num_pairs + i);
      transpose(square);
      for (int j = 0; j < kLanes; ++j) store(tile.keys + (i + j) * kWidth + t, square[j]);
    }
  }
}

/// Tokens first .. first + n of a kF16 range, n in 1..64.
inline void load_tile_f16(const KvRange& range, int64_t first, int64_t n, int64_t head_dim, const TileScratch& tile) {
  const auto row_of = [&](const uint8_t* base, int64_t t) {
    return reinterpret_cast<const uint16_t*>(base + (first + t) * range.stride);
  };
  for (int64_t t = 0; t < kPanelWidth; t += kLanes) {
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      Vec square[kLanes];
      for (int j = 0; j < kLanes; ++j) {
        square[j] = t + j < n ? load_f16(row_of(range.keys, t + j) + i) : broadcast(0.0f);
      }
      transpose(square);
      for (int j = 0; j < kLanes; ++j) store(tile.keys + (i + j) * kPanelWidth + t, square[j]);
    }
  }
  for (int64_t t = 0; t < kPanelWidth; ++t) {
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      store(tile.values + t * head_dim + i, t < n ? load_f16(row_of(range.values, t) + i) : broadcast(0.0f));
    }
  }
}

/// Tokens first .. first + n of a kQ8 range, n in 1..128. What lies beyond them is finite: weights of 0 take it out.
inline void load_tile_q8(const KvRange& range, int64_t first, int64_t n, int64_t head_dim, const TileScratch& tile) {
  const auto row_of = [&](int64_t t) {
    return reinterpret_cast<const int8_t*>(range.keys + (first + t) * range.stride);
  };
  for (int64_t t = 0; t < kWidth; ++t) {
    float scales[2] = {0.0f, 1.0f};
    int16_t* row = tile.rows + t * tile.padded_dim;
    if (t < n) {
      memcpy(scales, row_of(t) + 2 * head_dim, sizeof scales);
      for (int64_t i = 0; i < head_dim; i += 16) widen_16(row_of(t) + i, row + i);
    } else {
      memset(row, 0, static_cast<size_t>(tile.padded_dim) * sizeof(int16_t));
    }
    tile.key_scales[t] = scales[0];
    tile.value_logs[t] = scales[1];
  }
  transpose_pairs(tile);
  for (int64_t t = 0; t < kWidth; t += kLanes) {
    const Vec largest = max(load(tile.value_logs + t) * broadcast(kValueOne), broadcast(kSmallestValue));
    store(tile.value_inverses + t, broadcast(1.0f) / largest);
    store(tile.value_logs + t, log(largest));
  }
  for (int64_t pair = 0; pair < kWidth / 2; ++pair) {
    const int64_t t = pair / kLanes * 2 * kLanes + pair % kLanes;
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      const Pairs low = t < n ? load_integers(row_of(t) + head_dim + i) : zero_pairs();
      const Pairs high = t + kLanes < n ? load_integers(row_of(t + kLanes) + head_dim + i) : zero_pairs();
      store_pairs(tile.value_pairs + pair * head_dim + i, pair_up(low, high));
    }
  }
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
