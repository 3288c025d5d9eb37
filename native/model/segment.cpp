#include "segment.h"

#include <cstring>
#include <vector>

namespace wavekv {
namespace {

constexpr int64_t kAlignBytes = 64;

int64_t place(int64_t& end, int64_t bytes) {
  const int64_t offset = end;
  end = (end + bytes + kAlignBytes - 1) / kAlignBytes * kAlignBytes;
  return offset;
}

}  // namespace

int64_t max_clusters_per_row(const IndexOptions& options) {
  const int64_t start = options.segment_tokens / options.clustering.tokens_per_cluster + 1;
  return start + options.segment_tokens / options.clustering.max_cluster_size + 1;
}

int64_t segment_bytes(const KvGeometry& g) {
  const int64_t index = g.max_clusters * (2 * g.head_dim + 3 * 4 + 2) + g.index.segment_tokens * 2 + 2;
  return g.num_rows() * (g.index.segment_tokens * g.record_bytes() + index + g.head_dim * (4 + 2)) + 11 * kAlignBytes;
}

int64_t sequence_bytes(const KvGeometry& g) {
  return g.num_rows() * (2 * g.tail_capacity * g.head_dim * 2 + 3 * g.head_dim * 4);
}

Segment::Segment(const KvGeometry& g, int64_t slot)
    : slot_(slot),
      num_rows_(g.num_rows()),
      segment_tokens_(g.index.segment_tokens),
      max_clusters_(g.max_clusters),
      head_dim_(g.head_dim),
      record_bytes_(g.record_bytes()),
      index_values_(g.max_clusters * g.head_dim),
      kv_type_(g.kv_type) {
  const int64_t rows = num_rows_;
  int64_t end = 0;
  place(end, rows * segment_tokens_ * record_bytes_);
  centroids_offset_ = place(end, rows * index_values_);
  value_sums_offset_ = place(end, rows * index_values_);
  centroid_scales_offset_ = place(end, rows * max_clusters_ * 4);
  value_scales_offset_ = place(end, rows * max_clusters_ * 4);
  variances_offset_ = place(end, rows * max_clusters_ * 4);
  sizes_offset_ = place(end, rows * max_clusters_ * 2);
  order_offset_ = place(end, rows * segment_tokens_ * 2);
  counts_offset_ = place(end, rows * 2);
  squares_offset_ = place(end, rows * head_dim_ * 4);
  centres_offset_ = place(end, rows * head_dim_ * 2);
  buffer_ = HugeBuffer(end);
}

void Segment::read_token(int64_t row, int64_t i, uint16_t* key, uint16_t* value) const {
  const uint8_t* record = records(row) + i * record_bytes_;
  if (kv_type_ == KvType::kF16) {
    memcpy(key, record, static_cast<size_t>(head_dim_) * 2);
    memcpy(value, record + 2 * head_dim_, static_cast<size_t>(head_dim_) * 2);
    return;
  }
  const Kernels& kernels = portable::kKernels;
  float scales[2];
  memcpy(scales, record + 2 * head_dim_, sizeof scales);
  std::vector<float> x(static_cast<size_t>(head_dim_));
  kernels.from_f16(centre(row), x.data(), head_dim_);
  const int8_t* bytes = reinterpret_cast<const int8_t*>(record);
  for (size_t d = 0; d < x.size(); ++d) x[d] += scales[0] * static_cast<float>(bytes[d]);
  kernels.to_f16(x.data(), key, head_dim_);
  for (size_t d = 0; d < x.size(); ++d) x[d] = scales[1] * static_cast<float>(bytes[x.size() + d]);
  kernels.to_f16(x.data(), value, head_dim_);
}

}  // namespace wavekv
