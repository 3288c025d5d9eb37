#pragma once
// The attention kernels of one SIMD level; contracts in kernels.h beside the fields of the same names.
#include "kernels.h"

namespace wavekv {
namespace WAVEKV_ISA {

void attend_ranges(const float* q, int64_t num_queries, int64_t head_dim, const KvRange* ranges, int64_t num_ranges,
                   AttentionState state);
void attend_tile(const float* q, int64_t num_queries, int64_t head_dim, KvRange range, const int64_t* visible,
                 float* scratch, AttentionState state);
int64_t tile_scratch_floats(int64_t head_dim);
void score_clusters(const float* q, int64_t num_queries, int64_t head_dim, MetaIndex index,
                    const float* query_variance, float* log_mass, int64_t stride);
void estimate_clusters(int64_t num_queries, int64_t head_dim, MetaIndex index, const uint8_t* take,
                       const float* log_mass, int64_t stride, AttentionState state);
void merge_states(int64_t num_queries, int64_t head_dim, AttentionState from, AttentionState into);
void finish_state(int64_t num_queries, int64_t head_dim, AttentionState state, float* out);
void log_sum_exp(const float* x, int64_t n, float* max, float* sum);
void add_shares(const float* x, int64_t n, float log_total, float* share);

}  // namespace WAVEKV_ISA
}  // namespace wavekv
