#include "sequence.h"

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace wavekv {

ZoneTotals& ZoneTotals::operator+=(const ZoneTotals& other) {
  steady_mass += other.steady_mass;
  retrieval_mass += other.retrieval_mass;
  estimation_mass += other.estimation_mass;
  unattended_mass += other.unattended_mass;
  query_heads += other.query_heads;
  steady_tokens += other.steady_tokens;
  retrieval_tokens += other.retrieval_tokens;
  estimation_tokens += other.estimation_tokens;
  rows += other.rows;
  steady_bytes += other.steady_bytes;
  index_bytes += other.index_bytes;
  retrieval_bytes += other.retrieval_bytes;
  estimation_bytes += other.estimation_bytes;
  full_bytes += other.full_bytes;
  cache_hits += other.cache_hits;
  cache_misses += other.cache_misses;
  return *this;
}

Sequence::Sequence(const KvGeometry& geometry)
    : geometry_(geometry),
      tail_values_(geometry.tail_capacity * geometry.head_dim),
      tail_(2 * geometry.num_rows() * tail_values_ * 2),
      sums_(geometry.num_rows() * geometry.head_dim * 4) {}

void Sequence::advance(int64_t count) {
  if (count < 0 || count > tail_room()) {
    throw std::runtime_error("a tail of " + std::to_string(tail_tokens_) + " tokens cannot take " +
                             std::to_string(count) + " more (capacity " + std::to_string(geometry_.tail_capacity) + ")");
  }
  tail_tokens_ += count;
  num_tokens_ += count;
}

bool Sequence::segment_ready() const {
  return tail_tokens_ >= geometry_.index.segment_tokens + geometry_.index.local_window;
}

void Sequence::build_row(int64_t row, Segment& segment, const Kernels& kernels, float* scratch,
                         float* covariance) const {
  const IndexOptions& options = geometry_.index;
  const int64_t dim = geometry_.head_dim;
  const int64_t pinned = segments_.empty() ? options.sink_tokens : 0;
  const int64_t first_cluster = pinned > 0 ? 1 : 0;
  const uint16_t* keys = tail_keys(row);
  const uint16_t* values = tail_values(row);

  std::vector<float> query_scale;
  if (options.query_metric > 0) {
    double total = 0;
    for (int64_t d = 0; d < dim; ++d) total += query_squares(row)[d];
    query_scale.resize(static_cast<size_t>(dim));
    for (int64_t d = 0; d < dim; ++d) {
      const double mean_square = (query_squares(row)[d] + 1e-6 * total) / (total + 1e-30) * static_cast<double>(dim);
      query_scale[static_cast<size_t>(d)] = static_cast<float>(std::pow(mean_square, 0.5 * options.query_metric));
    }
  }

  uint16_t* order = segment.order(row);
  RowClusters clusters{0,
                       segment.sizes(row) + first_cluster,
                       order + pinned,
                       segment.centroids(row) + first_cluster * dim,
                       segment.value_sums(row) + first_cluster * dim,
                       segment.variances(row) + first_cluster,
                       covariance};
  const int32_t capacity = static_cast<int32_t>(geometry_.max_clusters - first_cluster);
  const int64_t n = options.segment_tokens - pinned;
  if (kernels.cluster_row(keys + pinned * dim, values + pinned * dim, n, dim,
                          query_scale.empty() ? nullptr : query_scale.data(), options.clustering, capacity, scratch,
                          clusters) != 0) {
    segment.count(row) = 0;
    return;
  }
  segment.count(row) = static_cast<uint16_t>(clusters.num_clusters + first_cluster);

  for (int64_t i = 0; i < n; ++i) order[pinned + i] = static_cast<uint16_t>(order[pinned + i] + pinned);
  if (pinned > 0) {
    segment.sizes(row)[0] = static_cast<uint16_t>(pinned);
    segment.variances(row)[0] = 0;
    std::vector<float> key_sum(static_cast<size_t>(dim)), value_sum(static_cast<size_t>(dim)), one(static_cast<size_t>(dim));
    for (int64_t t = 0; t < pinned; ++t) {
      order[t] = static_cast<uint16_t>(t);
      kernels.from_f16(keys + t * dim, one.data(), dim);
      for (int64_t d = 0; d < dim; ++d) key_sum[static_cast<size_t>(d)] += one[static_cast<size_t>(d)] / static_cast<float>(pinned);
      kernels.from_f16(values + t * dim, one.data(), dim);
      for (int64_t d = 0; d < dim; ++d) value_sum[static_cast<size_t>(d)] += one[static_cast<size_t>(d)];
    }
    kernels.to_f16(key_sum.data(), segment.centroids(row), dim);
    kernels.to_f16(value_sum.data(), segment.value_sums(row), dim);
  }
  const size_t vector_bytes = static_cast<size_t>(dim) * 2;
  for (int64_t i = 0; i < options.segment_tokens; ++i) {
    memcpy(segment.keys(row) + i * dim, keys + order[i] * dim, vector_bytes);
    memcpy(segment.values(row) + i * dim, values + order[i] * dim, vector_bytes);
  }
}

std::shared_ptr<Segment> Sequence::build_segment(int64_t slot, uint16_t* ingest, const Kernels& kernels,
                                                 ThreadPool& pool) {
  const int64_t rows = geometry_.num_rows();
  const int64_t dim_squared = geometry_.head_dim * geometry_.head_dim;
  auto segment = std::make_shared<Segment>(geometry_, slot);
  const int64_t scratch_floats =
      kernels.cluster_scratch_floats(geometry_.index.segment_tokens, geometry_.head_dim, geometry_.max_clusters);
  HugeBuffer scratch(pool.num_threads() * scratch_floats * 4);
  std::vector<float> added(static_cast<size_t>(rows * dim_squared));
  pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t row = begin; row < end; ++row) {
      build_row(row, *segment, kernels, scratch.as<float>() + thread * scratch_floats, added.data() + row * dim_squared);
    }
  });
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t count = segment->count(row);
    if (count == 0) {
      throw std::runtime_error("clustering row " + std::to_string(row) + " needs more than " +
                               std::to_string(geometry_.max_clusters) + " clusters");
    }
    ingest[row] = static_cast<uint16_t>(count);
    memcpy(ingest + rows + row * geometry_.max_clusters, segment->sizes(row), static_cast<size_t>(count) * 2);
  }

  pending_covariance_ = std::move(added);
  return segment;
}

void Sequence::fold_covariance() {
  const int64_t dim_squared = geometry_.head_dim * geometry_.head_dim;
  covariance_total_.resize(pending_covariance_.size());
  covariance_.resize(pending_covariance_.size());
  for (int64_t row = 0; row < geometry_.num_rows(); ++row) {
    const float* added = pending_covariance_.data() + row * dim_squared;
    float* total = covariance_total_.data() + row * dim_squared;
    float* normalised = covariance_.data() + row * dim_squared;
    double trace = 0;
    for (int64_t i = 0; i < dim_squared; ++i) total[i] += added[i];
    for (int64_t d = 0; d < geometry_.head_dim; ++d) trace += total[d * (geometry_.head_dim + 1)];
    const float scale = trace > 0 ? static_cast<float>(1.0 / trace) : 0.0f;
    for (int64_t i = 0; i < dim_squared; ++i) normalised[i] = total[i] * scale;
  }
  pending_covariance_.clear();
}

void Sequence::attach(std::shared_ptr<Segment> segment) {
  const int64_t segment_tokens = geometry_.index.segment_tokens;
  if (tail_tokens_ < segment_tokens) throw std::runtime_error("the tail is shorter than a segment");
  fold_covariance();
  const int64_t dim = geometry_.head_dim;
  const size_t rest_bytes = static_cast<size_t>((tail_tokens_ - segment_tokens) * dim) * 2;
  for (int64_t row = 0; row < geometry_.num_rows(); ++row) {
    memmove(tail_keys(row), tail_keys(row) + segment_tokens * dim, rest_bytes);
    memmove(tail_values(row), tail_values(row) + segment_tokens * dim, rest_bytes);
  }
  tail_tokens_ -= segment_tokens;
  segments_.push_back(std::move(segment));
}

}  // namespace wavekv
