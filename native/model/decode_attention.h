#pragma once
#include <cstdint>
#include <vector>

#include "block_cache.h"
#include "control_plane_regions.h"
#include "kernels.h"
#include "kv_geometry.h"
#include "sequence.h"
#include "thread_pool.h"

namespace wavekv {

/// By what clusters are ranked for retrieval, summed over the query heads of a KV head.
enum class Ranking {
  kError,     // what estimating the cluster is expected to get wrong, per token that retrieving it reads
  kMass,      // its share of the whole attention mass, sizes and steady zone included
  kCentroid,  // the centroids' softmax alone, as published
};

/// How wave attention spends its reads.
struct WaveOptions {
  double estimation_budget = 1.0;  // share of the clusters, next in rank after the retrieved ones, that are estimated
  int64_t min_clusters = 16;       // floor of retrieved clusters a row
  double variance_term = 0.5;  // strength 0..1 of the spread's part in a cluster's estimated mass
  Ranking ranking = Ranking::kError;
};

/// One decode token of one sequence in the batch.
struct DecodeEntry {
  Sequence* sequence;
  int64_t token;  // index in the batch
  bool wave;
  double retrieval_budget;
};

/// Attention of all decode tokens of a batch, one layer at a time: score() computes the steady zone and scores the
/// centroids, choose() writes what each row wants to retrieve; the control plane turns that into access plans; attend()
/// reads them, merge() sums up. Rows of sequences in full mode skip the first half.
class DecodeAttention {
 public:
  DecodeAttention(const KvGeometry& geometry, const WaveOptions& options, const ControlPlaneRegions& regions,
                  const BlockCache& block_cache, const Kernels& kernels, ThreadPool& pool);

  void set_options(const WaveOptions& options) { options_ = options; }
  /// Entries in wave mode come first and have batch rows [entry, kvHead] in the request and plan regions.
  void begin(std::vector<DecodeEntry> entries);
  int64_t num_wave_rows() const { return num_wave_rows_; }
  /// The batch's segment in a slot of the control plane, or nullptr.
  const Segment* segment_in_slot(uint32_t slot) const {
    return slot < segment_by_slot_.size() ? segment_by_slot_[slot] : nullptr;
  }
  /// queries: f32 [batch token, numHeads, headDim], divided by sqrt(headDim).
  void score(int64_t layer, const float* queries);
  void choose(int64_t layer);
  void attend(int64_t layer, const float* queries);
  /// out: f32 [batch token, numHeads, headDim].
  void merge(float* out);

 private:
  enum Zone { kSteady, kRetrieval, kEstimation, kNumZones };
  struct Row {
    const DecodeEntry* entry;
    int64_t kv_head;
    int64_t num_clusters;      // of this layer's row, over all segments
    int64_t num_retrieved;     // clusters
    int64_t estimated_tokens;  // in the estimation zone
    std::vector<int64_t> cluster_offsets;  // [segment]: first cluster in log_mass, share, priority
    std::vector<MetaIndex> indexes;        // [segment]
    std::vector<float> log_mass;           // [groupSize, stride]
    std::vector<float> mass;               // [groupSize, stride]: exp(log mass - the part's largest)
    std::vector<float> part_max, part_sum;  // [part, groupSize]: of the log masses; sum of the masses
    std::vector<float> part_scale;          // [part]
    std::vector<float> share;              // [stride]: summed over the query heads; -1 once a cluster is retrieved
    std::vector<float> priority;           // [stride]: order of retrieval
    std::vector<uint32_t> chosen;          // [stride]: scratch of the selection
    std::vector<EstimatedCluster> estimated;
    double cluster_share;  // of all clusters, summed over the query heads
    double unattended;  // estimated share of mass that no zone covers, summed over the group's query heads
    ZoneTotals totals;
  };

  /// The part's share of the segments, and their clusters.
  struct PartClusters {
    int64_t first_segment, last_segment, first, count;
  };
  PartClusters part_clusters(const Row& row, int64_t part) const;
  const float* row_queries(const Row& row, const float* queries) const;
  AttentionState state(int64_t row, int64_t part, Zone zone);
  AttentionState fresh_state(int64_t row, int64_t part, Zone zone);
  /// Lists the row's indexes and makes room for its clusters.
  void gather_indexes(Row& row, int64_t layer);
  void attend_tail(Row& row, int64_t part, int64_t layer, const float* queries, AttentionState state);
  void score_part(int64_t row, int64_t part, int64_t layer, const float* queries);
  void rank(Row& row, AttentionState steady);
  void prioritise(Row& row);
  void choose_retrieved(Row& row, int64_t row_index, int64_t layer);
  void choose_estimated(Row& row);
  void choose_clusters(Row& row, int64_t row_index, int64_t layer);
  void attend_part(int64_t row, int64_t part, int64_t layer, const float* queries);
  /// One part of a row's access plan as memory.
  void plan_ranges(const Row& row, int64_t row_index, int64_t part, int64_t layer, std::vector<KvRange>& ranges) const;
  void attend_plan(Row& row, int64_t row_index, int64_t part, int64_t layer, const float* queries);
  void attend_segments(Row& row, int64_t part, int64_t layer, const float* queries, AttentionState state);
  void finish_row(Row& row, int64_t row_index, float* out);
  void count_zones(Row& row, int64_t row_index);

  KvGeometry geometry_;
  WaveOptions options_;
  ControlPlaneRegions regions_;
  const BlockCache& block_cache_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::vector<DecodeEntry> entries_;
  std::vector<Row> rows_;
  std::vector<const Segment*> segment_by_slot_;
  int64_t num_rows_ = 0, num_wave_rows_ = 0, num_parts_ = 1;
  std::vector<std::vector<KvRange>> ranges_;  // [row, part], kept for their memory
  std::vector<float> states_;  // [row, part, zone, groupSize, headDim + 2]
};

}  // namespace wavekv
