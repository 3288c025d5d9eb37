// Decode: few queries over ranges of f16 keys and values (int8: attention_ranges_i8.cpp). The time is the memory's: each row is read once for all
// queries, the next block's keys are prefetched while this one's are scored, its values while values are summed.
#include "attention_kernels.h"
#include "attention_rows.h"
#include "range_cursor.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

struct RowBlock {
  const uint16_t* keys[kBlockRows];    // f16 [headDim] each; padded with the last row up to block_rows
  const uint16_t* values[kBlockRows];  // f16 [headDim] each; padded likewise
  int64_t num_rows;
};

/// Takes the next rows of the ranges into `block`; num_rows = 0 at the end.
void fill_block(RangeCursor& cursor, int64_t head_dim, RowBlock& block) {
  const int64_t most = block_rows(head_dim);
  int64_t n = 0;
  while (n < most) {
    const RangePiece piece = next_piece(cursor, most - n);
    if (piece.count == 0) break;
    const uint8_t* key = piece.range->keys + piece.first * piece.range->stride;
    const uint8_t* value = piece.range->values + piece.first * piece.range->stride;
    for (int64_t i = 0; i < piece.count; ++i) {
      block.keys[n + i] = reinterpret_cast<const uint16_t*>(key + i * piece.range->stride);
      block.values[n + i] = reinterpret_cast<const uint16_t*>(value + i * piece.range->stride);
    }
    n += piece.count;
  }
  block.num_rows = n;
  for (; n > 0 && n < most; ++n) {
    block.keys[n] = block.keys[n - 1];
    block.values[n] = block.values[n - 1];
  }
}

/// Nobody else asked for the first block's rows in time.
void prefetch_block(const RowBlock& block, int64_t head_dim) {
  for (int64_t t = 0; t < block.num_rows; ++t) prefetch_row(block.keys[t], head_dim);
  for (int64_t t = 0; t < block.num_rows; ++t) prefetch_row(block.values[t], head_dim);
}

/// Rows to prefetch during a block, each list null or padded like the block's own.
struct Ahead {
  const uint16_t* const* keys;
  const uint16_t* const* values;
};

/// One group of NQ queries over one block whose keys are interleaved.
template <int NQ, int HD>
void attend_block(const float* q, int64_t head_dim, const InterleavedRows& keys, const RowBlock& block, Ahead ahead,
                  AttentionState state) {
  alignas(64) float scores[NQ * kBlockRows];
  float scale[NQ];
  int64_t num[NQ];
  const int64_t n = block.num_rows;
  for (int a = 0; a < NQ; ++a) num[a] = n;
  score_rows<NQ, HD>(q, head_dim, keys, n, ahead.keys, scores);
  softmax_steps<NQ>(scores, num, 0, state.max, state.denominator, scale);
  add_values<NQ, HD>(scores, scale, block.values, n, ahead.values, head_dim, state.out);
}

void interleave_keys(const RowBlock& block, int64_t head_dim, InterleavedRows& out) {
  if (head_dim == 64) return interleave_rows<64>(block.keys, block.num_rows, head_dim, out);
  if (head_dim == 128) return interleave_rows<128>(block.keys, block.num_rows, head_dim, out);
  interleave_rows<0>(block.keys, block.num_rows, head_dim, out);
}

/// Up to kMaxQueries queries.
void attend_queries(const float* q, int64_t num_queries, int64_t head_dim, const KvRange* ranges, int64_t num_ranges,
                    AttentionState state) {
  RangeCursor cursor = {ranges, num_ranges, 0, 0};
  RowBlock blocks[2];
  fill_block(cursor, head_dim, blocks[0]);
  prefetch_block(blocks[0], head_dim);
  SpreadQueries spread;
  spread_queries(q, num_queries, head_dim, spread);
  InterleavedRows keys;
  for (int current = 0; blocks[current].num_rows > 0; current ^= 1) {
    const RowBlock& block = blocks[current];
    RowBlock& next = blocks[current ^ 1];
    fill_block(cursor, head_dim, next);
    interleave_keys(block, head_dim, keys);
    for_query_groups(num_queries, [&](int64_t first, int64_t count) {
      Ahead ahead = {nullptr, nullptr};
      if (next.num_rows > 0 && first == 0) ahead.keys = next.keys;
      if (next.num_rows > 0 && first + count == num_queries) ahead.values = next.values;
      with_shape(count, head_dim, [&](auto queries, auto dim) {
        attend_block<decltype(queries)::value, decltype(dim)::value>(spread.q + first * head_dim * 4, head_dim, keys, block,
                                                                     ahead, state_from(state, first, head_dim));
      });
    });
  }
}

}  // namespace

void attend_ranges(const float* q, int64_t num_queries, int64_t head_dim, const KvRange* ranges, int64_t num_ranges,
                   AttentionState state) {
  const bool is_i8 = num_ranges > 0 && ranges[0].type == KvType::kQ8;
  for (int64_t a = 0; a < num_queries; a += kMaxQueries) {
    const int64_t count = num_queries - a < kMaxQueries ? num_queries - a : kMaxQueries;
    (is_i8 ? attend_ranges_i8 : attend_queries)(q + a * head_dim, count, head_dim, ranges, num_ranges,
                                                state_from(state, a, head_dim));
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
