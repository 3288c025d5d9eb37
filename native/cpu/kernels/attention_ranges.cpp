// Decode: few queries over ranges of f16 keys and values (int8: attention_ranges_i8.cpp). The time is the memory's: each row is read once for all
// queries, the next block's keys are prefetched while this one's are scored, its values while values are summed.
#include "attention_kernels.h"
#include "attention_rows.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

struct RowBlock {
  const uint16_t* keys[kBlockRows];    // f16 [headDim] each; padded with the last row up to block_rows
  const uint16_t* values[kBlockRows];  // f16 [headDim] each; padded likewise
  int64_t num_rows;
};

struct RangeCursor {
  const KvRange* ranges;
  int64_t num_ranges;
  int64_t range;
  int64_t token;
};

/// Takes the next rows of the ranges into `block`; num_rows = 0 at the end.
void fill_block(RangeCursor& cursor, int64_t head_dim, RowBlock& block) {
  int64_t n = 0;
  const int64_t most = block_rows(head_dim);
  while (n < most && cursor.range < cursor.num_ranges) {
    const KvRange& range = cursor.ranges[cursor.range];
    const int64_t left = range.num_tokens - cursor.token;
    const int64_t taken = left < most - n ? left : most - n;
    const uint8_t* key = range.keys + cursor.token * range.stride;
    const uint8_t* value = range.values + cursor.token * range.stride;
    for (int64_t i = 0; i < taken; ++i) {
      block.keys[n + i] = reinterpret_cast<const uint16_t*>(key + i * range.stride);
      block.values[n + i] = reinterpret_cast<const uint16_t*>(value + i * range.stride);
    }
    if (taken > 0) n += taken;
    cursor.token += taken;
    if (taken >= left) {
      ++cursor.range;
      cursor.token = 0;
    }
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

using AttendBlock = void (*)(const float*, int64_t, const InterleavedRows&, const RowBlock&, Ahead, AttentionState);

template <int HD>
AttendBlock choose_block(int64_t num_queries) {
  switch (num_queries) {
    case 1: return attend_block<1, HD>;
    case 2: return attend_block<2, HD>;
    case 3: return attend_block<3, HD>;
    case 4: return attend_block<4, HD>;
    case 5: return attend_block<5, HD>;
    case 6: return attend_block<6, HD>;
    case 7: return attend_block<7, HD>;
    default: return attend_block<8, HD>;
  }
}

AttendBlock choose_block(int64_t num_queries, int64_t head_dim) {
  if (head_dim == 64) return choose_block<64>(num_queries);
  if (head_dim == 128) return choose_block<128>(num_queries);
  return choose_block<0>(num_queries);
}

void interleave_keys(const RowBlock& block, int64_t head_dim, InterleavedRows& out) {
  if (head_dim == 64) return interleave_rows<64>(block.keys, block.num_rows, head_dim, out);
  if (head_dim == 128) return interleave_rows<128>(block.keys, block.num_rows, head_dim, out);
  interleave_rows<0>(block.keys, block.num_rows, head_dim, out);
}

/// Up to kMaxQueries queries.
void attend_queries(const float* q, int64_t num_queries, int64_t head_dim, const KvRange* ranges, int64_t num_ranges,
                    AttentionState state) {
  const int64_t group = query_group(num_queries);
  const AttendBlock attend_group = choose_block(group, head_dim);
  const AttendBlock attend_rest = choose_block(num_queries % group, head_dim);
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
    for (int64_t a = 0; a < num_queries; a += group) {
      const AttentionState part = {state.out + a * head_dim, state.max + a, state.denominator + a};
      const AttendBlock attend = a + group <= num_queries ? attend_group : attend_rest;
      Ahead ahead = {nullptr, nullptr};
      if (next.num_rows > 0 && a == 0) ahead.keys = next.keys;
      if (next.num_rows > 0 && a + group >= num_queries) ahead.values = next.values;
      attend(spread.q + a * head_dim * 4, head_dim, keys, block, ahead, part);
    }
  }
}

}  // namespace

void attend_ranges(const float* q, int64_t num_queries, int64_t head_dim, const KvRange* ranges, int64_t num_ranges,
                   AttentionState state) {
  const bool is_i8 = num_ranges > 0 && ranges[0].type == KvType::kQ8;
  for (int64_t a = 0; a < num_queries; a += kMaxQueries) {
    const int64_t count = num_queries - a < kMaxQueries ? num_queries - a : kMaxQueries;
    const AttentionState part = {state.out + a * head_dim, state.max + a, state.denominator + a};
    (is_i8 ? attend_ranges_i8 : attend_queries)(q + a * head_dim, count, head_dim, ranges, num_ranges, part);
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
