#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "huge_buffer.h"
#include "kernels.h"
#include "kv_geometry.h"
#include "segment.h"
#include "thread_pool.h"

namespace wavekv {

/// Attention mass and bytes of a sequence's decode steps, summed over steps, layers and query heads.
struct ZoneTotals {
  double steady_mass = 0, retrieval_mass = 0, estimation_mass = 0, unattended_mass = 0;  // shares of each softmax
  double query_heads = 0;                                                            // softmaxes counted
  double steady_tokens = 0, retrieval_tokens = 0, estimation_tokens = 0, rows = 0;
  double steady_bytes = 0, index_bytes = 0, retrieval_bytes = 0, estimation_bytes = 0;
  double full_bytes = 0;  // what full attention over f16 keys and values would have read
  double cache_hits = 0, cache_misses = 0;  // clusters

  ZoneTotals& operator+=(const ZoneTotals& other);
};

/// One sequence's KV cache: a chain of segments and the tail, the tokens after the last segment.
class Sequence {
 public:
  explicit Sequence(const KvGeometry& geometry);

  int64_t num_tokens() const { return num_tokens_; }
  int64_t tail_tokens() const { return tail_tokens_; }
  const std::vector<std::shared_ptr<Segment>>& segments() const { return segments_; }
  const KvGeometry& geometry() const { return geometry_; }

  uint16_t* tail_keys(int64_t row) const { return tail_.as<uint16_t>() + row * tail_values_; }
  uint16_t* tail_values(int64_t row) const {
    return tail_.as<uint16_t>() + (geometry_.num_rows() + row) * tail_values_;
  }
  /// Running sum of squares of the queries by dimension, for the query metric. f32 [headDim]
  float* query_squares(int64_t row) const { return sums_.as<float>() + row * geometry_.head_dim; }
  /// Pooled within-cluster covariance with trace 1, f32 [headDim, headDim]; the variance term's P.
  const float* covariance(int64_t row) const { return covariance_.data() + row * geometry_.head_dim * geometry_.head_dim; }

  /// Tokens that can still be appended before a segment must be built.
  int64_t tail_room() const { return geometry_.tail_capacity - tail_tokens_; }
  /// Appends `count` tokens whose keys and values are in the tail already.
  void advance(int64_t count);
  /// Whether the tail holds a whole segment beyond the local window.
  bool segment_ready() const;
  /// Builds the index over the tail's first segmentTokens tokens. ingest: u16 numClusters [row], then sizes
  /// [row, maxClusters], for the control plane. The sequence is unchanged until attach().
  std::shared_ptr<Segment> build_segment(int64_t slot, uint16_t* ingest, const Kernels& kernels, ThreadPool& pool);
  /// Moves the tail on by one segment that now stands for its first tokens.
  void attach(std::shared_ptr<Segment> segment);

  ZoneTotals zones;

 private:
  void build_row(int64_t row, Segment& segment, const Kernels& kernels, float* scratch, float* covariance) const;
  /// f32 [headDim], or empty where the query metric is off.
  std::vector<float> query_scale(int64_t row) const;
  /// The first tokens as cluster 0 of a row.
  void index_sink(int64_t row, Segment& segment, const Kernels& kernels) const;
  void fold_covariance();

  KvGeometry geometry_;
  int64_t num_tokens_ = 0;
  int64_t tail_tokens_ = 0;
  int64_t tail_values_;  // tailCapacity * headDim
  HugeBuffer tail_;      // f16 [keys then values, row, tailCapacity, headDim]
  HugeBuffer sums_;      // f32 [row, headDim]
  std::vector<float> covariance_;        // f32 [row, headDim, headDim], trace 1
  std::vector<float> covariance_total_;    // the same, not normalised, summed over segments
  std::vector<float> pending_covariance_;  // of the segment that was built last and not yet attached
  std::vector<std::shared_ptr<Segment>> segments_;
};

}  // namespace wavekv
