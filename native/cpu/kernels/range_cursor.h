#pragma once
// Walks over ranges of keys and values in pieces that lie in one range each.
#include "kernels.h"
#include "vec_ops.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

struct RangeCursor {
  const KvRange* ranges;
  int64_t num_ranges;
  int64_t range;  // the next token's
  int64_t token;  // within it
};

/// Tokens that are neighbours in one range.
struct RangePiece {
  const KvRange* range;
  int64_t first;
  int64_t count;
};

/// The next tokens, at most `most` (>= 1); count 0 at the end. Empty ranges are passed over.
WAVEKV_INLINE RangePiece next_piece(RangeCursor& cursor, int64_t most) {
  while (cursor.range < cursor.num_ranges && cursor.token >= cursor.ranges[cursor.range].num_tokens) {
    ++cursor.range;
    cursor.token = 0;
  }
  if (cursor.range >= cursor.num_ranges) return {nullptr, 0, 0};
  const KvRange& range = cursor.ranges[cursor.range];
  const int64_t left = range.num_tokens - cursor.token, count = left < most ? left : most;
  const RangePiece piece = {&range, cursor.token, count};
  cursor.token += count;
  return piece;
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
