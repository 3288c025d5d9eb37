#pragma once
// The register-blocked product that prefill attention and clustering share.
#include "vec_ops.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr int64_t kPanelWidth = 64;                // columns of a transposed panel: keys or centroids
constexpr int kTileRows = 6;                       // 6 x 4 accumulators of 32 registers, 6 x 2 of 16
constexpr int kTileVecs = kLanes == 16 ? 4 : 2;

/// acc[r][v] += sum over i of rows[r * row_stride + i * step] * panel[i * panel_stride + v * kLanes ..].
template <int R, int V>
WAVEKV_INLINE void multiply_tile(Vec (&acc)[R][V], const float* rows, int64_t row_stride, int64_t step, int64_t depth,
                                 const float* panel, int64_t panel_stride) {
  for (int64_t i = 0; i < depth; ++i) {
    Vec b[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) b[v] = load(panel + i * panel_stride + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec a = broadcast(rows[r * row_stride + i * step]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
    }
  }
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
