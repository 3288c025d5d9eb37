#include "attention_kernels.h"
#include "clustering_kernels.h"
#include "elementwise_kernels.h"
#include "kernels.h"
#include "linear_kernels.h"

#define WAVEKV_STRING_(name) #name
#define WAVEKV_STRING(name) WAVEKV_STRING_(name)

namespace wavekv {
namespace WAVEKV_ISA {

extern const Kernels kKernels;
const Kernels kKernels = {
#if defined(__AVX512F__)
    SimdLevel::kAvx512,
#elif defined(__AVX2__)
    SimdLevel::kAvx2,
#else
    SimdLevel::kPortable,
#endif
    WAVEKV_STRING(WAVEKV_ISA),
    rms_norm,
    rope,
    swiglu,
    to_f16,
    from_f16,
    to_i8,
    attend_ranges,
    attend_tile,
    tile_scratch_floats,
    score_clusters,
    estimate_clusters,
    merge_states,
    finish_state,
    softmax_terms,
    add_scaled,
    expected_error,
    select_largest,
    cluster_row,
    cluster_scratch_floats,
    &kLinearKernels,
};

}  // namespace WAVEKV_ISA
}  // namespace wavekv
