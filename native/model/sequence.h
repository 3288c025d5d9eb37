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
  KvRange tail_range(int64_t row, int64_t first, int64_t count) const {
    const int64_t offset = first * geometry_.head_dim;
    return {KvType::kF16, reinterpret_cast<const uint8_t*>(tail_keys(row) + offset),
            reinterpret_cast<const uint8_t*>(tail_values(row) + offset), geometry_.head_dim * 2, count, nullptr};
  }
  /// Running sum of squares of the queries by dimension, for the query metric. f32 [headDim]
  float* query_squares(int64_t row) const { return sums_.as<float>() + row * geometry_.head_dim; }
  /// How the variance within clusters is spread over the dimensions, f32 [headDim] with sum 1: the diagonal of the variance
  /// term's P. (The whole matrix did no better and would be read in every step.)
  const float* key_spread(int64_t row) const { return key_spread_.data() + row * geometry_.head_dim; }

  /// A sequence with the same tokens: it shares the segments and copies the tail.
  std::shared_ptr<Sequence> fork() const;
  /// Copies keys and values of `count` tokens from token `first` on, in token order, to out, f16 [keys then values, row,
  /// count, headDim]: what append_tokens() of a sequence of the same model takes, whatever its index options. kQ8 is rounded.
  void read_tokens(int64_t first, int64_t count, uint16_t* out) const;
  void append_tokens(const uint16_t* keys_and_values, int64_t count);

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
  /// Appends a finished segment of a sequence that began with the same tokens; the tail must be empty.
  void adopt(std::shared_ptr<Segment> segment);

  ZoneTotals zones;

 private:
  /// f32 [headDim], or empty where the query metric is off.
  std::vector<float> query_scale(int64_t row) const;
  /// Adds a segment to the chain and its squares to the key spread.
  void chain(std::shared_ptr<Segment> segment);

  KvGeometry geometry_;
  int64_t num_tokens_ = 0;
  int64_t tail_tokens_ = 0;
  int64_t tail_values_;  // tailCapacity * headDim
  HugeBuffer tail_;      // f16 [keys then values, row, tailCapacity, headDim]
  HugeBuffer sums_;      // f32 [row, headDim]
  std::vector<float> key_spread_;        // f32 [row, headDim]
  std::vector<float> squares_;           // f32 [row, headDim], the same before scaling
  std::vector<std::shared_ptr<Segment>> segments_;
};

}  // namespace wavekv
