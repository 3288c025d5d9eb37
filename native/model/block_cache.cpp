#include "block_cache.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace wavekv {

void BlockCache::fill(int64_t block, const KvRange& records) {
  if (block < 0 || block >= num_blocks_ || records.num_tokens < 1 || records.num_tokens > kBlockTokens) {
    throw std::runtime_error("block " + std::to_string(block) + " of " + std::to_string(num_blocks_) +
                             " cannot take " + std::to_string(records.num_tokens) + " tokens");
  }
  memcpy(buffer_.as<uint8_t>() + block * kBlockTokens * records.stride, records.keys,
         static_cast<size_t>(records.num_tokens * records.stride));
  centres_[static_cast<size_t>(block)] = records.centre;
}

}  // namespace wavekv
