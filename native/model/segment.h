#pragma once
#include <cstdint>

#include "huge_buffer.h"
#include "kernels.h"
#include "kv_geometry.h"

namespace wavekv {

/// An immutable run of segmentTokens tokens: keys and values of every row in cluster order, with their meta index.
///
///   buffer   keys        f16 [row, segmentTokens, headDim]
///            values      f16 [row, segmentTokens, headDim]
///            centroids   f16 [row, maxClusters, headDim]
///            value sums  f16 [row, maxClusters, headDim]
///            variances   f32 [row, maxClusters]
///            sizes       u16 [row, maxClusters]
///            order       u16 [row, segmentTokens]   cluster order -> token index in the segment
///            counts      u16 [row]                  clusters in use
///            squares     f32 [row, headDim]         sum over members of (k_d - C_d)^2, the sink left out
class Segment {
 public:
  Segment(const KvGeometry& geometry, int64_t slot);

  int64_t slot() const { return slot_; }
  int64_t num_rows() const { return num_rows_; }
  int64_t num_tokens() const { return segment_tokens_; }
  int64_t size_bytes() const { return buffer_.size_bytes(); }

  uint16_t* keys(int64_t row) const { return buffer_.as<uint16_t>() + row * row_values_; }
  uint16_t* values(int64_t row) const { return buffer_.as<uint16_t>(values_offset_) + row * row_values_; }
  uint16_t* centroids(int64_t row) const { return buffer_.as<uint16_t>(centroids_offset_) + row * index_values_; }
  uint16_t* value_sums(int64_t row) const { return buffer_.as<uint16_t>(value_sums_offset_) + row * index_values_; }
  float* variances(int64_t row) const { return buffer_.as<float>(variances_offset_) + row * max_clusters_; }
  uint16_t* sizes(int64_t row) const { return buffer_.as<uint16_t>(sizes_offset_) + row * max_clusters_; }
  uint16_t* order(int64_t row) const { return buffer_.as<uint16_t>(order_offset_) + row * segment_tokens_; }
  uint16_t& count(int64_t row) const { return buffer_.as<uint16_t>(counts_offset_)[row]; }
  float* squares(int64_t row) const { return buffer_.as<float>(squares_offset_) + row * head_dim_; }

  MetaIndex meta_index(int64_t row) const {
    return {centroids(row), value_sums(row), sizes(row), variances(row), count(row)};
  }

 private:
  int64_t slot_;
  int64_t num_rows_;
  int64_t segment_tokens_, max_clusters_, head_dim_;
  int64_t row_values_;    // segmentTokens * headDim
  int64_t index_values_;  // maxClusters * headDim
  int64_t values_offset_, centroids_offset_, value_sums_offset_, variances_offset_, sizes_offset_, order_offset_,
      counts_offset_, squares_offset_;
  HugeBuffer buffer_;
};

}  // namespace wavekv
