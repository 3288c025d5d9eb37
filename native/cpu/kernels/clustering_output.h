#pragma once
// What a row's clusters leave behind: order, centroids, value sums, variances, pooled covariance.
#include "kernels.h"
#include "register_tile.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr float kMaxHalf = 65504.0f;
constexpr int kCovarianceRows = 4;  // divides every head dim

/// sizes and order from the labels: clusters by id, members by token. offsets: [numClusters + 1], scratch and result.
inline void order_members(const int32_t* label, int64_t n, int32_t num_clusters, int32_t* offsets, uint16_t* sizes,
                          uint16_t* order) {
  for (int32_t c = 0; c <= num_clusters; ++c) offsets[c] = 0;
  for (int64_t t = 0; t < n; ++t) ++offsets[label[t] + 1];
  for (int32_t c = 0; c < num_clusters; ++c) {
    sizes[c] = static_cast<uint16_t>(offsets[c + 1]);
    offsets[c + 1] += offsets[c];
  }
  for (int64_t t = 0; t < n; ++t) order[offsets[label[t]]++] = static_cast<uint16_t>(t);
  for (int32_t c = num_clusters; c > 0; --c) offsets[c] = offsets[c - 1];
  offsets[0] = 0;
}

/// Centroid, value sum and variance of one cluster. deviations: f32 [size, headDim], k - C of each member, or null.
inline void summarise_cluster(const uint16_t* keys, const uint16_t* values, int64_t head_dim, const uint16_t* members,
                              int64_t size, uint16_t* centroid, uint16_t* value_sum, float* variance,
                              float* deviations) {
  const Vec inverse = broadcast(1.0f / static_cast<float>(size));
  const Vec high = broadcast(kMaxHalf), low = broadcast(-kMaxHalf);
  Vec squares = broadcast(0.0f);
  for (int64_t i = 0; i < head_dim; i += kLanes) {
    Vec key_sum = broadcast(0.0f), sum_of_values = broadcast(0.0f);
    for (int64_t t = 0; t < size; ++t) {
      key_sum = key_sum + load_f16(keys + members[t] * head_dim + i);
      sum_of_values = sum_of_values + load_f16(values + members[t] * head_dim + i);
    }
    const Vec mean = key_sum * inverse;
    store_f16(centroid + i, mean);
    store_f16(value_sum + i, min(max(sum_of_values, low), high));
    for (int64_t t = 0; t < size; ++t) {
      const Vec deviation = load_f16(keys + members[t] * head_dim + i) - mean;
      squares = fma(deviation, deviation, squares);
      if (deviations != nullptr) store(deviations + t * head_dim + i, deviation);
    }
  }
  *variance = sum(squares * inverse);
}

template <int V>
WAVEKV_INLINE void add_outer_tile(const float* rows, int64_t n, int64_t head_dim, int64_t i, int64_t j, float* matrix) {
  Vec acc[kCovarianceRows][V];
  for (int r = 0; r < kCovarianceRows; ++r) {
    for (int v = 0; v < V; ++v) acc[r][v] = load(matrix + (i + r) * head_dim + j + v * kLanes);
  }
  multiply_tile<kCovarianceRows, V>(acc, rows + i, 1, head_dim, n, rows + j, head_dim);
  for (int r = 0; r < kCovarianceRows; ++r) {
    for (int v = 0; v < V; ++v) store(matrix + (i + r) * head_dim + j + v * kLanes, acc[r][v]);
  }
}

/// matrix [headDim, headDim] = sum over the n rows [n, headDim] of row row^T.
inline void sum_outer_products(const float* rows, int64_t n, int64_t head_dim, float* matrix) {
  for (int64_t i = 0; i < head_dim * head_dim; ++i) matrix[i] = 0.0f;
  constexpr int64_t kChunk = 64;  // rows that stay in L1 while all tiles pass over them
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    const int64_t count = n - begin < kChunk ? n - begin : kChunk;
    const float* chunk = rows + begin * head_dim;
    for (int64_t i = 0; i < head_dim; i += kCovarianceRows) {
      int64_t j = 0;
      for (; j + kTileVecs * kLanes <= head_dim; j += kTileVecs * kLanes) {
        add_outer_tile<kTileVecs>(chunk, count, head_dim, i, j, matrix);
      }
      for (; j < head_dim; j += kLanes) add_outer_tile<1>(chunk, count, head_dim, i, j, matrix);
    }
  }
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
