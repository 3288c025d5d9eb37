#pragma once
// The clustering kernels of one SIMD level; contracts in kernels.h beside the fields of the same names.
#include "kernels.h"

namespace wavekv {
namespace WAVEKV_ISA {

int32_t cluster_row(const uint16_t* keys, const uint16_t* values, int64_t n, int64_t head_dim,
                    const float* query_scale, ClusteringOptions options, int32_t capacity, float* scratch,
                    RowClusters& out);
int64_t cluster_scratch_floats(int64_t n, int64_t head_dim, int64_t capacity);

}  // namespace WAVEKV_ISA
}  // namespace wavekv
