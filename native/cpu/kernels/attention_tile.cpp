// Prefill: many queries over one run of keys, in tiles of 64 keys that are converted to f32 once for all queries.
//
//   scratch  | key panel [headDim, 64] | values [64, headDim] | weights [6, 64] |   f32, aligned to 64 bytes
#include "attention_kernels.h"
#include "attention_rows.h"
#include "register_tile.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

static_assert(kPanelWidth == kBlockRows, "softmax_steps and the tile agree on the width");

struct TileBuffers {
  float* panel;    // f32 [headDim, kPanelWidth], keys transposed; 0 beyond the tile's keys
  float* values;   // f32 [kPanelWidth, headDim]; 0 beyond the tile's keys
  float* weights;  // f32 [kTileRows, kPanelWidth]
};

TileBuffers carve(float* scratch, int64_t head_dim) {
  float* aligned = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(scratch) + 63) & ~uintptr_t{63});
  float* values = aligned + head_dim * kPanelWidth;
  return {aligned, values, values + kPanelWidth * head_dim};
}

/// Converts keys [n, headDim] and values [n, headDim] of one tile.
void load_tile(const uint16_t* keys, const uint16_t* values, int64_t n, int64_t head_dim, const TileBuffers& tile) {
  for (int64_t t = 0; t < kPanelWidth; t += kLanes) {
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      Vec square[kLanes];
      for (int j = 0; j < kLanes; ++j) {
        square[j] = t + j < n ? load_f16(keys + (t + j) * head_dim + i) : broadcast(0.0f);
      }
      transpose(square);
      for (int j = 0; j < kLanes; ++j) store(tile.panel + (i + j) * kPanelWidth + t, square[j]);
    }
  }
  const int64_t used = n * head_dim;
  for (int64_t i = 0; i < kPanelWidth * head_dim; i += kLanes) {
    store(tile.values + i, i < used ? load_f16(values + i) : broadcast(0.0f));
  }
}

template <int R>
WAVEKV_INLINE void tile_scores(const float* q, int64_t head_dim, const TileBuffers& tile) {
  for (int64_t t = 0; t < kPanelWidth; t += kTileVecs * kLanes) {
    Vec acc[R][kTileVecs];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVecs; ++v) acc[r][v] = broadcast(0.0f);
    }
    multiply_tile<R, kTileVecs>(acc, q, head_dim, 1, head_dim, tile.panel + t, kPanelWidth);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kTileVecs; ++v) store(tile.weights + r * kPanelWidth + t + v * kLanes, acc[r][v]);
    }
  }
}

template <int R, int V>
WAVEKV_INLINE void tile_outputs(const float* scale, int64_t num_keys, int64_t head_dim, int64_t column,
                                const TileBuffers& tile, float* out) {
  Vec acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[r][v] = load(out + r * head_dim + column + v * kLanes) * broadcast(scale[r]);
  }
  multiply_tile<R, V>(acc, tile.weights, kPanelWidth, 1, num_keys, tile.values + column, head_dim);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(out + r * head_dim + column + v * kLanes, acc[r][v]);
  }
}

/// R queries over one tile of num_keys keys; seen: [R], how many of them each query sees.
template <int R>
void attend_rows(const float* q, int64_t head_dim, int64_t num_keys, const int64_t* seen, const TileBuffers& tile,
                 AttentionState state) {
  float scale[R];
  tile_scores<R>(q, head_dim, tile);
  softmax_steps<R>(tile.weights, seen, kPanelWidth, state.max, state.denominator, scale);
  int64_t column = 0;
  for (; column + kTileVecs * kLanes <= head_dim; column += kTileVecs * kLanes) {
    tile_outputs<R, kTileVecs>(scale, num_keys, head_dim, column, tile, state.out);
  }
  for (; column < head_dim; column += kLanes) {
    tile_outputs<R, 1>(scale, num_keys, head_dim, column, tile, state.out);
  }
}

using AttendRows = void (*)(const float*, int64_t, int64_t, const int64_t*, const TileBuffers&, AttentionState);
constexpr AttendRows kAttendRows[kTileRows] = {attend_rows<1>, attend_rows<2>, attend_rows<3>,
                                               attend_rows<4>, attend_rows<5>, attend_rows<6>};

int64_t clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

}  // namespace

int64_t tile_scratch_floats(int64_t head_dim) {
  return 16 + 2 * head_dim * kPanelWidth + kTileRows * kPanelWidth;
}

void attend_tile(const float* q, int64_t num_queries, int64_t head_dim, KvRange range, const int64_t* visible,
                 float* scratch, AttentionState state) {
  const TileBuffers tile = carve(scratch, head_dim);
  int64_t farthest = visible == nullptr ? range.num_tokens : 0;
  for (int64_t a = 0; visible != nullptr && a < num_queries; ++a) {
    const int64_t seen = clamp(visible[a], 0, range.num_tokens);
    farthest = seen > farthest ? seen : farthest;
  }
  for (int64_t first = 0; first < farthest; first += kPanelWidth) {
    const int64_t num_keys = clamp(farthest - first, 0, kPanelWidth);
    load_tile(range.keys + first * head_dim, range.values + first * head_dim, num_keys, head_dim, tile);
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
      kAttendRows[rows - 1](q + a * head_dim, head_dim, most, seen, tile, part);
    }
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
