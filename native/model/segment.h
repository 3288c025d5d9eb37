#pragma once
#include <cstdint>

#include "huge_buffer.h"
#include "kernels.h"
#include "kv_geometry.h"

namespace wavekv {

/// An immutable run of segmentTokens tokens: keys and values of every row in cluster order, with their meta index.
///
///   buffer   records          u8  [row, segmentTokens, recordBytes], keys and values as KvRange draws them
///            centroids        i8  [row, maxClusters, headDim], as MetaIndex says
///            value sums       i8  [row, maxClusters, headDim]
///            centroid scales  f32 [row, maxClusters]
///            value scales     f32 [row, maxClusters]
///            variances        f32 [row, maxClusters]
///            sizes            u16 [row, maxClusters]
///            order            u16 [row, segmentTokens]   cluster order -> token index in the segment
///            counts           u16 [row]                  clusters in use
///            squares          f32 [row, headDim]         sum over members of (k_d - C_d)^2, the sink left out
///            centres          f16 [row, headDim]         mean of the keys, the sink left out
class Segment {
 public:
  Segment(const KvGeometry& geometry, int64_t slot);

  int64_t slot() const { return slot_; }
  int64_t num_rows() const { return num_rows_; }
  int64_t num_tokens() const { return segment_tokens_; }
  int64_t size_bytes() const { return buffer_.size_bytes(); }

  uint8_t* records(int64_t row) const { return buffer_.as<uint8_t>() + row * segment_tokens_ * record_bytes_; }
  int8_t* centroids(int64_t row) const { return buffer_.as<int8_t>(centroids_offset_) + row * index_values_; }
  int8_t* value_sums(int64_t row) const { return buffer_.as<int8_t>(value_sums_offset_) + row * index_values_; }
  float* centroid_scales(int64_t row) const { return buffer_.as<float>(centroid_scales_offset_) + row * max_clusters_; }
  float* value_scales(int64_t row) const { return buffer_.as<float>(value_scales_offset_) + row * max_clusters_; }
  float* variances(int64_t row) const { return buffer_.as<float>(variances_offset_) + row * max_clusters_; }
  uint16_t* sizes(int64_t row) const { return buffer_.as<uint16_t>(sizes_offset_) + row * max_clusters_; }
  uint16_t* order(int64_t row) const { return buffer_.as<uint16_t>(order_offset_) + row * segment_tokens_; }
  uint16_t& count(int64_t row) const { return buffer_.as<uint16_t>(counts_offset_)[row]; }
  float* squares(int64_t row) const { return buffer_.as<float>(squares_offset_) + row * head_dim_; }
  uint16_t* centre(int64_t row) const { return buffer_.as<uint16_t>(centres_offset_) + row * head_dim_; }

  /// `count` tokens from `first` on, in cluster order.
  KvRange range(int64_t row, int64_t first, int64_t count) const {
    return kv_records(kv_type_, records(row), head_dim_, first, count, centre(row));
  }
  /// Key and value of the i-th token in cluster order, f16 [headDim] each.
  void read_token(int64_t row, int64_t i, uint16_t* key, uint16_t* value) const;
  MetaIndex meta_index(int64_t row) const {
    return {centroids(row), value_sums(row), centroid_scales(row), value_scales(row),
            centre(row),    sizes(row),      variances(row),       count(row)};
  }

 private:
  int64_t slot_;
  int64_t num_rows_;
  int64_t segment_tokens_, max_clusters_, head_dim_, record_bytes_;
  int64_t index_values_;  // maxClusters * headDim
  KvType kv_type_;
  int64_t centroids_offset_, value_sums_offset_, centroid_scales_offset_, value_scales_offset_, variances_offset_,
      sizes_offset_, order_offset_, counts_offset_, squares_offset_, centres_offset_;
  HugeBuffer buffer_;
};

}  // namespace wavekv
