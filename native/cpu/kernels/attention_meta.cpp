// The meta index in decode: log masses of all clusters from their centroids, and the estimation zone from value sums.
#include "attention_kernels.h"
#include "rows_i8.h"
#include "values_i8.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr float kMaxCorrection = 3.0f;       // nats that the variance term may add
constexpr float kCorrectionOfLogSize = 0.75f;  // and its bound relative to ln(size)

struct ClusterBlock {
  const int8_t* rows[kBlockRows];  // [headDim] each; padded with the last row
  const int8_t* ahead[kBlockRows];  // the block after it; memory beyond an index is only prefetched
  alignas(64) float scales[kBlockRows];
  alignas(64) float log_sizes[kBlockRows];  // ln(size)
  alignas(64) float half_variances[kBlockRows];
  int64_t num_clusters;
};

void fill_block(const MetaIndex& index, int64_t head_dim, int64_t first, bool with_variance, ClusterBlock& block) {
  const int64_t left = index.num_clusters - first;
  const int64_t n = left < kBlockRows ? left : kBlockRows;
  block.num_clusters = n;
  for (int64_t c = 0; c < n; ++c) block.rows[c] = index.centroids + (first + c) * head_dim;
  for (int64_t c = n; c < kBlockRows; ++c) block.rows[c] = block.rows[n - 1];
  for (int64_t c = 0; c < kBlockRows; ++c) block.ahead[c] = block.rows[0] + (kBlockRows + c) * head_dim;
  uint16_t sizes[kBlockRows];
  for (int64_t c = n; c < kBlockRows; ++c) sizes[c] = 1;
  memcpy(sizes, index.sizes + first, static_cast<size_t>(n) * sizeof(uint16_t));
  memcpy(block.scales, index.centroid_scales + first, static_cast<size_t>(n) * sizeof(float));
  for (int64_t c = 0; c < n; c += kLanes) store(block.log_sizes + c, log(load_u16(sizes + c)));
  for (int64_t c = 0; with_variance && c < n; ++c) block.half_variances[c] = 0.5f * index.variances[first + c];
}

/// The next index lies elsewhere: its first block is what comes after the last one of this index.
void look_ahead(const MetaIndex* next, int64_t head_dim, ClusterBlock& block) {
  for (int64_t c = 0; c < kBlockRows; ++c) block.ahead[c] = next->centroids + c * head_dim;
  prefetch_bytes(reinterpret_cast<const int8_t*>(next->centroid_scales), kBlockRows * 4);
  prefetch_bytes(reinterpret_cast<const int8_t*>(next->variances), kBlockRows * 4);
  prefetch_bytes(reinterpret_cast<const int8_t*>(next->sizes), kBlockRows * 2);
  prefetch_bytes(reinterpret_cast<const int8_t*>(next->centre), head_dim * 2);
}

/// log_mass[a, 0..n) of one block for NQ queries, from query `first` on. centre: [numQueries], the centre's scores.
template <int NQ, int HD>
void score_block(const RoundedQueries& queries, int64_t first, int64_t head_dim, const ClusterBlock& block,
                 const float* centre, const float* query_variance, float* log_mass, int64_t stride) {
  alignas(64) float scores[NQ * kBlockRows];
  const int64_t n = block.num_clusters, dim = HD > 0 ? HD : head_dim;
  score_rows_i8<NQ, HD>(queries, first, dim, block.rows, n, block.ahead, dim, scores);
  for (int a = 0; a < NQ; ++a) {
    float* row = scores + a * kBlockRows;
    const Vec centre_score = broadcast(centre[first + a]);
    for (int64_t c = 0; c < n; c += kLanes) {
      const Vec log_size = load(block.log_sizes + c);
      Vec mass = fma(load(row + c), load(block.scales + c), centre_score) + log_size;
      if (query_variance != nullptr) {
        const Vec bound = min(log_size * broadcast(kCorrectionOfLogSize), broadcast(kMaxCorrection));
        mass = mass + min(load(block.half_variances + c) * broadcast(query_variance[first + a]), bound);
      }
      store(row + c, mass);
    }
    memcpy(log_mass + (first + a) * stride, row, static_cast<size_t>(n) * sizeof(float));
  }
}

/// Up to kMaxQueries queries.
void score_queries(const float* q, int64_t num_queries, int64_t head_dim, const MetaIndex* indexes,
                   int64_t num_indexes, const float* query_variance, float* log_mass, int64_t stride) {
  RoundedQueries rounded;
  round_queries(q, num_queries, head_dim, rounded);
  ClusterBlock block;
  float centre[kMaxQueries];
  for (int64_t i = 0; i < num_indexes; ++i) {
    const MetaIndex& index = indexes[i];
    centre_scores(q, num_queries, head_dim, index.centre, centre);
    for (int64_t c = 0; c < index.num_clusters; c += kBlockRows) {
      fill_block(index, head_dim, c, query_variance != nullptr, block);
      if (c + kBlockRows >= index.num_clusters) look_ahead(indexes + i + (i + 1 < num_indexes), head_dim, block);
      for_query_groups(num_queries, [&](int64_t first, int64_t count) {
        with_shape(count, head_dim, [&](auto queries, auto dim) {
          score_block<decltype(queries)::value, decltype(dim)::value>(rounded, first, head_dim, block, centre,
                                                                      query_variance, log_mass + c, stride);
        });
      });
    }
    log_mass += index.num_clusters;
  }
}

template <int NQ, int HD>
void estimate_block(int64_t head_dim, const EstimatedCluster* clusters, int64_t n, int64_t left, const float* log_mass,
                    int64_t stride, AttentionState state) {
  alignas(64) float weights[NQ * kBlockRows];
  alignas(64) float scales[kBlockRows];
  const int8_t* rows[kBlockRows];
  float scale[NQ];
  int64_t num[NQ];
  for (int64_t c = 0; c < n; ++c) {
    rows[c] = clusters[c].value_sum;
    scales[c] = clusters[c].value_scale;
    // The next block's value sums lie scattered over the segments.
    prefetch_bytes(clusters[c + kBlockRows < left ? c + kBlockRows : left - 1].value_sum, head_dim);
  }
  for (int64_t c = n; c % 4 != 0; ++c) rows[c] = rows[n - 1];
  for (int a = 0; a < NQ; ++a) {
    for (int64_t c = 0; c < n; ++c) weights[a * kBlockRows + c] = log_mass[a * stride + clusters[c].cluster];
    num[a] = n;
  }
  softmax_steps<NQ>(weights, num, 0, state.max, state.denominator, scale);
  for (int a = 0; a < NQ; ++a) {
    float* row = weights + a * kBlockRows;
    for (int64_t c = 0; c < n; c += kLanes) store(row + c, load(row + c) * load(scales + c));
  }
  add_values_i8<NQ, HD>(weights, scale, rows, n, head_dim, state.out);
}

}  // namespace

void score_clusters(const float* q, int64_t num_queries, int64_t head_dim, const MetaIndex* indexes,
                    int64_t num_indexes, const float* query_variance, float* log_mass, int64_t stride) {
  for (int64_t a = 0; a < num_queries; a += kMaxQueries) {
    const int64_t count = num_queries - a < kMaxQueries ? num_queries - a : kMaxQueries;
    const float* variance = query_variance == nullptr ? nullptr : query_variance + a;
    score_queries(q + a * head_dim, count, head_dim, indexes, num_indexes, variance, log_mass + a * stride, stride);
  }
}

void estimate_clusters(int64_t num_queries, int64_t head_dim, const EstimatedCluster* clusters, int64_t num_clusters,
                       const float* log_mass, int64_t stride, AttentionState state) {
  for (int64_t first = 0; first < num_clusters; first += kBlockRows) {
    const int64_t left = num_clusters - first, n = left < kBlockRows ? left : kBlockRows;
    for_query_groups(num_queries, [&](int64_t query, int64_t count) {
      with_shape(count, head_dim, [&](auto queries, auto dim) {
        estimate_block<decltype(queries)::value, decltype(dim)::value>(
            head_dim, clusters + first, n, left, log_mass + query * stride, stride, state_from(state, query, head_dim));
      });
    });
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
