#pragma once
// What a row's clusters leave behind: order, centroids, value sums, variances, squares by dimension.
#include "kernels.h"
#include "vec_ops.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr float kMaxHalf = 65504.0f;

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

/// Centroid, value sum and variance of one cluster; its members' squared deviations by dimension are added to squares.
inline void summarise_cluster(const uint16_t* keys, const uint16_t* values, int64_t head_dim, const uint16_t* members,
                              int64_t size, uint16_t* centroid, uint16_t* value_sum, float* variance, float* squares) {
  const Vec inverse = broadcast(1.0f / static_cast<float>(size));
  const Vec high = broadcast(kMaxHalf), low = broadcast(-kMaxHalf);
  Vec total = broadcast(0.0f);
  for (int64_t i = 0; i < head_dim; i += kLanes) {
    Vec key_sum = broadcast(0.0f), sum_of_values = broadcast(0.0f), of_dim = broadcast(0.0f);
    for (int64_t t = 0; t < size; ++t) {
      key_sum = key_sum + load_f16(keys + members[t] * head_dim + i);
      sum_of_values = sum_of_values + load_f16(values + members[t] * head_dim + i);
    }
    const Vec mean = key_sum * inverse;
    store_f16(centroid + i, mean);
    store_f16(value_sum + i, min(max(sum_of_values, low), high));
    for (int64_t t = 0; t < size; ++t) {
      const Vec deviation = load_f16(keys + members[t] * head_dim + i) - mean;
      of_dim = fma(deviation, deviation, of_dim);
    }
    store(squares + i, load(squares + i) + of_dim);
    total = total + of_dim;
  }
  *variance = sum(total * inverse);
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
