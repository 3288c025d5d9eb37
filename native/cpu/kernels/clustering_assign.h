#pragma once
// The assignment step of k-means: which centroid fits each point best. score(x, c) = x . c - bias[c]; its maximum over
// c is the nearest centroid when bias = |c|^2 / 2, and the most similar one when centroids have unit length and bias is 0
// or any constant.
#include "register_tile.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr int64_t kChunkPoints = 60;         // points whose running best stays in L1 beside one panel
constexpr float kNeverBest = 1e30f;          // bias of the columns that pad the last panel

/// Running best of one chunk, a vector of candidates a point.
struct ChunkBest {
  float score[kChunkPoints * kLanes];
  float index[kChunkPoints * kLanes];  // exact as float: at most 65535
};

/// R points against the kTileVecs * kLanes columns that begin at `column` of a panel; first: index of that column.
template <int R>
void assign_tile(const float* points, int64_t head_dim, const float* panel, const float* bias, int64_t first,
                 float* best_score, float* best_index) {
  Vec acc[R][kTileVecs];
#pragma GCC unroll 4
  for (int v = 0; v < kTileVecs; ++v) {
    const Vec start = broadcast(0.0f) - load(bias + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r][v] = start;
  }
  multiply_tile<R, kTileVecs>(acc, points, head_dim, 1, head_dim, panel, kPanelWidth);
  const Vec lanes = lane_numbers();
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    Vec score = load(best_score + r * kLanes), index = load(best_index + r * kLanes);
#pragma GCC unroll 4
    for (int v = 0; v < kTileVecs; ++v) {  // strictly greater: the lowest index wins a tie
      const Vec here = lanes + broadcast(static_cast<float>(first + v * kLanes));
      index = select_greater(acc[r][v], score, here, index);
      score = max(acc[r][v], score);
    }
    store(best_score + r * kLanes, score);
    store(best_index + r * kLanes, index);
  }
}

using AssignTile = void (*)(const float*, int64_t, const float*, const float*, int64_t, float*, float*);
constexpr AssignTile kAssignTiles[kTileRows] = {assign_tile<1>, assign_tile<2>, assign_tile<3>,
                                                assign_tile<4>, assign_tile<5>, assign_tile<6>};

/// points: [n, headDim]; panels: [numPanels, headDim, kPanelWidth]; bias: [numPanels * kPanelWidth].
/// Writes label and score of the best centroid of each point; ties go to the lowest index.
inline void assign_points(const float* points, int64_t n, int64_t head_dim, const float* panels, int64_t num_panels,
                          const float* bias, int32_t* label, float* score) {
  ChunkBest best;
  for (int64_t begin = 0; begin < n; begin += kChunkPoints) {
    const int64_t count = n - begin < kChunkPoints ? n - begin : kChunkPoints;
    for (int64_t i = 0; i < count * kLanes; ++i) {
      best.score[i] = -3e38f;
      best.index[i] = 0.0f;
    }
    for (int64_t column = 0; column < num_panels * kPanelWidth; column += kTileVecs * kLanes) {
      const float* panel = panels + column / kPanelWidth * kPanelWidth * head_dim + column % kPanelWidth;
      for (int64_t t = 0; t < count; t += kTileRows) {
        const int64_t rows = count - t < kTileRows ? count - t : kTileRows;
        kAssignTiles[rows - 1](points + (begin + t) * head_dim, head_dim, panel, bias + column, column,
                               best.score + t * kLanes, best.index + t * kLanes);
      }
    }
    for (int64_t t = 0; t < count; ++t) {
      float top = best.score[t * kLanes], index = best.index[t * kLanes];
      for (int64_t lane = 1; lane < kLanes; ++lane) {
        const float s = best.score[t * kLanes + lane], i = best.index[t * kLanes + lane];
        if (s > top || (s == top && i < index)) {
          top = s;
          index = i;
        }
      }
      label[begin + t] = static_cast<int32_t>(index);
      score[begin + t] = top;
    }
  }
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
