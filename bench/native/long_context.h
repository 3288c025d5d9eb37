#pragma once
#include <sys/resource.h>

#include <atomic>
#include <stdexcept>

#include "index_build.h"
#include "kv_fixture.h"
#include "long_context_data.h"
#include "roofline_result.h"

// One layer's attention of one decode token at the shape of Llama 3 8B: 8 KV heads, 32 query heads, head dim 128.
namespace wavekv_bench {

struct LongContextOptions {
  double retrieval_budget = 0.05;
  wavekv::WaveOptions wave;
  wavekv::IndexOptions index;
};

inline wavekv::KvGeometry long_context_geometry(const wavekv::IndexOptions& index, wavekv::KvType type) {
  wavekv::KvGeometry g{};
  g.num_layers = 1;
  g.num_kv_heads = 8;
  g.group_size = 4;
  g.head_dim = 128;
  g.kv_type = type;
  g.index = index;
  g.max_clusters = wavekv::max_clusters_per_row(index);
  g.tail_capacity = index.local_window + 64;
  return g;
}

using Segments = std::vector<std::shared_ptr<wavekv::Segment>>;

inline Segments build_segments(const wavekv::KvGeometry& g, const LongContextData& data, int64_t num_segments,
                               const wavekv::Kernels& kernels, wavekv::ThreadPool& pool) {
  Segments segments;
  for (int64_t s = 0; s < num_segments; ++s) segments.push_back(std::make_shared<wavekv::Segment>(g, s));
  const int64_t tokens = g.index.segment_tokens, scratch_floats = wavekv::index_scratch_floats(g, kernels);
  wavekv::HugeBuffer scratch(pool.num_threads() * scratch_floats * 4);
  wavekv::HugeBuffer source(pool.num_threads() * 2 * tokens * g.head_dim * 2);
  std::atomic<int64_t> failed{0};
  pool.parallel_for(num_segments * g.num_kv_heads, 1, [&](int64_t begin, int64_t end, int thread) {
    uint16_t* keys = source.as<uint16_t>() + thread * 2 * tokens * g.head_dim;
    uint16_t* values = keys + tokens * g.head_dim;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t s = task / g.num_kv_heads, head = task % g.num_kv_heads;
      data.fill(head, s, tokens, 0, kernels, keys, values);
      const wavekv::IndexSource rows{keys, values, nullptr, s == 0 ? g.index.sink_tokens : 0};
      if (!wavekv::build_index(g, kernels, rows, head, *segments[static_cast<size_t>(s)],
                               scratch.as<float>() + thread * scratch_floats)) {
        ++failed;
      }
    }
  });
  if (failed > 0) throw std::runtime_error(std::to_string(failed.load()) + " rows have too many clusters");
  return segments;
}

/// The first segments, a local window and the step's own token.
inline std::unique_ptr<wavekv::Sequence> sequence_over(const wavekv::KvGeometry& g, const Segments& segments,
                                                       int64_t num_segments, const LongContextData& data,
                                                       const wavekv::Kernels& kernels) {
  auto sequence = std::make_unique<wavekv::Sequence>(g);
  for (int64_t s = 0; s < num_segments; ++s) sequence->adopt(segments[static_cast<size_t>(s)]);
  for (int64_t head = 0; head < g.num_kv_heads; ++head) {
    data.fill(head, num_segments, g.index.local_window + 1, kNearness, kernels, sequence->tail_keys(head),
              sequence->tail_values(head));
  }
  sequence->advance(g.index.local_window);
  return sequence;
}

/// One way to attend; what it read and how long its phases took is kept over the steps.
class AttentionRun {
 public:
  AttentionRun(std::string name, wavekv::Sequence& sequence, bool wave, double budget,
               const LongContextOptions& options, const wavekv::Kernels& kernels, wavekv::ThreadPool& pool)
      : name_(std::move(name)), sequence_(sequence), wave_(wave), budget_(budget),
        num_threads_(pool.num_threads()),
        regions_(sequence.geometry(), sequence.geometry().num_kv_heads, max_selected(sequence)),
        cache_(0, sequence.geometry()),
        attention_(sequence.geometry(), options.wave, regions_.regions, cache_, kernels, pool) {}

  std::vector<float> step(const std::vector<float>& queries) {
    sequence_.zones = wavekv::ZoneTotals();
    std::vector<float> out(queries.size());
    const double wall = wall_seconds(), cpu = process_cpu_seconds();
    double at = cpu;
    const auto lap = [&](size_t phase) {
      const double now = process_cpu_seconds();
      phases_[phase].push_back((now - at) / num_threads_);
      at = now;
    };
    attention_.begin({{&sequence_, 0, wave_, budget_}});
    attention_.score(0, queries.data());
    lap(0);
    attention_.choose(0);
    lap(1);
    regions_.plan_in_place(attention_.num_wave_rows(), attention_);
    lap(2);
    attention_.attend(0, queries.data());
    lap(3);
    attention_.merge(out.data());
    lap(4);
    totals_.push_back(wall_seconds() - wall);
    cpu_.push_back((at - cpu) / num_threads_);
    last_ = sequence_.zones;
    return out;
  }

  /// Relative error of each head's output against the exact one.
  void compare(const std::vector<float>& out, const std::vector<float>& exact) {
    const size_t dim = static_cast<size_t>(sequence_.geometry().head_dim);
    for (size_t h = 0; h < out.size(); h += dim) {
      double error = 0, norm = 0;
      for (size_t d = h; d < h + dim; ++d) {
        const double difference = static_cast<double>(out[d]) - static_cast<double>(exact[d]);
        error += difference * difference;
        norm += static_cast<double>(exact[d]) * static_cast<double>(exact[d]);
      }
      errors_.push_back(std::sqrt(error / norm));
    }
  }

  void print(int64_t num_tokens) const {
    double sum = 0, most = 0;
    for (const double e : errors_) {
      sum += e;
      most = std::max(most, e);
    }
    const double mean = errors_.empty() ? 0 : sum / static_cast<double>(errors_.size());
    std::printf("{\"kind\":\"attention\",\"tokens\":%lld,\"name\":\"%s\",", static_cast<long long>(num_tokens),
                name_.c_str());
    std::printf("\"wallSeconds\":%.6g,\"cpuSeconds\":%.6g,", median(totals_), median(cpu_));
    std::printf("\"phases\":[%.6g,%.6g,%.6g,%.6g,%.6g],", median(phases_[0]), median(phases_[1]), median(phases_[2]),
                median(phases_[3]), median(phases_[4]));
    std::printf("\"steadyBytes\":%.6g,\"indexBytes\":%.6g,\"retrievalBytes\":%.6g,\"estimationBytes\":%.6g,",
                last_.steady_bytes, last_.index_bytes, last_.retrieval_bytes, last_.estimation_bytes);
    std::printf("\"meanError\":%.6g,\"maxError\":%.6g,\"masses\":[%.6g,%.6g,%.6g,%.6g]}\n", mean, most,
                last_.steady_mass / last_.query_heads, last_.retrieval_mass / last_.query_heads,
                last_.estimation_mass / last_.query_heads, last_.unattended_mass / last_.query_heads);
    std::fflush(stdout);
  }

 private:
  static int64_t max_selected(const wavekv::Sequence& sequence) {
    return static_cast<int64_t>(sequence.segments().size()) * sequence.geometry().max_clusters;
  }

  std::string name_;
  wavekv::Sequence& sequence_;
  bool wave_;
  double budget_;
  int num_threads_;
  wavekv_test::Regions regions_;
  wavekv::BlockCache cache_;
  wavekv::DecodeAttention attention_;
  std::vector<double> phases_[5], totals_, cpu_, errors_;
  wavekv::ZoneTotals last_;  // of the last step
};

/// Exact over f16, exact over q8 and wave take turns, each from cold caches.
inline void compare_attention(int64_t num_segments, const LongContextOptions& options, const LongContextData& data,
                              const Segments& f16, const Segments& q8, const wavekv::HugeBuffer& other_memory,
                              const wavekv::Kernels& kernels, wavekv::ThreadPool& pool) {
  constexpr int64_t kSteps = 11;
  const auto sequence = [&](wavekv::KvType type, const Segments& segments) {
    return sequence_over(long_context_geometry(options.index, type), segments, num_segments, data, kernels);
  };
  const auto half = sequence(wavekv::KvType::kF16, f16), bytes = sequence(wavekv::KvType::kQ8, q8);
  std::vector<std::unique_ptr<AttentionRun>> runs;
  const auto add = [&](const std::string& name, wavekv::Sequence& sequence, bool wave, double budget) {
    runs.push_back(std::make_unique<AttentionRun>(name, sequence, wave, budget, options, kernels, pool));
  };
  add("exact, f16", *half, false, 1);
  add("exact, q8", *bytes, false, 1);
  char name[64];
  for (const double budget : {options.retrieval_budget, 0.018}) {
    std::snprintf(name, sizeof name, "wave, q8, retrieval %.3g %%", budget * 100);
    add(name, *bytes, true, budget);
  }
  for (int64_t step = 0; step < kSteps; ++step) {
    const std::vector<float> queries = data.queries(step);
    std::vector<float> exact;
    for (size_t r = 0; r < runs.size(); ++r) {
      read_all(other_memory, pool);
      const std::vector<float> out = runs[r]->step(queries);
      if (r == 0) exact = out;
      else runs[r]->compare(out, exact);
    }
  }
  for (const auto& run : runs) run->print(num_segments * options.index.segment_tokens);
}

inline void long_context(const LongContextOptions& options, int64_t max_tokens, const wavekv::HugeBuffer& other_memory,
                         const wavekv::Kernels& kernels, wavekv::ThreadPool& pool) {
  const int64_t num_segments = max_tokens / options.index.segment_tokens;
  const auto geometry = [&](wavekv::KvType type) { return long_context_geometry(options.index, type); };
  const LongContextData data(geometry(wavekv::KvType::kF16), num_segments, 2026);
  const double start = wall_seconds();
  const Segments f16 = build_segments(geometry(wavekv::KvType::kF16), data, num_segments, kernels, pool);
  const Segments q8 = build_segments(geometry(wavekv::KvType::kQ8), data, num_segments, kernels, pool);
  const double build = wall_seconds() - start;
  for (const int64_t tokens : {max_tokens / 8, max_tokens}) {
    compare_attention(tokens / options.index.segment_tokens, options, data, f16, q8, other_memory, kernels, pool);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("{\"kind\":\"memory\",\"buildSeconds\":%.4g,\"peakBytes\":%.6g}\n", build,
              static_cast<double>(usage.ru_maxrss) * 1024);
}

}  // namespace wavekv_bench
