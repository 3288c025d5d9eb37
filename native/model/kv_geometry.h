#pragma once
#include <cstdint>

#include "kernels.h"

namespace wavekv {

/// How the wave index is built; fixed for the life of a model runner.
struct IndexOptions {
  int64_t segment_tokens = 1024;
  int64_t local_window = 256;   // newest tokens that never enter a segment
  int64_t sink_tokens = 4;      // first tokens of a sequence, cluster 0 of its first segment, always attended
  double query_metric = 0;      // strength 0..1: keys are scaled by rms(query dim)^strength before clustering
  ClusteringOptions clustering{true, 5, 16, 32};
};

/// Sizes that every KV buffer is laid out by.
struct KvGeometry {
  int64_t num_layers;
  int64_t num_kv_heads;
  int64_t group_size;  // query heads that share a KV head
  int64_t head_dim;
  int64_t max_clusters;   // cluster capacity of a row of a segment
  int64_t tail_capacity;  // tokens that a sequence's tail can hold
  KvType kv_type;         // of keys and values in segments; the tail is f16
  IndexOptions index;

  int64_t num_rows() const { return num_layers * num_kv_heads; }
  int64_t record_bytes() const { return kv_record_bytes(kv_type, head_dim); }
  int64_t row(int64_t layer, int64_t kv_head) const { return layer * num_kv_heads + kv_head; }
};

/// Capacity that splitting can never exceed: every split cluster but one of its parts is more than half full.
int64_t max_clusters_per_row(const IndexOptions& options);
/// Bytes of one segment, index included.
int64_t segment_bytes(const KvGeometry& geometry);
/// Bytes of one sequence outside its segments (tail, running sums).
int64_t sequence_bytes(const KvGeometry& geometry);

}  // namespace wavekv
