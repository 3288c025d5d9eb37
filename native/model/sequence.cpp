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

std::vector<float> Sequence::query_scale(int64_t row) const {
  const int64_t dim = geometry_.head_dim;
  const double strength = geometry_.index.query_metric;
  std::vector<float> scale;
  if (strength <= 0) return scale;
  double total = 0;
  for (int64_t d = 0; d < dim; ++d) total += query_squares(row)[d];
  for (int64_t d = 0; d < dim; ++d) {
    // Mean square relative to the average dimension; the small term keeps a dimension that no query uses from vanishing.
    const double mean_square = (query_squares(row)[d] + 1e-6 * total) / (total + 1e-30) * static_cast<double>(dim);
    scale.push_back(static_cast<float>(std::pow(mean_square, 0.5 * strength)));
  }
  return scale;
}

void Sequence::index_sink(int64_t row, Segment& segment, const Kernels& kernels) const {
  const int64_t dim = geometry_.head_dim, count = geometry_.index.sink_tokens;
  std::vector<float> key_mean(static_cast<size_t>(dim)), value_sum(key_mean), key(key_mean), value(key_mean);
  for (int64_t t = 0; t < count; ++t) {
    segment.order(row)[t] = static_cast<uint16_t>(t);
    kernels.from_f16(tail_keys(row) + t * dim, key.data(), dim);
    kernels.from_f16(tail_values(row) + t * dim, value.data(), dim);
    for (size_t d = 0; d < key.size(); ++d) {
      key_mean[d] += key[d] / static_cast<float>(count);
      value_sum[d] += value[d];
    }
  }
  kernels.to_f16(key_mean.data(), segment.centroids(row), dim);
  kernels.to_f16(value_sum.data(), segment.value_sums(row), dim);
  segment.sizes(row)[0] = static_cast<uint16_t>(count);
  segment.variances(row)[0] = 0;
}

void Sequence::build_row(int64_t row, Segment& segment, const Kernels& kernels, float* scratch,
                         float* covariance) const {
  const IndexOptions& options = geometry_.index;
  const int64_t dim = geometry_.head_dim;
  const int64_t pinned = segments_.empty() ? options.sink_tokens : 0;
  const int64_t first_cluster = pinned > 0 ? 1 : 0;
  const uint16_t* keys = tail_keys(row);
  const uint16_t* values = tail_values(row);
  uint16_t* order = segment.order(row);
  RowClusters clusters{0,
                       segment.sizes(row) + first_cluster,
                       order + pinned,
                       segment.centroids(row) + first_cluster * dim,
                       segment.value_sums(row) + first_cluster * dim,
                       segment.variances(row) + first_cluster,
                       covariance};
  const std::vector<float> scale = query_scale(row);
  const int64_t n = options.segment_tokens - pinned;
  const int32_t capacity = static_cast<int32_t>(geometry_.max_clusters - first_cluster);
  if (kernels.cluster_row(keys + pinned * dim, values + pinned * dim, n, dim, scale.empty() ? nullptr : scale.data(),
                          options.clustering, capacity, scratch, clusters) != 0) {
    segment.count(row) = 0;  // build_segment() reports it: nothing may be thrown on a pool thread
    return;
  }
  segment.count(row) = static_cast<uint16_t>(clusters.num_clusters + first_cluster);
  for (int64_t i = 0; i < n; ++i) order[pinned + i] = static_cast<uint16_t>(order[pinned + i] + pinned);
  if (pinned > 0) index_sink(row, segment, kernels);

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
