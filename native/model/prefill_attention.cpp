#include "prefill_attention.h"

#include <algorithm>
#include <cstring>

namespace wavekv {
namespace {

// Tokens of a tile. With a group of 3 query heads that is 192 queries, enough to pay for converting each key tile to f32.
constexpr int64_t kTileTokens = 64;

}  // namespace

PrefillAttention::PrefillAttention(const KvGeometry& geometry, const Kernels& kernels, ThreadPool& pool)
    : geometry_(geometry), kernels_(kernels), pool_(pool) {
  // Per thread: the kernel's scratch, then queries, state and bounds of one tile.
  const int64_t queries = kTileTokens * geometry.group_size;
  const int64_t floats = kernels.tile_scratch_floats(geometry.head_dim) + queries * (2 * geometry.head_dim + 4) + 64;
  scratch_floats_ = (floats + 15) / 16 * 16;
  scratch_ = HugeBuffer(scratch_floats_ * pool.num_threads() * 4);
}

void PrefillAttention::run(const Sequence& sequence, int64_t layer, int64_t num_tokens, const float* queries,
                           float* out) {
  const int64_t tiles = (num_tokens + kTileTokens - 1) / kTileTokens;
  pool_.parallel_for(tiles * geometry_.num_kv_heads, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t task = begin; task < end; ++task) {
      // Later tiles see more keys: hand them out first, so that the last piece of work is a small one.
      const int64_t first = (tiles - 1 - task / geometry_.num_kv_heads) * kTileTokens;
      run_tile(sequence, layer, task % geometry_.num_kv_heads, first, std::min(kTileTokens, num_tokens - first),
               queries, out, scratch_.as<float>() + thread * scratch_floats_);
    }
  });
}

void PrefillAttention::run_tile(const Sequence& sequence, int64_t layer, int64_t kv_head, int64_t first, int64_t count,
                                const float* queries, float* out, float* scratch) {
  const int64_t group = geometry_.group_size, dim = geometry_.head_dim;
  const int64_t token_stride = geometry_.num_kv_heads * group * dim;
  const int64_t num_queries = count * group;
  float* tile_queries = scratch + (kernels_.tile_scratch_floats(dim) + 15) / 16 * 16;  // [count, group, headDim]
  const AttentionState state{tile_queries + num_queries * dim, tile_queries + 2 * num_queries * dim,
                             tile_queries + 2 * num_queries * dim + num_queries};
  // An even number of floats precedes it in a page-aligned buffer, so the bounds are aligned to their 8 bytes.
  const int64_t bounds_offset = (state.denominator + num_queries - scratch + 1) / 2 * 2;
  int64_t* visible = reinterpret_cast<int64_t*>(scratch + bounds_offset);

  const size_t group_bytes = static_cast<size_t>(group * dim) * sizeof(float);
  for (int64_t t = 0; t < count; ++t) {
    memcpy(tile_queries + t * group * dim, queries + (first + t) * token_stride + kv_head * group * dim, group_bytes);
    for (int64_t g = 0; g < group; ++g) visible[t * group + g] = sequence.tail_tokens() + first + t + 1;
  }
  std::fill(state.out, state.out + num_queries * dim, 0.0f);
  std::fill(state.max, state.max + num_queries, kNoMass);
  std::fill(state.denominator, state.denominator + num_queries, 0.0f);

  const int64_t row = geometry_.row(layer, kv_head);
  for (const auto& segment : sequence.segments()) {
    kernels_.attend_tile(tile_queries, num_queries, dim,
                         {segment->keys(row), segment->values(row), geometry_.index.segment_tokens}, nullptr, scratch,
                         state);
  }
  kernels_.attend_tile(tile_queries, num_queries, dim,
                       {sequence.tail_keys(row), sequence.tail_values(row), sequence.tail_tokens() + first + count},
                       visible, scratch, state);
  kernels_.finish_state(num_queries, dim, state, state.out);
  for (int64_t t = 0; t < count; ++t) {
    memcpy(out + (first + t) * token_stride + kv_head * group * dim, state.out + t * group * dim, group_bytes);
  }
}

}  // namespace wavekv
