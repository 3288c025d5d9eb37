// The meta index in decode: log masses of all clusters from their centroids, and the estimation zone from value sums.
#include "attention_kernels.h"
#include "attention_rows.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr float kMaxCorrection = 3.0f;       // nats that the variance term may add
constexpr float kCorrectionOfLogSize = 0.75f;  // and its bound relative to ln(size)

struct ClusterBlock {
  const uint16_t* rows[kBlockRows];  // f16 [headDim] each; padded with the last row
  float log_sizes[kBlockRows];       // ln(size)
  float half_variances[kBlockRows];
  int64_t num_clusters;
};

void fill_block(const MetaIndex& index, int64_t head_dim, int64_t first, bool with_variance, ClusterBlock& block) {
  const int64_t left = index.num_clusters - first;
  const int64_t n = left < kBlockRows ? left : kBlockRows;
  block.num_clusters = n;
  for (int64_t c = 0; c < n; ++c) block.rows[c] = index.centroids + (first + c) * head_dim;
  for (int64_t c = n; c < kBlockRows; ++c) block.rows[c] = block.rows[n - 1];
  uint16_t sizes[kBlockRows];
  for (int64_t c = n; c < kBlockRows; ++c) sizes[c] = 1;
  memcpy(sizes, index.sizes + first, static_cast<size_t>(n) * sizeof(uint16_t));
  for (int64_t c = 0; c < n; c += kLanes) store(block.log_sizes + c, log(load_u16(sizes + c)));
  for (int64_t c = 0; with_variance && c < n; ++c) block.half_variances[c] = 0.5f * index.variances[first + c];
}

/// log_mass[a, 0..n) of one block for NQ queries.
template <int NQ, int HD>
void score_block(const float* q, int64_t head_dim, const InterleavedRows& centroids, const ClusterBlock& block,
                 const float* query_variance, float* log_mass, int64_t stride) {
  alignas(64) float scores[NQ * kBlockRows];
  const int64_t n = block.num_clusters;
  score_rows<NQ, HD>(q, head_dim, centroids, n, nullptr, scores);
  for (int a = 0; a < NQ; ++a) {
    float* row = scores + a * kBlockRows;
    for (int64_t c = 0; c < n; c += kLanes) {
      const Vec log_size = load(block.log_sizes + c);
      Vec mass = load(row + c) + log_size;
      if (query_variance != nullptr) {
        const Vec bound = min(log_size * broadcast(kCorrectionOfLogSize), broadcast(kMaxCorrection));
        mass = mass + min(load(block.half_variances + c) * broadcast(query_variance[a]), bound);
      }
      store(row + c, mass);
    }
    memcpy(log_mass + a * stride, row, static_cast<size_t>(n) * sizeof(float));
  }
}

using ScoreBlock = void (*)(const float*, int64_t, const InterleavedRows&, const ClusterBlock&, const float*, float*,
                            int64_t);

template <int HD>
ScoreBlock choose_score(int64_t num_queries) {
  switch (num_queries) {
    case 1: return score_block<1, HD>;
    case 2: return score_block<2, HD>;
    case 3: return score_block<3, HD>;
    case 4: return score_block<4, HD>;
    case 5: return score_block<5, HD>;
    case 6: return score_block<6, HD>;
    case 7: return score_block<7, HD>;
    default: return score_block<8, HD>;
  }
}

ScoreBlock choose_score(int64_t num_queries, int64_t head_dim) {
  if (head_dim == 64) return choose_score<64>(num_queries);
  if (head_dim == 128) return choose_score<128>(num_queries);
  return choose_score<0>(num_queries);
}

void interleave_centroids(const ClusterBlock& block, int64_t head_dim, InterleavedRows& out) {
  if (head_dim == 64) return interleave_rows<64>(block.rows, block.num_clusters, head_dim, out);
  if (head_dim == 128) return interleave_rows<128>(block.rows, block.num_clusters, head_dim, out);
  interleave_rows<0>(block.rows, block.num_clusters, head_dim, out);
}

/// Up to kMaxQueries queries.
void score_queries(const float* q, int64_t num_queries, int64_t head_dim, const MetaIndex& index,
                   const float* query_variance, float* log_mass, int64_t stride) {
  const int64_t group = query_group(num_queries);
  const ScoreBlock score_group = choose_score(group, head_dim);
  const ScoreBlock score_rest = choose_score(num_queries % group, head_dim);
  SpreadQueries spread;
  spread_queries(q, num_queries, head_dim, spread);
  InterleavedRows centroids;
  ClusterBlock block;
  for (int64_t c = 0; c < index.num_clusters; c += kBlockRows) {
    fill_block(index, head_dim, c, query_variance != nullptr, block);
    interleave_centroids(block, head_dim, centroids);
    for (int64_t a = 0; a < num_queries; a += group) {
      const ScoreBlock score = a + group <= num_queries ? score_group : score_rest;
      const float* variance = query_variance == nullptr ? nullptr : query_variance + a;
      score(spread.q + a * head_dim * 4, head_dim, centroids, block, variance, log_mass + a * stride + c, stride);
    }
  }
}

/// Clusters gathered for one step of the estimation zone.
struct TakenBlock {
  const uint16_t* rows[kBlockRows];  // value sums, f16 [headDim] each
  int64_t clusters[kBlockRows];
  float inverse_sizes[kBlockRows];     // beyond num_clusters: anything, its weights are not used
  int64_t num_clusters;
};

/// Gathers the next taken clusters from `next` on; returns where to go on.
int64_t fill_taken(const MetaIndex& index, int64_t head_dim, const uint8_t* take, int64_t next, TakenBlock& block) {
  int64_t n = 0;
  while (next < index.num_clusters && n < kBlockRows) {
    if (next + 8 <= index.num_clusters) {
      uint64_t eight;
      memcpy(&eight, take + next, 8);
      if (eight == 0) {
        next += 8;
        continue;
      }
    }
    if (take[next] != 0) {
      block.rows[n] = index.value_sums + next * head_dim;
      block.clusters[n] = next;
      block.inverse_sizes[n] = 1.0f / static_cast<float>(index.sizes[next]);
      prefetch_row(block.rows[n], head_dim);
      ++n;
    }
    ++next;
  }
  block.num_clusters = n;
  return next;
}

template <int NQ>
void estimate_block(int64_t head_dim, const TakenBlock& block, const float* log_mass, int64_t stride,
                    AttentionState state) {
  alignas(64) float weights[NQ * kBlockRows];
  float scale[NQ];
  int64_t num[NQ];
  const int64_t n = block.num_clusters;
  for (int a = 0; a < NQ; ++a) {
    for (int64_t c = 0; c < n; ++c) weights[a * kBlockRows + c] = log_mass[a * stride + block.clusters[c]];
    num[a] = n;
  }
  softmax_steps<NQ>(weights, num, 0, state.max, state.denominator, scale);
  for (int a = 0; a < NQ; ++a) {
    float* row = weights + a * kBlockRows;
    for (int64_t c = 0; c < n; c += kLanes) store(row + c, load(row + c) * load(block.inverse_sizes + c));
  }
  add_values<NQ, 0>(weights, scale, block.rows, n, nullptr, head_dim, state.out);
}

using EstimateBlock = void (*)(int64_t, const TakenBlock&, const float*, int64_t, AttentionState);

EstimateBlock choose_estimate(int64_t num_queries) {
  switch (num_queries) {
    case 1: return estimate_block<1>;
    case 2: return estimate_block<2>;
    case 3: return estimate_block<3>;
    case 4: return estimate_block<4>;
    case 5: return estimate_block<5>;
    case 6: return estimate_block<6>;
    case 7: return estimate_block<7>;
    default: return estimate_block<8>;
  }
}

}  // namespace

void score_clusters(const float* q, int64_t num_queries, int64_t head_dim, MetaIndex index,
                    const float* query_variance, float* log_mass, int64_t stride) {
  for (int64_t a = 0; a < num_queries; a += kMaxQueries) {
    const int64_t count = num_queries - a < kMaxQueries ? num_queries - a : kMaxQueries;
    const float* variance = query_variance == nullptr ? nullptr : query_variance + a;
    score_queries(q + a * head_dim, count, head_dim, index, variance, log_mass + a * stride, stride);
  }
}

void estimate_clusters(int64_t num_queries, int64_t head_dim, MetaIndex index, const uint8_t* take,
                       const float* log_mass, int64_t stride, AttentionState state) {
  if (num_queries <= 0) return;
  const int64_t group = query_group(num_queries);
  TakenBlock block;
  for (int64_t next = 0; next < index.num_clusters;) {
    next = fill_taken(index, head_dim, take, next, block);
    if (block.num_clusters == 0) break;
    for (int64_t a = 0; a < num_queries; a += group) {
      const AttentionState part = {state.out + a * head_dim, state.max + a, state.denominator + a};
      const int64_t num = a + group <= num_queries ? group : num_queries - a;
      choose_estimate(num)(head_dim, block, log_mass + a * stride, stride, part);
    }
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
