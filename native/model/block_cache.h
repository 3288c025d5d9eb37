#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "control_plane_regions.h"
#include "huge_buffer.h"
#include "kernels.h"
#include "kv_geometry.h"

namespace wavekv {

/// The fast tier's copies of hot clusters: blocks of 8 tokens' records. The control plane decides what each block holds.
class BlockCache {
 public:
  /// u8 [numBlocks, 8, recordBytes]; 0 blocks where everything fits in the fast tier.
  BlockCache(int64_t num_blocks, const KvGeometry& geometry)
      : num_blocks_(num_blocks), head_dim_(geometry.head_dim), kv_type_(geometry.kv_type),
        centres_(static_cast<size_t>(num_blocks)), buffer_(num_blocks * kBlockTokens * geometry.record_bytes()) {}

  int64_t num_blocks() const { return num_blocks_; }
  KvRange range(int64_t block, int64_t num_tokens) const {
    return kv_records(kv_type_, buffer_.as<uint8_t>(), head_dim_, block * kBlockTokens, num_tokens,
                      centres_[static_cast<size_t>(block)]);
  }
  /// Copies up to 8 records of a cluster into a block. The records' centre stays in its segment, which outlives the block's use.
  void fill(int64_t block, const KvRange& records);

 private:
  int64_t num_blocks_;
  int64_t head_dim_;
  KvType kv_type_;
  std::vector<const uint16_t*> centres_;  // [block]
  HugeBuffer buffer_;
};

}  // namespace wavekv
