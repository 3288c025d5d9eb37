#include "decode_attention.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>

namespace wavekv {
namespace {

constexpr double kBytesPerValue = 2;  // f16

/// The part-th of `parts` even pieces of [0, count).
struct Slice {
  int64_t begin, end;
};
Slice slice(int64_t count, int64_t part, int64_t parts) { return {count * part / parts, count * (part + 1) / parts}; }

/// Value of the k-th largest element (k >= 1); `values` is reordered.
float kth_largest(std::vector<float>& values, int64_t count, int64_t k) {
  std::nth_element(values.begin(), values.begin() + (k - 1), values.begin() + count, std::greater<float>());
  return values[static_cast<size_t>(k - 1)];
}

}  // namespace

DecodeAttention::DecodeAttention(const KvGeometry& geometry, const WaveOptions& options,
                                 const ControlPlaneRegions& regions, const BlockCache& block_cache,
                                 const Kernels& kernels, ThreadPool& pool)
    : geometry_(geometry), options_(options), regions_(regions), block_cache_(block_cache), kernels_(kernels),
      pool_(pool) {}

void DecodeAttention::begin(std::vector<DecodeEntry> entries) {
  entries_ = std::move(entries);
  const int64_t heads = geometry_.num_kv_heads;
  num_rows_ = static_cast<int64_t>(entries_.size()) * heads;
  num_wave_rows_ = 0;
  std::fill(segment_by_slot_.begin(), segment_by_slot_.end(), nullptr);
  if (static_cast<int64_t>(rows_.size()) < num_rows_) rows_.resize(static_cast<size_t>(num_rows_));
  for (size_t e = 0; e < entries_.size(); ++e) {
    if (entries_[e].wave) num_wave_rows_ = static_cast<int64_t>(e + 1) * heads;
    for (int64_t head = 0; head < heads; ++head) {
      Row& row = rows_[e * static_cast<size_t>(heads) + static_cast<size_t>(head)];
      row.entry = &entries_[e];
      row.kv_head = head;
      row.totals = ZoneTotals();
    }
    const auto& segments = entries_[e].sequence->segments();
    const int64_t clusters = static_cast<int64_t>(segments.size()) * geometry_.max_clusters;
    if (entries_[e].wave && clusters > regions_.max_selected) {
      throw std::runtime_error("a row of up to " + std::to_string(clusters) + " clusters is over the " +
                               std::to_string(regions_.max_selected) + " of an access plan");
    }
    for (const auto& segment : segments) {
      const size_t slot = static_cast<size_t>(segment->slot());
      if (segment_by_slot_.size() <= slot) segment_by_slot_.resize(slot + 1);
      segment_by_slot_[slot] = segment.get();
    }
  }
  if (num_wave_rows_ > regions_.max_rows) {
    throw std::runtime_error("a batch of " + std::to_string(num_wave_rows_) + " wave rows is over the " +
                             std::to_string(regions_.max_rows) + " of the control plane");
  }
  // Rows are cut into parts so that every thread has work; parts are merged by log-sum-exp. Their number does not depend on
  // the batch, so that a sequence's result does not depend on what runs beside it.
  num_parts_ = pool_.num_threads() == 1 ? 1 : 2 * pool_.num_threads();
  states_.resize(static_cast<size_t>(num_rows_ * num_parts_ * kNumZones * geometry_.group_size *
                                     (geometry_.head_dim + 2)));
  if (static_cast<int64_t>(ranges_.size()) < num_rows_ * num_parts_) {
    ranges_.resize(static_cast<size_t>(num_rows_ * num_parts_));
  }
}

const float* DecodeAttention::row_queries(const Row& row, const float* queries) const {
  const int64_t heads = geometry_.num_kv_heads * geometry_.group_size;
  return queries + (row.entry->token * heads + row.kv_head * geometry_.group_size) * geometry_.head_dim;
}

AttentionState DecodeAttention::state(int64_t row, int64_t part, Zone zone) {
  const int64_t group = geometry_.group_size, dim = geometry_.head_dim;
  float* base = states_.data() + ((row * num_parts_ + part) * kNumZones + zone) * group * (dim + 2);
  return {base, base + group * dim, base + group * (dim + 1)};
}

AttentionState DecodeAttention::fresh_state(int64_t row, int64_t part, Zone zone) {
  const int64_t group = geometry_.group_size;
  const AttentionState fresh = state(row, part, zone);
  std::fill(fresh.out, fresh.out + group * geometry_.head_dim, 0.0f);
  std::fill(fresh.max, fresh.max + group, kNoMass);
  std::fill(fresh.denominator, fresh.denominator + group, 0.0f);
  return fresh;
}

void DecodeAttention::attend_tail(Row& row, int64_t part, int64_t layer, const float* queries, AttentionState state) {
  const Sequence& sequence = *row.entry->sequence;
  const int64_t kv_row = geometry_.row(layer, row.kv_head);
  // The step's own token is in the tail already, though the sequence has not advanced yet.
  const Slice tokens = slice(sequence.tail_tokens() + 1, part, num_parts_);
  const int64_t offset = tokens.begin * geometry_.head_dim;
  const KvRange range{sequence.tail_keys(kv_row) + offset, sequence.tail_values(kv_row) + offset,
                      tokens.end - tokens.begin};
  kernels_.attend_ranges(row_queries(row, queries), geometry_.group_size, geometry_.head_dim, &range, 1, state);
}

void DecodeAttention::score_part(int64_t row_index, int64_t part, int64_t layer, const float* queries) {
  Row& row = rows_[static_cast<size_t>(row_index)];
  attend_tail(row, part, layer, queries, fresh_state(row_index, part, kSteady));
  const Sequence& sequence = *row.entry->sequence;
  const int64_t kv_row = geometry_.row(layer, row.kv_head);
  const auto& segments = sequence.segments();
  const Slice share = slice(static_cast<int64_t>(segments.size()), part, num_parts_);
  if (share.begin == share.end) return;
  float query_variance[32];
  const float* q = row_queries(row, queries);
  const bool with_variance = options_.variance_term > 0;
  for (int64_t g = 0; with_variance && g < geometry_.group_size; ++g) {
    const float* query = q + g * geometry_.head_dim;
    const float* spread = sequence.key_spread(kv_row);
    float sum = 0;
    for (int64_t d = 0; d < geometry_.head_dim; ++d) sum += query[d] * query[d] * spread[d];
    query_variance[g] = static_cast<float>(options_.variance_term) * sum;
  }
  const int64_t stride = static_cast<int64_t>(row.share.size());
  for (int64_t s = share.begin; s < share.end; ++s) {
    const size_t index = static_cast<size_t>(s);
    kernels_.score_clusters(q, geometry_.group_size, geometry_.head_dim, segments[index]->meta_index(kv_row),
                            with_variance ? query_variance : nullptr,
                            row.log_mass.data() + row.cluster_offsets[index], stride);
  }
}

void DecodeAttention::rank(Row& row, int64_t layer, AttentionState steady) {
  const int64_t clusters = row.num_clusters;
  const int64_t stride = static_cast<int64_t>(row.share.size());
  std::fill(row.share.begin(), row.share.begin() + clusters, 0.0f);
  for (int64_t g = 0; g < geometry_.group_size; ++g) {
    const float* scores = row.log_mass.data() + g * stride;
    float max = 0, sum = 0;
    if (options_.ranking != Ranking::kCentroid) {
      kernels_.log_sum_exp(scores, clusters, &max, &sum);
      const float top = std::max(max, steady.max[g]);
      const float total = sum * std::exp(max - top) + steady.denominator[g] * std::exp(steady.max[g] - top);
      kernels_.add_shares(scores, clusters, top + std::log(total), row.share.data());
    } else {
      const auto& segments = row.entry->sequence->segments();
      for (size_t s = 0; s < segments.size(); ++s) {
        const MetaIndex index = segments[s]->meta_index(geometry_.row(layer, row.kv_head));
        for (int64_t c = 0; c < index.num_clusters; ++c) {
          const int64_t i = row.cluster_offsets[s] + c;
          row.ranking[static_cast<size_t>(i)] = scores[i] - std::log(static_cast<float>(index.sizes[c]));
        }
      }
      kernels_.log_sum_exp(row.ranking.data(), clusters, &max, &sum);
      kernels_.add_shares(row.ranking.data(), clusters, max + std::log(sum), row.share.data());
    }
  }
}

void DecodeAttention::prioritise(Row& row, int64_t layer) {
  const auto& segments = row.entry->sequence->segments();
  std::copy(row.share.begin(), row.share.begin() + row.num_clusters, row.priority.begin());
  for (size_t s = 0; options_.ranking == Ranking::kError && s < segments.size(); ++s) {
    // To first order the estimate is wrong by the mass times the standard deviation of the members' scores, which goes with
    // the square root of the cluster's variance; a cluster of equal keys is estimated without error.
    const MetaIndex index = segments[s]->meta_index(geometry_.row(layer, row.kv_head));
    float* priority = row.priority.data() + row.cluster_offsets[s];
    for (int64_t c = 0; c < index.num_clusters; ++c) {
      priority[c] *= std::sqrt(index.variances[c]) / static_cast<float>(index.sizes[c]);
    }
  }
  // The sink belongs to the exact set always.
  if (geometry_.index.sink_tokens > 0) row.priority[0] = std::numeric_limits<float>::max();
}

void DecodeAttention::choose_retrieved(Row& row, int64_t row_index, int64_t layer) {
  const int64_t clusters = row.num_clusters;
  const int64_t pinned = geometry_.index.sink_tokens > 0 ? 1 : 0;
  const int64_t wanted = static_cast<int64_t>(std::ceil(row.entry->retrieval_budget * static_cast<double>(clusters)));
  const int64_t retrieved = std::min(clusters, std::max(wanted, options_.min_clusters) + pinned);
  std::copy(row.priority.begin(), row.priority.begin() + clusters, row.ranking.begin());
  const float threshold = kth_largest(row.ranking, clusters, retrieved);
  // Ties at the threshold are taken in index order, so that exactly `retrieved` clusters are chosen.
  int64_t ties = retrieved;
  for (int64_t c = 0; c < clusters; ++c) ties -= row.priority[static_cast<size_t>(c)] > threshold;

  uint32_t* request = regions_.request + row_index * regions_.request_stride;
  const auto& segments = row.entry->sequence->segments();
  const int64_t kv_row = geometry_.row(layer, row.kv_head);
  uint32_t count = 0;
  for (size_t s = 0; s < segments.size(); ++s) {
    const uint32_t first_handle =
        static_cast<uint32_t>((segments[s]->slot() * geometry_.num_rows() + kv_row) * geometry_.max_clusters);
    for (int64_t c = 0; c < segments[s]->count(kv_row); ++c) {
      const size_t i = static_cast<size_t>(row.cluster_offsets[s] + c);
      row.take[i] = row.priority[i] > threshold || (row.priority[i] == threshold && ties-- > 0);
      if (row.take[i]) request[1 + count++] = first_handle + static_cast<uint32_t>(c);
    }
  }
  request[0] = count;
}

void DecodeAttention::choose_estimated(Row& row, int64_t layer) {
  const size_t clusters = static_cast<size_t>(row.num_clusters);
  int64_t rest = 0;
  for (size_t i = 0; i < clusters; ++i) {
    if (!row.take[i]) row.ranking[static_cast<size_t>(rest++)] = row.share[i];
  }
  const int64_t estimated = std::min(
      rest, static_cast<int64_t>(std::ceil(options_.estimation_budget * static_cast<double>(row.num_clusters))));
  float estimate_from = -1.0f;  // every other cluster
  if (estimated == 0) {
    estimate_from = std::numeric_limits<float>::infinity();
  } else if (estimated < rest) {
    estimate_from = kth_largest(row.ranking, rest, estimated);
  }
  const auto& segments = row.entry->sequence->segments();
  const int64_t kv_row = geometry_.row(layer, row.kv_head);
  row.unattended = 0;
  row.num_estimated = row.estimated_tokens = 0;
  for (size_t s = 0; s < segments.size(); ++s) {
    const uint16_t* sizes = segments[s]->sizes(kv_row);
    for (int64_t c = 0; c < segments[s]->count(kv_row); ++c) {
      const size_t i = static_cast<size_t>(row.cluster_offsets[s] + c);
      const bool retrieved = row.take[i] != 0;
      row.take[i] = !retrieved && row.share[i] >= estimate_from;
      if (row.take[i]) {
        row.num_estimated += 1;
        row.estimated_tokens += sizes[c];
      } else if (!retrieved) {
        row.unattended += row.share[i];
      }
    }
  }
}

void DecodeAttention::choose(Row& row, int64_t row_index, int64_t layer) {
  for (int64_t part = 1; part < num_parts_; ++part) {
    kernels_.merge_states(geometry_.group_size, geometry_.head_dim, state(row_index, part, kSteady),
                          state(row_index, 0, kSteady));
  }
  rank(row, layer, state(row_index, 0, kSteady));
  prioritise(row, layer);
  choose_retrieved(row, row_index, layer);
  choose_estimated(row, layer);
}

void DecodeAttention::score(int64_t layer, const float* queries) {
  for (int64_t r = 0; r < num_wave_rows_; ++r) {
    Row& row = rows_[static_cast<size_t>(r)];
    const auto& segments = row.entry->sequence->segments();
    row.cluster_offsets.clear();
    row.num_clusters = 0;
    for (const auto& segment : segments) {
      row.cluster_offsets.push_back(row.num_clusters);
      row.num_clusters += segment->count(geometry_.row(layer, row.kv_head));
    }
    const size_t capacity = segments.size() * static_cast<size_t>(geometry_.max_clusters);
    if (row.share.size() < capacity) {
      row.share.resize(capacity);
      row.priority.resize(capacity);
      row.ranking.resize(capacity);
      row.take.resize(capacity);
      row.log_mass.resize(capacity * static_cast<size_t>(geometry_.group_size));
    }
  }
  pool_.parallel_for(num_wave_rows_ * num_parts_, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t task = begin; task < end; ++task) score_part(task / num_parts_, task % num_parts_, layer, queries);
  });
  pool_.parallel_for(num_wave_rows_, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) choose(rows_[static_cast<size_t>(r)], r, layer);
  });
}

void DecodeAttention::plan_ranges(const Row& row, int64_t row_index, int64_t part, int64_t layer,
                                  std::vector<KvRange>& ranges) const {
  const uint32_t* plan = regions_.plan + row_index * regions_.plan_stride;
  const int64_t kv_row = geometry_.row(layer, row.kv_head), dim = geometry_.head_dim;
  // Cut by tokens, not by ranges: the result must not depend on where the control plane found the clusters.
  const Slice tokens = slice(plan[1], part, num_parts_);
  ranges.clear();
  int64_t before = 0;
  for (uint32_t i = 0; i < plan[0] && before < tokens.end; ++i) {
    const uint32_t* range = plan + 4 + 4 * i;
    const int64_t count = range[3];
    const int64_t first = std::max<int64_t>(tokens.begin - before, 0), last = std::min(tokens.end - before, count);
    before += count;
    if (first >= last) continue;
    KvRange whole;
    if (range[0] == kRangeCacheHit) {
      whole = block_cache_.range(range[1], count);
    } else {
      const Segment& segment = *segment_by_slot_[range[1]];
      whole = {segment.keys(kv_row) + range[2] * dim, segment.values(kv_row) + range[2] * dim, count};
    }
    ranges.push_back({whole.keys + first * dim, whole.values + first * dim, last - first});
  }
}

void DecodeAttention::attend_plan(Row& row, int64_t row_index, int64_t part, int64_t layer, const float* queries) {
  std::vector<KvRange>& ranges = ranges_[static_cast<size_t>(row_index * num_parts_ + part)];
  plan_ranges(row, row_index, part, layer, ranges);
  kernels_.attend_ranges(row_queries(row, queries), geometry_.group_size, geometry_.head_dim, ranges.data(),
                         static_cast<int64_t>(ranges.size()), fresh_state(row_index, part, kRetrieval));
}

void DecodeAttention::attend_segments(Row& row, int64_t part, int64_t layer, const float* queries,
                                      AttentionState state) {
  const auto& segments = row.entry->sequence->segments();
  const int64_t kv_row = geometry_.row(layer, row.kv_head);
  const int64_t segment_tokens = geometry_.index.segment_tokens;
  const Slice tokens = slice(static_cast<int64_t>(segments.size()) * segment_tokens, part, num_parts_);
  for (int64_t token = tokens.begin; token < tokens.end;) {
    const Segment& segment = *segments[static_cast<size_t>(token / segment_tokens)];
    const int64_t first = token % segment_tokens;
    const int64_t count = std::min(segment_tokens - first, tokens.end - token);
    const int64_t offset = first * geometry_.head_dim;
    const KvRange range{segment.keys(kv_row) + offset, segment.values(kv_row) + offset, count};
    kernels_.attend_ranges(row_queries(row, queries), geometry_.group_size, geometry_.head_dim, &range, 1, state);
    token += count;
  }
}

void DecodeAttention::attend_part(int64_t row_index, int64_t part, int64_t layer, const float* queries) {
  Row& row = rows_[static_cast<size_t>(row_index)];
  if (!row.entry->wave) {
    const AttentionState steady = fresh_state(row_index, part, kSteady);
    attend_tail(row, part, layer, queries, steady);
    attend_segments(row, part, layer, queries, steady);
    return;
  }
  attend_plan(row, row_index, part, layer, queries);
  const AttentionState estimated = fresh_state(row_index, part, kEstimation);
  const auto& segments = row.entry->sequence->segments();
  const Slice share = slice(static_cast<int64_t>(segments.size()), part, num_parts_);
  const int64_t kv_row = geometry_.row(layer, row.kv_head);
  for (int64_t s = share.begin; s < share.end; ++s) {
    const size_t index = static_cast<size_t>(s);
    const int64_t first = row.cluster_offsets[index];
    kernels_.estimate_clusters(geometry_.group_size, geometry_.head_dim, segments[index]->meta_index(kv_row),
                               row.take.data() + first, row.log_mass.data() + first,
                               static_cast<int64_t>(row.share.size()), estimated);
  }
}

void DecodeAttention::finish_row(Row& row, int64_t row_index, float* out) {
  const int64_t group = geometry_.group_size, dim = geometry_.head_dim;
  for (int zone = row.entry->wave ? kRetrieval : kSteady; zone < (row.entry->wave ? kNumZones : kRetrieval); ++zone) {
    for (int64_t part = 1; part < num_parts_; ++part) {
      kernels_.merge_states(group, dim, state(row_index, part, static_cast<Zone>(zone)),
                            state(row_index, 0, static_cast<Zone>(zone)));
    }
  }
  count_zones(row, row_index);
  const AttentionState total = state(row_index, 0, kSteady);
  if (row.entry->wave) {
    kernels_.merge_states(group, dim, state(row_index, 0, kRetrieval), total);
    kernels_.merge_states(group, dim, state(row_index, 0, kEstimation), total);
  }
  const int64_t heads = geometry_.num_kv_heads * group;
  kernels_.finish_state(group, dim, total, out + (row.entry->token * heads + row.kv_head * group) * dim);
}

void DecodeAttention::count_zones(Row& row, int64_t row_index) {
  ZoneTotals& totals = row.totals;
  const Sequence& sequence = *row.entry->sequence;
  const double vector_bytes = kBytesPerValue * static_cast<double>(geometry_.head_dim);
  const double token_bytes = 2 * vector_bytes;
  const double all_tokens = static_cast<double>(sequence.num_tokens() + 1);
  const double tail_tokens = static_cast<double>(sequence.tail_tokens() + 1);
  const int64_t group = geometry_.group_size;
  totals.rows += 1;
  totals.query_heads += static_cast<double>(group);
  totals.full_bytes += all_tokens * token_bytes;
  if (!row.entry->wave) {
    totals.steady_tokens += all_tokens;
    totals.steady_bytes += all_tokens * token_bytes;
    totals.steady_mass += static_cast<double>(group);
    return;
  }
  const uint32_t* plan = regions_.plan + row_index * regions_.plan_stride;
  totals.steady_tokens += tail_tokens;
  totals.retrieval_tokens += plan[1];
  totals.cache_hits += plan[2];
  totals.cache_misses += plan[3];
  totals.estimation_tokens += static_cast<double>(row.estimated_tokens);
  totals.steady_bytes += tail_tokens * token_bytes;
  totals.retrieval_bytes += plan[1] * token_bytes;
  totals.estimation_bytes += static_cast<double>(row.num_estimated) * vector_bytes;
  const bool reads_variances = options_.variance_term > 0 || options_.ranking == Ranking::kError;
  totals.index_bytes += static_cast<double>(row.num_clusters) * (vector_bytes + sizeof(uint16_t)) +
                        (reads_variances ? static_cast<double>(row.num_clusters + geometry_.head_dim) * sizeof(float) : 0);
  const double unattended = row.unattended / static_cast<double>(group);
  for (int64_t g = 0; g < group; ++g) {
    double mass[kNumZones], top = kNoMass;
    for (int zone = 0; zone < kNumZones; ++zone) {
      top = std::max(top, static_cast<double>(state(row_index, 0, static_cast<Zone>(zone)).max[g]));
    }
    for (int zone = 0; zone < kNumZones; ++zone) {
      const AttentionState of_zone = state(row_index, 0, static_cast<Zone>(zone));
      mass[zone] = of_zone.denominator[g] * std::exp(of_zone.max[g] - top);
    }
    const double scale = (1 - unattended) / (mass[kSteady] + mass[kRetrieval] + mass[kEstimation]);
    totals.steady_mass += mass[kSteady] * scale;
    totals.retrieval_mass += mass[kRetrieval] * scale;
    totals.estimation_mass += mass[kEstimation] * scale;
    totals.unattended_mass += unattended;
  }
}

void DecodeAttention::attend(int64_t layer, const float* queries, float* out) {
  pool_.parallel_for(num_rows_ * num_parts_, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t task = begin; task < end; ++task) attend_part(task / num_parts_, task % num_parts_, layer, queries);
  });
  for (int64_t r = 0; r < num_rows_; ++r) {
    Row& row = rows_[static_cast<size_t>(r)];
    finish_row(row, r, out);
    row.entry->sequence->zones += row.totals;
    row.totals = ZoneTotals();
  }
}

}  // namespace wavekv
