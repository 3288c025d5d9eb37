#include "prefill_attention.h"

#include <algorithm>
#include <cstring>

namespace wavekv {
namespace {

/// Tokens of a tile: up to 512 queries share each conversion of 64 keys, and a chunk of 256 tokens still gives two tiles a KV
/// head to hand out.
int64_t tile_tokens_for(int64_t group_size) {
  int64_t tokens = 128;
  while (tokens > 16 && tokens * group_size > 512) tokens /= 2;
  return tokens;
}

}  // namespace

PrefillAttention::PrefillAttention(const KvGeometry& geometry, const Kernels& kernels, ThreadPool& pool)
    : geometry_(geometry), kernels_(kernels), pool_(pool), tile_tokens_(tile_tokens_for(geometry.group_size)) {
  // Per thread: the kernel's scratch, then queries, state and bounds of one tile.
  const int64_t queries = tile_tokens_ * geometry.group_size;
  const int64_t floats =
      kernels.tile_scratch_floats(geometry.head_dim, queries) + queries * (2 * geometry.head_dim + 4) + 64;
  scratch_floats_ = (floats + 15) / 16 * 16;
  scratch_ = HugeBuffer(scratch_floats_ * pool.num_threads() * 4);
}

void PrefillAttention::run(const Sequence& sequence, int64_t layer, int64_t num_tokens, const float* queries,
                           float* out) {
  const int64_t tiles = (num_tokens + tile_tokens_ - 1) / tile_tokens_;
  pool_.parallel_for(tiles * geometry_.num_kv_heads, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t task = begin; task < end; ++task) {
      // Later tiles see more keys: hand them out first, so that the last piece of work is a small one.
      const int64_t first = (tiles - 1 - task / geometry_.num_kv_heads) * tile_tokens_;
      run_tile(sequence, layer, task % geometry_.num_kv_heads, first, std::min(tile_tokens_, num_tokens - first),
               queries, out, scratch_.as<float>() + thread * scratch_floats_);
    }
  });
}

void PrefillAttention::run_tile(const Sequence& sequence, int64_t layer, int64_t kv_head, int64_t first, int64_t count,
                                const float* queries, float* out, float* scratch) {
  const int64_t group = geometry_.group_size, dim = geometry_.head_dim;
  const int64_t token_stride = geometry_.num_kv_heads * group * dim;
  const int64_t num_queries = count * group;
  // [count, group, headDim]
  float* tile_queries = scratch + (kernels_.tile_scratch_floats(dim, num_queries) + 15) / 16 * 16;
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
                         segment->range(row, 0, geometry_.index.segment_tokens), nullptr, scratch, state);
  }
  kernels_.attend_tile(tile_queries, num_queries, dim,
                       sequence.tail_range(row, 0, sequence.tail_tokens() + first + count), visible, scratch, state);
  kernels_.finish_state(num_queries, dim, state, state.out);
  for (int64_t t = 0; t < count; ++t) {
    memcpy(out + (first + t) * token_stride + kv_head * group * dim, state.out + t * group * dim, group_bytes);
  }
}

}  // namespace wavekv
