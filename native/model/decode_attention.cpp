#include "decode_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace wavekv {
namespace {

constexpr double kHalfBytes = 2;  // of an f16
constexpr size_t kVectorPadding = 16;  // select_largest() reads whole vectors

/// The part-th of `parts` even pieces of [0, count).
struct Slice {
  int64_t begin, end;
};
Slice slice(int64_t count, int64_t part, int64_t parts) { return {count * part / parts, count * (part + 1) / parts}; }

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
  // Few: each part begins with a block that it must wait for.
  num_parts_ = pool_.num_threads();
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
  const KvRange range = sequence.tail_range(kv_row, tokens.begin, tokens.end - tokens.begin);
  kernels_.attend_ranges(row_queries(row, queries), geometry_.group_size, geometry_.head_dim, &range, 1, state);
}

DecodeAttention::PartClusters DecodeAttention::part_clusters(const Row& row, int64_t part) const {
  const Slice share = slice(static_cast<int64_t>(row.indexes.size()), part, num_parts_);
  const auto offset = [&](int64_t segment) {
    return segment < static_cast<int64_t>(row.indexes.size()) ? row.cluster_offsets[static_cast<size_t>(segment)]
                                                              : row.num_clusters;
  };
  return {share.begin, share.end, offset(share.begin), offset(share.end) - offset(share.begin)};
}

void DecodeAttention::score_part(int64_t row_index, int64_t part, int64_t layer, const float* queries) {
  Row& row = rows_[static_cast<size_t>(row_index)];
  attend_tail(row, part, layer, queries, fresh_state(row_index, part, kSteady));
  const PartClusters clusters = part_clusters(row, part);
  const int64_t group = geometry_.group_size, dim = geometry_.head_dim;
  float query_variance[32];
  const float* q = row_queries(row, queries);
  const bool with_variance = options_.variance_term > 0;
  for (int64_t g = 0; with_variance && g < group; ++g) {
    const float* query = q + g * dim;
    const float* spread = row.entry->sequence->key_spread(geometry_.row(layer, row.kv_head));
    float sum = 0;
    for (int64_t d = 0; d < dim; ++d) sum += query[d] * query[d] * spread[d];
    query_variance[g] = static_cast<float>(options_.variance_term) * sum;
  }
  const int64_t stride = static_cast<int64_t>(row.share.size());
  kernels_.score_clusters(q, group, dim, row.indexes.data() + clusters.first_segment,
                          clusters.last_segment - clusters.first_segment, with_variance ? query_variance : nullptr,
                          row.log_mass.data() + clusters.first, stride);
  for (int64_t g = 0; g < group; ++g) {
    const int64_t first = g * stride + clusters.first;
    const size_t at = static_cast<size_t>(part * group + g);
    kernels_.softmax_terms(row.log_mass.data() + first, clusters.count, row.mass.data() + first, &row.part_max[at],
                           &row.part_sum[at]);
  }
}

void DecodeAttention::rank(Row& row, AttentionState steady) {
  const int64_t stride = static_cast<int64_t>(row.share.size()), group = geometry_.group_size;
  std::fill(row.share.begin(), row.share.begin() + row.num_clusters, 0.0f);
  row.cluster_share = 0;
  for (int64_t g = 0; g < group; ++g) {
    float top = steady.max[g];
    for (int64_t part = 0; part < num_parts_; ++part) {
      top = std::max(top, row.part_max[static_cast<size_t>(part * group + g)]);
    }
    const float of_steady = steady.denominator[g] * std::exp(steady.max[g] - top);
    std::vector<float>& scale = row.part_scale;
    float of_clusters = 0;
    for (int64_t part = 0; part < num_parts_; ++part) {
      const size_t at = static_cast<size_t>(part * group + g);
      scale[static_cast<size_t>(part)] = std::exp(row.part_max[at] - top);
      of_clusters += row.part_sum[at] * scale[static_cast<size_t>(part)];
    }
    const float total = of_clusters + of_steady;
    for (int64_t part = 0; part < num_parts_; ++part) {
      const PartClusters clusters = part_clusters(row, part);
      kernels_.add_scaled(row.mass.data() + g * stride + clusters.first, clusters.count,
                          scale[static_cast<size_t>(part)] / total, row.share.data() + clusters.first);
    }
    row.cluster_share += static_cast<double>(of_clusters / total);
  }
}

void DecodeAttention::prioritise(Row& row) {
  for (size_t s = 0; s < row.indexes.size(); ++s) {
    const MetaIndex& index = row.indexes[s];
    const float* share = row.share.data() + row.cluster_offsets[s];
    float* priority = row.priority.data() + row.cluster_offsets[s];
    switch (options_.ranking) {
      case Ranking::kError:
        kernels_.expected_error(share, index.variances, index.sizes, index.num_clusters, priority);
        break;
      case Ranking::kMass:
        std::copy(share, share + index.num_clusters, priority);
        break;
      case Ranking::kCentroid:
        for (int64_t c = 0; c < index.num_clusters; ++c) priority[c] = share[c] / static_cast<float>(index.sizes[c]);
        break;
    }
  }
  // The sink belongs to the exact set always.
  if (geometry_.index.sink_tokens > 0) row.priority[0] = std::numeric_limits<float>::max();
}

void DecodeAttention::choose_retrieved(Row& row, int64_t row_index, int64_t layer) {
  const int64_t clusters = row.num_clusters;
  const int64_t pinned = geometry_.index.sink_tokens > 0 ? 1 : 0;
  const int64_t wanted = static_cast<int64_t>(std::ceil(row.entry->retrieval_budget * static_cast<double>(clusters)));
  const int64_t most = std::min(clusters, std::max(wanted, options_.min_clusters) + pinned);
  const int64_t retrieved = kernels_.select_largest(row.priority.data(), clusters, most, row.chosen.data());

  uint32_t* request = regions_.request + row_index * regions_.request_stride;
  const auto& segments = row.entry->sequence->segments();
  const int64_t kv_row = geometry_.row(layer, row.kv_head);
  request[0] = static_cast<uint32_t>(retrieved);
  row.num_retrieved = retrieved;
  row.unattended = row.cluster_share;
  size_t s = 0;
  for (int64_t i = 0; i < retrieved; ++i) {
    const uint32_t cluster = row.chosen[static_cast<size_t>(i)];
    while (s + 1 < segments.size() && cluster >= row.cluster_offsets[s + 1]) ++s;
    const int64_t first_handle = (segments[s]->slot() * geometry_.num_rows() + kv_row) * geometry_.max_clusters;
    request[1 + i] = static_cast<uint32_t>(first_handle + cluster - row.cluster_offsets[s]);
    row.unattended -= static_cast<double>(row.share[cluster]);
    row.share[cluster] = -1.0f;
  }
}

void DecodeAttention::choose_estimated(Row& row) {
  const int64_t most =
      static_cast<int64_t>(std::ceil(options_.estimation_budget * static_cast<double>(row.num_clusters)));
  const int64_t count = kernels_.select_largest(row.share.data(), row.num_clusters, most, row.chosen.data());
  row.estimated.resize(static_cast<size_t>(count));
  row.estimated_tokens = 0;
  size_t s = 0;
  for (size_t i = 0; i < row.estimated.size(); ++i) {
    const uint32_t cluster = row.chosen[i];
    while (s + 1 < row.indexes.size() && cluster >= row.cluster_offsets[s + 1]) ++s;
    const MetaIndex& index = row.indexes[s];
    const int64_t c = cluster - row.cluster_offsets[s];
    row.estimated[i] = {index.value_sums + c * geometry_.head_dim,
                        index.value_scales[c] / static_cast<float>(index.sizes[c]), cluster};
    row.estimated_tokens += index.sizes[c];
    row.unattended -= static_cast<double>(row.share[cluster]);
  }
  // A difference of sums: what rounding leaves is not mass.
  const bool all = row.num_retrieved + count == row.num_clusters;
  row.unattended = all ? 0.0 : std::max(row.unattended, 0.0);
}

void DecodeAttention::choose_clusters(Row& row, int64_t row_index, int64_t layer) {
  for (int64_t part = 1; part < num_parts_; ++part) {
    kernels_.merge_states(geometry_.group_size, geometry_.head_dim, state(row_index, part, kSteady),
                          state(row_index, 0, kSteady));
  }
  rank(row, state(row_index, 0, kSteady));
  prioritise(row);
  choose_retrieved(row, row_index, layer);
  choose_estimated(row);
}

void DecodeAttention::gather_indexes(Row& row, int64_t layer) {
  const auto& segments = row.entry->sequence->segments();
  row.cluster_offsets.clear();
  row.indexes.clear();
  row.num_clusters = 0;
  for (const auto& segment : segments) {
    row.cluster_offsets.push_back(row.num_clusters);
    row.indexes.push_back(segment->meta_index(geometry_.row(layer, row.kv_head)));
    row.num_clusters += row.indexes.back().num_clusters;
  }
  row.part_max.resize(static_cast<size_t>(num_parts_ * geometry_.group_size));
  row.part_sum.resize(row.part_max.size());
  row.part_scale.resize(static_cast<size_t>(num_parts_));
  const size_t capacity = segments.size() * static_cast<size_t>(geometry_.max_clusters) + kVectorPadding;
  if (row.share.size() < capacity) {
    row.share.resize(capacity);
    row.priority.resize(capacity);
    row.chosen.resize(capacity);
    row.log_mass.resize(capacity * static_cast<size_t>(geometry_.group_size));
    row.mass.resize(capacity * static_cast<size_t>(geometry_.group_size));
  }
}

void DecodeAttention::score(int64_t layer, const float* queries) {
  for (int64_t r = 0; r < num_wave_rows_; ++r) gather_indexes(rows_[static_cast<size_t>(r)], layer);
  pool_.parallel_for(num_wave_rows_ * num_parts_, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t task = begin; task < end; ++task) score_part(task / num_parts_, task % num_parts_, layer, queries);
  });
}

void DecodeAttention::choose(int64_t layer) {
  pool_.parallel_for(num_wave_rows_, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) choose_clusters(rows_[static_cast<size_t>(r)], r, layer);
  });
}

void DecodeAttention::plan_ranges(const Row& row, int64_t row_index, int64_t part, int64_t layer,
                                  std::vector<KvRange>& ranges) const {
  const uint32_t* plan = regions_.plan + row_index * regions_.plan_stride;
  const int64_t kv_row = geometry_.row(layer, row.kv_head);
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
    KvRange whole = range[0] == kRangeCacheHit ? block_cache_.range(range[1], count)
                                               : segment_by_slot_[range[1]]->range(kv_row, range[2], count);
    whole.keys += first * whole.stride;
    if (whole.values != nullptr) whole.values += first * whole.stride;
    whole.num_tokens = last - first;
    ranges.push_back(whole);
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
    const KvRange range = segment.range(kv_row, first, count);
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
  const Slice share = slice(static_cast<int64_t>(row.estimated.size()), part, num_parts_);
  kernels_.estimate_clusters(geometry_.group_size, geometry_.head_dim, row.estimated.data() + share.begin,
                             share.end - share.begin, row.log_mass.data(), static_cast<int64_t>(row.share.size()),
                             fresh_state(row_index, part, kEstimation));
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
  const double half_token_bytes = 2 * kHalfBytes * static_cast<double>(geometry_.head_dim);
  const double record_bytes = static_cast<double>(geometry_.record_bytes());
  const double index_vector_bytes = static_cast<double>(geometry_.head_dim) + sizeof(float);  // int8 and a scale
  const double all_tokens = static_cast<double>(sequence.num_tokens() + 1);
  const double tail_tokens = static_cast<double>(sequence.tail_tokens() + 1);
  const int64_t group = geometry_.group_size;
  totals.rows += 1;
  totals.query_heads += static_cast<double>(group);
  totals.full_bytes += all_tokens * half_token_bytes;
  if (!row.entry->wave) {
    totals.steady_tokens += all_tokens;
    totals.steady_bytes += tail_tokens * half_token_bytes + (all_tokens - tail_tokens) * record_bytes;
    totals.steady_mass += static_cast<double>(group);
    return;
  }
  const uint32_t* plan = regions_.plan + row_index * regions_.plan_stride;
  totals.steady_tokens += tail_tokens;
  totals.retrieval_tokens += plan[1];
  totals.cache_hits += plan[2];
  totals.cache_misses += plan[3];
  totals.estimation_tokens += static_cast<double>(row.estimated_tokens);
  totals.steady_bytes += tail_tokens * half_token_bytes;
  totals.retrieval_bytes += plan[1] * record_bytes;
  totals.estimation_bytes += static_cast<double>(row.estimated.size()) * index_vector_bytes;
  const bool reads_variances = options_.variance_term > 0 || options_.ranking == Ranking::kError;
  totals.index_bytes += static_cast<double>(row.num_clusters) *
                            (index_vector_bytes + sizeof(uint16_t) + (reads_variances ? sizeof(float) : 0)) +
                        static_cast<double>(row.indexes.size() * static_cast<size_t>(geometry_.head_dim)) * kHalfBytes +
                        (reads_variances ? static_cast<double>(geometry_.head_dim) * sizeof(float) : 0);
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

void DecodeAttention::attend(int64_t layer, const float* queries) {
  pool_.parallel_for(num_rows_ * num_parts_, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t task = begin; task < end; ++task) attend_part(task / num_parts_, task % num_parts_, layer, queries);
  });
}

void DecodeAttention::merge(float* out) {
  for (int64_t r = 0; r < num_rows_; ++r) {
    Row& row = rows_[static_cast<size_t>(r)];
    finish_row(row, r, out);
    row.entry->sequence->zones += row.totals;
    row.totals = ZoneTotals();
  }
}

}  // namespace wavekv
