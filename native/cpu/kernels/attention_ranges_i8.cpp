// Decode: few queries over ranges of int8 keys and values. As attention_ranges.cpp, with the scales and the centre's score
// put back between the integer products and the softmax.
#include "attention_kernels.h"
#include "range_cursor.h"
#include "rows_i8.h"
#include "values_i8.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

struct RecordBlock {
  const int8_t* records[kBlockRows];  // padded with the last one
  int64_t num_rows;
  // Rows of one centre are neighbours: run r ends at row run_ends[r].
  const uint16_t* centres[kBlockRows];
  int64_t run_ends[kBlockRows];
  int64_t num_runs;
};

/// Takes the next rows of the ranges into `block`; num_rows = 0 at the end.
void fill_block(RangeCursor& cursor, int64_t head_dim, RecordBlock& block) {
  int64_t n = 0;
  block.num_runs = 0;
  while (n < kBlockRows) {
    const RangePiece piece = next_piece(cursor, kBlockRows - n);
    if (piece.count == 0) break;
    const KvRange& range = *piece.range;
    const uint8_t* record = range.keys + piece.first * range.stride;
    for (int64_t i = 0; i < piece.count; ++i) {
      block.records[n + i] = reinterpret_cast<const int8_t*>(record + i * range.stride);
    }
    n += piece.count;
    if (block.num_runs == 0 || block.centres[block.num_runs - 1] != range.centre) {
      block.centres[block.num_runs++] = range.centre;
      prefetch_bytes(range.centre, head_dim * 2);
    }
    block.run_ends[block.num_runs - 1] = n;
  }
  block.num_rows = n;
  for (; n > 0 && n < kBlockRows; ++n) block.records[n] = block.records[n - 1];
}

/// What a block needs beside its rows, once they have arrived.
struct RowTerms {
  alignas(64) float key_scales[kBlockRows];
  alignas(64) float value_scales[kBlockRows];
  alignas(64) float centre_scores[kMaxQueries * kBlockRows + 16];  // [query, row]
};

/// The scores of the centre seen last, kept over the blocks of a segment.
struct LastCentre {
  const uint16_t* centre;
  float scores[kMaxQueries];
};

void load_terms(const float* q, int64_t num_queries, int64_t head_dim, const RecordBlock& block, LastCentre& last,
                RowTerms& terms) {
  for (int64_t t = 0; t < block.num_rows; ++t) {
    float scales[2];
    memcpy(scales, block.records[t] + 2 * head_dim, sizeof scales);
    terms.key_scales[t] = scales[0];
    terms.value_scales[t] = scales[1];
  }
  int64_t begin = 0;
  for (int64_t r = 0; r < block.num_runs; ++r) {
    if (block.centres[r] != last.centre) {
      last.centre = block.centres[r];
      centre_scores(q, num_queries, head_dim, last.centre, last.scores);
    }
    // Whole vectors: what is written beyond the run is written over by the next one.
    for (int64_t a = 0; a < num_queries; ++a) {
      const Vec score = broadcast(last.scores[a]);
      float* row = terms.centre_scores + a * kBlockRows;
      for (int64_t t = begin; t + kLanes <= kBlockRows && t < block.run_ends[r]; t += kLanes) store(row + t, score);
      for (int64_t t = kBlockRows - kLanes > begin ? kBlockRows - kLanes : begin; t < block.run_ends[r]; ++t) {
        row[t] = last.scores[a];
      }
    }
    begin = block.run_ends[r];
  }
}

/// One group of NQ queries, from query `first` on, over one block.
template <int NQ, int HD>
void attend_block(const RoundedQueries& queries, int64_t first, int64_t head_dim, const RecordBlock& block,
                  const RowTerms& terms, const int8_t* const* ahead, AttentionState state) {
  alignas(64) float scores[NQ * kBlockRows];
  const int8_t* values[kBlockRows];
  float scale[NQ];
  int64_t num[NQ];
  const int64_t n = block.num_rows, dim = HD > 0 ? HD : head_dim;
  score_rows_i8<NQ, HD>(queries, first, dim, block.records, n, ahead, kv_record_bytes(KvType::kQ8, dim), scores);
  for (int a = 0; a < NQ; ++a) {
    num[a] = n;
    float* row = scores + a * kBlockRows;
    const float* centre = terms.centre_scores + (first + a) * kBlockRows;
    for (int64_t t = 0; t < n; t += kLanes) {
      store(row + t, fma(load(row + t), load(terms.key_scales + t), load(centre + t)));
    }
  }
  softmax_steps<NQ>(scores, num, 0, state.max, state.denominator, scale);
  for (int a = 0; a < NQ; ++a) {
    float* row = scores + a * kBlockRows;
    for (int64_t t = 0; t < n; t += kLanes) store(row + t, load(row + t) * load(terms.value_scales + t));
  }
  for (int64_t t = 0; t < (n + 3) / 4 * 4; ++t) values[t] = block.records[t] + dim;
  add_values_i8<NQ, HD>(scores, scale, values, n, dim, state.out);
}

}  // namespace

void attend_ranges_i8(const float* q, int64_t num_queries, int64_t head_dim, const KvRange* ranges, int64_t num_ranges,
                      AttentionState state) {
  const int64_t record_bytes = kv_record_bytes(KvType::kQ8, head_dim);
  RangeCursor cursor = {ranges, num_ranges, 0, 0};
  RecordBlock blocks[2];
  fill_block(cursor, head_dim, blocks[0]);
  // Nobody else asked for the first block's rows in time.
  for (int64_t t = 0; t < blocks[0].num_rows; ++t) prefetch_bytes(blocks[0].records[t], record_bytes);
  RoundedQueries rounded;
  round_queries(q, num_queries, head_dim, rounded);
  RowTerms terms;
  LastCentre last = {nullptr, {}};
  for (int current = 0; blocks[current].num_rows > 0; current ^= 1) {
    const RecordBlock& block = blocks[current];
    RecordBlock& next = blocks[current ^ 1];
    fill_block(cursor, head_dim, next);
    load_terms(q, num_queries, head_dim, block, last, terms);
    for_query_groups(num_queries, [&](int64_t first, int64_t count) {
      const int8_t* const* ahead = next.num_rows > 0 && first == 0 ? next.records : nullptr;
      with_shape(count, head_dim, [&](auto queries, auto dim) {
        attend_block<decltype(queries)::value, decltype(dim)::value>(rounded, first, head_dim, block, terms, ahead,
                                                                     state_from(state, first, head_dim));
      });
    });
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
