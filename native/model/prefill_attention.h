#pragma once
#include <cstdint>
#include <vector>

#include "huge_buffer.h"
#include "kernels.h"
#include "kv_geometry.h"
#include "sequence.h"
#include "thread_pool.h"

namespace wavekv {

/// Exact causal attention of one chunk of a prompt over everything before it: segments in cluster order (every token of
/// a segment precedes the chunk, so order does not matter), then the tail with the causal bound.
class PrefillAttention {
 public:
  PrefillAttention(const KvGeometry& geometry, const Kernels& kernels, ThreadPool& pool);

  /// The chunk's keys and values are in the tail already; the sequence has not advanced yet.
  /// queries: f32 [numTokens, numHeads, headDim], divided by sqrt(headDim). out: the same shape.
  void run(const Sequence& sequence, int64_t layer, int64_t num_tokens, const float* queries, float* out);

 private:
  void run_tile(const Sequence& sequence, int64_t layer, int64_t kv_head, int64_t first, int64_t count,
                const float* queries, float* out, float* scratch);

  KvGeometry geometry_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  int64_t tile_tokens_;
  int64_t scratch_floats_;
  HugeBuffer scratch_;  // f32 [thread, scratchFloats]
};

}  // namespace wavekv
