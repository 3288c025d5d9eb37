#include "block_cache.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace wavekv {

void BlockCache::fill(int64_t block, const uint16_t* keys, const uint16_t* values, int64_t num_tokens) {
  if (block < 0 || block >= num_blocks_ || num_tokens < 1 || num_tokens > kBlockTokens) {
    throw std::runtime_error("block " + std::to_string(block) + " of " + std::to_string(num_blocks_) +
                             " cannot take " + std::to_string(num_tokens) + " vectors");
  }
  uint16_t* target = buffer_.as<uint16_t>() + block * block_values();
  memcpy(target, keys, static_cast<size_t>(num_tokens * head_dim_) * 2);
  memcpy(target + kBlockTokens * head_dim_, values, static_cast<size_t>(num_tokens * head_dim_) * 2);
}

}  // namespace wavekv
