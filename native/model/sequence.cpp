#include "sequence.h"

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "index_build.h"

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

std::shared_ptr<Sequence> Sequence::fork() const {
  auto copy = std::make_shared<Sequence>(geometry_);
  for (int64_t part = 0; part < 2 * geometry_.num_rows(); ++part) {
    const int64_t offset = part * tail_values_;
    memcpy(copy->tail_.as<uint16_t>() + offset, tail_.as<uint16_t>() + offset,
           static_cast<size_t>(tail_tokens_ * geometry_.head_dim) * 2);
  }
  memcpy(copy->sums_.data(), sums_.data(), static_cast<size_t>(sums_.size_bytes()));
  copy->num_tokens_ = num_tokens_;
  copy->tail_tokens_ = tail_tokens_;
  copy->key_spread_ = key_spread_;
  copy->squares_ = squares_;
  copy->segments_ = segments_;
  return copy;
}

void Sequence::read_tokens(int64_t first, int64_t count, uint16_t* out) const {
  if (first < 0 || count < 0 || first > num_tokens_ - count) {
    throw std::runtime_error("tokens " + std::to_string(first) + " to " + std::to_string(first + count) +
                             " are outside a sequence of " + std::to_string(num_tokens_));
  }
  const int64_t dim = geometry_.head_dim, rows = geometry_.num_rows(), segment_tokens = geometry_.index.segment_tokens;
  const int64_t segments_end = num_tokens_ - tail_tokens_;
  const size_t vector_bytes = static_cast<size_t>(dim) * 2;
  std::vector<uint16_t> key(static_cast<size_t>(dim)), value(key);
  for (int64_t row = 0; row < rows; ++row) {
    uint16_t* keys = out + row * count * dim;
    uint16_t* values = out + (rows + row) * count * dim;
    const auto put = [&](int64_t token, const uint16_t* from_key, const uint16_t* from_value) {
      memcpy(keys + (token - first) * dim, from_key, vector_bytes);
      memcpy(values + (token - first) * dim, from_value, vector_bytes);
    };
    for (size_t s = 0; s < segments_.size(); ++s) {
      const int64_t begin = static_cast<int64_t>(s) * segment_tokens;
      if (begin >= first + count || begin + segment_tokens <= first) continue;
      for (int64_t i = 0; i < segment_tokens; ++i) {
        const int64_t token = begin + segments_[s]->order(row)[i];
        if (token < first || token >= first + count) continue;
        segments_[s]->read_token(row, i, key.data(), value.data());
        put(token, key.data(), value.data());
      }
    }
    for (int64_t i = 0; i < tail_tokens_; ++i) {
      const int64_t token = segments_end + i;
      if (token >= first && token < first + count) put(token, tail_keys(row) + i * dim, tail_values(row) + i * dim);
    }
  }
}

void Sequence::append_tokens(const uint16_t* keys_and_values, int64_t count) {
  const int64_t before = tail_tokens_, dim = geometry_.head_dim, rows = geometry_.num_rows();
  advance(count);  // checks the room
  const size_t bytes = static_cast<size_t>(count * dim) * 2;
  for (int64_t row = 0; row < rows; ++row) {
    memcpy(tail_keys(row) + before * dim, keys_and_values + row * count * dim, bytes);
    memcpy(tail_values(row) + before * dim, keys_and_values + (rows + row) * count * dim, bytes);
  }
}

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

std::shared_ptr<Segment> Sequence::build_segment(int64_t slot, uint16_t* ingest, const Kernels& kernels,
                                                 ThreadPool& pool) {
  const int64_t rows = geometry_.num_rows();
  auto segment = std::make_shared<Segment>(geometry_, slot);
  const int64_t scratch_floats = index_scratch_floats(geometry_, kernels);
  HugeBuffer scratch(pool.num_threads() * scratch_floats * 4);
  const int64_t sink = segments_.empty() ? geometry_.index.sink_tokens : 0;
  pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t row = begin; row < end; ++row) {
      const std::vector<float> scale = query_scale(row);
      const IndexSource source{tail_keys(row), tail_values(row), scale.empty() ? nullptr : scale.data(), sink};
      build_index(geometry_, kernels, source, row, *segment, scratch.as<float>() + thread * scratch_floats);
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
  return segment;
}

void Sequence::chain(std::shared_ptr<Segment> segment) {
  const size_t dim = static_cast<size_t>(geometry_.head_dim), size = dim * static_cast<size_t>(geometry_.num_rows());
  squares_.resize(size);
  key_spread_.resize(size);
  const float* added = segment->squares(0);
  for (size_t first = 0; first < size; first += dim) {
    double trace = 0;
    for (size_t i = first; i < first + dim; ++i) trace += squares_[i] += added[i];
    const float scale = trace > 0 ? static_cast<float>(1.0 / trace) : 0.0f;
    for (size_t i = first; i < first + dim; ++i) key_spread_[i] = squares_[i] * scale;
  }
  segments_.push_back(std::move(segment));
}

void Sequence::attach(std::shared_ptr<Segment> segment) {
  const int64_t segment_tokens = geometry_.index.segment_tokens;
  if (tail_tokens_ < segment_tokens) throw std::runtime_error("the tail is shorter than a segment");
  const int64_t dim = geometry_.head_dim;
  const size_t rest_bytes = static_cast<size_t>((tail_tokens_ - segment_tokens) * dim) * 2;
  for (int64_t row = 0; row < geometry_.num_rows(); ++row) {
    memmove(tail_keys(row), tail_keys(row) + segment_tokens * dim, rest_bytes);
    memmove(tail_values(row), tail_values(row) + segment_tokens * dim, rest_bytes);
  }
  tail_tokens_ -= segment_tokens;
  chain(std::move(segment));
}

void Sequence::adopt(std::shared_ptr<Segment> segment) {
  if (tail_tokens_ != 0) {
    throw std::runtime_error("a sequence with " + std::to_string(tail_tokens_) + " tokens in its tail cannot adopt a segment");
  }
  num_tokens_ += geometry_.index.segment_tokens;
  chain(std::move(segment));
}

}  // namespace wavekv
