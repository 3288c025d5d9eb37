#pragma once
#include <cstdint>
#include <memory>

#include "ggml_types.h"
#include "kernels.h"
#include "thread_pool.h"

namespace wavekv {

/// A weight matrix [numRows (outputs), numCols (inputs)] repacked at load for the SIMD kernels: panels of 16 rows, the
/// columns of a panel interleaved so that one 64-byte load holds 16 rows x 4 consecutive columns (bytes), or 16 rows x
/// 8 columns (nibbles). Values are those of the file: packing never requantises.
class PackedMatrix;

/// Inputs of a linear layer, quantised once for all matrices that read them: int8 in blocks of 32 columns with one f32
/// scale and one int32 sum a block; the f32 values stay for float weights.
class Activations;

std::shared_ptr<PackedMatrix> pack_matrix(GgmlType type, const uint8_t* data, int64_t num_rows, int64_t num_cols,
                                          ThreadPool& pool);
int64_t packed_rows(const PackedMatrix& matrix);
int64_t packed_cols(const PackedMatrix& matrix);
int64_t packed_bytes(const PackedMatrix& matrix);

std::shared_ptr<Activations> make_activations();
/// x: f32 [numTokens, numCols], rows x_stride floats apart. numCols is a multiple of 32. x must stay as it is until the
/// last linear() with float weights that uses `out`: it is not copied.
void prepare_activations(const float* x, int64_t x_stride, int64_t num_tokens, int64_t num_cols, Activations& out,
                         const Kernels& kernels, ThreadPool& pool);

/// y[t, r] = sum_c w[r, c] * x[t, c] + bias[r] (bias may be null), or y += ... where accumulate.
/// y: f32, rows y_stride floats apart. Quick for num_tokens 1 (memory bound), 2..16, and hundreds (compute bound).
/// The result for a token does not depend on how many tokens run beside it.
void linear(const PackedMatrix& w, const Activations& x, float* y, int64_t y_stride, const float* bias, bool accumulate,
            const Kernels& kernels, ThreadPool& pool);

/// One layer of a group: the arguments of linear().
struct LinearTask {
  const PackedMatrix* weights;
  float* y;
  int64_t y_stride;
  const float* bias;
  bool accumulate;
};

/// Several layers over the same inputs, as one parallel region: a decode token's work is small beside waking the threads.
void linear_group(const LinearTask* tasks, int64_t num_tasks, const Activations& x, const Kernels& kernels,
                  ThreadPool& pool);

}  // namespace wavekv
