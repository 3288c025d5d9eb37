#include "segment.h"

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
  const int64_t keys_and_values = 2 * g.index.segment_tokens * g.head_dim * 2;
  const int64_t index = g.max_clusters * (2 * g.head_dim * 2 + 4 + 2) + g.index.segment_tokens * 2 + 2;
  return g.num_rows() * (keys_and_values + index + g.head_dim * 4) + 9 * kAlignBytes;
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
      row_values_(g.index.segment_tokens * g.head_dim),
      index_values_(g.max_clusters * g.head_dim) {
  const int64_t rows = num_rows_;
  int64_t end = 0;
  place(end, rows * row_values_ * 2);
  values_offset_ = place(end, rows * row_values_ * 2);
  centroids_offset_ = place(end, rows * index_values_ * 2);
  value_sums_offset_ = place(end, rows * index_values_ * 2);
  variances_offset_ = place(end, rows * max_clusters_ * 4);
  sizes_offset_ = place(end, rows * max_clusters_ * 2);
  order_offset_ = place(end, rows * segment_tokens_ * 2);
  counts_offset_ = place(end, rows * 2);
  squares_offset_ = place(end, rows * head_dim_ * 4);
  buffer_ = HugeBuffer(end);
}

}  // namespace wavekv
