#pragma once
#include <cstdint>

#include "control_plane_regions.h"
#include "huge_buffer.h"
#include "kernels.h"
#include "kv_geometry.h"

namespace wavekv {

/// The fast tier's copies of hot clusters: blocks of 8 keys and 8 values. The control plane decides what each block holds.
class BlockCache {
 public:
  /// f16 [numBlocks, {keys, values}, 8, headDim]; 0 blocks where everything fits in the fast tier.
  BlockCache(int64_t num_blocks, int64_t head_dim)
      : num_blocks_(num_blocks), head_dim_(head_dim), buffer_(num_blocks * block_values() * 2) {}

  int64_t num_blocks() const { return num_blocks_; }
  KvRange range(int64_t block, int64_t num_tokens) const {
    const uint16_t* keys = buffer_.as<uint16_t>() + block * block_values();
    return {keys, keys + kBlockTokens * head_dim_, num_tokens};
  }
  /// Copies up to 8 vectors of a cluster into a block.
  void fill(int64_t block, const uint16_t* keys, const uint16_t* values, int64_t num_tokens);

 private:
  int64_t block_values() const { return 2 * kBlockTokens * head_dim_; }

  int64_t num_blocks_;
  int64_t head_dim_;
  HugeBuffer buffer_;
};

}  // namespace wavekv
