#pragma once
// The attention kernels of one SIMD level; contracts in kernels.h beside the fields of the same names.
#include "kernels.h"

namespace wavekv {
namespace WAVEKV_ISA {

void attend_ranges(const float* q, int64_t num_queries, int64_t head_dim, const KvRange* ranges, int64_t num_ranges,
                   AttentionState state);
/// attend_ranges() of at most 32 queries over ranges of KvType::kQ8.
void attend_ranges_i8(const float* q, int64_t num_queries, int64_t head_dim, const KvRange* ranges, int64_t num_ranges,
                      AttentionState state);
void attend_tile(const float* q, int64_t num_queries, int64_t head_dim, KvRange range, const int64_t* visible,
                 float* scratch, AttentionState state);
int64_t tile_scratch_floats(int64_t head_dim, int64_t num_queries);
void score_clusters(const float* q, int64_t num_queries, int64_t head_dim, const MetaIndex* indexes,
                    int64_t num_indexes, const float* query_variance, float* log_mass, int64_t stride);
void estimate_clusters(int64_t num_queries, int64_t head_dim, const EstimatedCluster* clusters, int64_t num_clusters,
                       const float* log_mass, int64_t stride, AttentionState state);
void merge_states(int64_t num_queries, int64_t head_dim, AttentionState from, AttentionState into);
void finish_state(int64_t num_queries, int64_t head_dim, AttentionState state, float* out);
void softmax_terms(const float* x, int64_t n, float* out, float* max, float* sum);
void add_scaled(const float* x, int64_t n, float scale, float* y);
void expected_error(const float* share, const float* variances, const uint16_t* sizes, int64_t n, float* priority);
int64_t select_largest(const float* x, int64_t n, int64_t k, uint32_t* out);

}  // namespace WAVEKV_ISA
}  // namespace wavekv
