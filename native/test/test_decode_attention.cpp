// The tripartite attention of DESIGN section 3 against a float64 evaluation of its formulas over the same segments.
#include <algorithm>
#include <cmath>

#include "attention_reference.h"
#include "kv_fixture.h"

using namespace wavekv;
using namespace wavekv_test;

namespace {

constexpr KvType kTypes[] = {KvType::kF16, KvType::kQ8};

struct Accumulator {
  std::vector<double> numerator;
  double denominator = 0;
  explicit Accumulator(int64_t dim) : numerator(static_cast<size_t>(dim)) {}
  void add(double mass, const std::vector<double>& value) {
    denominator += mass;
    for (size_t d = 0; d < numerator.size(); ++d) numerator[d] += mass * value[d];
  }
  /// Every token of a range, as its records say.
  void add(const float* q, const KvRange& range) {
    for (int64_t t = 0; t < range.num_tokens; ++t) {
      const Token token = read_token(range, t, static_cast<int64_t>(numerator.size()));
      add(std::exp(dot(q, token.key)), token.value);
    }
  }
  std::vector<double> output() const {
    std::vector<double> out;
    for (double x : numerator) out.push_back(x / denominator);
    return out;
  }
};

/// Exact attention over every token of the sequence, the step's own included.
std::vector<double> naive_full(const Sequence& sequence, int64_t row, const float* q) {
  Accumulator sum(sequence.geometry().head_dim);
  for (const auto& segment : sequence.segments()) sum.add(q, segment->range(row, 0, segment->num_tokens()));
  sum.add(q, sequence.tail_range(row, 0, sequence.tail_tokens() + 1));
  return sum.output();
}

/// q^T P q of the sequence's key spread.
double quadratic_form(const Sequence& sequence, int64_t row, const float* q) {
  double sum = 0;
  for (int64_t d = 0; d < sequence.geometry().head_dim; ++d) {
    sum += std::pow(static_cast<double>(q[d]), 2) * static_cast<double>(sequence.key_spread(row)[d]);
  }
  return sum;
}

/// The estimated log mass of a cluster, from what the meta index stores.
double log_mass(const MetaIndex& index, int64_t c, int64_t dim, const float* q, double variance_term, double quadratic) {
  const double log_size = std::log(static_cast<double>(index.sizes[c]));
  const double spread = 0.5 * variance_term * static_cast<double>(index.variances[c]) * quadratic;
  const auto centroid = i8_vector(index.centroids + c * dim, static_cast<double>(index.centroid_scales[c]), index.centre, dim);
  return dot(q, centroid) + log_size + std::min({spread, 0.75 * log_size, 3.0});
}

/// The formulas with a given set of retrieved clusters (by handle); every other cluster is estimated.
std::vector<double> naive_tripartite(const Sequence& sequence, int64_t row, const float* q,
                                     const std::vector<uint32_t>& retrieved, double variance_term) {
  const KvGeometry& g = sequence.geometry();
  const double quadratic = quadratic_form(sequence, row, q);
  Accumulator sum(g.head_dim);
  for (const auto& segment : sequence.segments()) {
    const MetaIndex index = segment->meta_index(row);
    int64_t start = 0;
    for (int64_t c = 0; c < index.num_clusters; ++c) {
      const uint32_t handle = static_cast<uint32_t>((segment->slot() * g.num_rows() + row) * g.max_clusters + c);
      const int64_t size = index.sizes[c];
      if (std::find(retrieved.begin(), retrieved.end(), handle) != retrieved.end()) {
        sum.add(q, segment->range(row, start, size));
      } else {
        const double mean_scale = static_cast<double>(index.value_scales[c]) / static_cast<double>(size);
        sum.add(std::exp(log_mass(index, c, g.head_dim, q, variance_term, quadratic)),
                i8_vector(index.value_sums + c * g.head_dim, mean_scale, nullptr, g.head_dim));
      }
      start += size;
    }
  }
  sum.add(q, sequence.tail_range(row, 0, sequence.tail_tokens() + 1));
  return sum.output();
}

/// Of attention's output against its records: int8 ones are met by queries and weights of 16 bits.
double tolerance(KvType type) { return type == KvType::kQ8 ? 5e-4 : 1e-5; }

struct Setup {
  KvGeometry geometry;
  const Kernels& kernels;
  ThreadPool pool{2};
  Regions regions{geometry, 8, 16 * geometry.max_clusters};
  BlockCache block_cache{0, geometry};
  int64_t next_slot = 0;
  std::vector<std::unique_ptr<Sequence>> sequences;
  std::vector<float> queries, out;

  explicit Setup(KvType kv_type = KvType::kQ8, const Kernels& level = portable::kKernels)
      : geometry(small_geometry(kv_type)), kernels(level) {}

  Sequence& add(int64_t num_tokens, uint64_t seed) {
    sequences.push_back(std::make_unique<Sequence>(geometry));
    fill(*sequences.back(), num_tokens, seed, regions, kernels, pool, next_slot);
    return *sequences.back();
  }

  /// One decode step of every sequence at a layer; wave ones first.
  void step(int64_t layer, WaveOptions options, const std::vector<DecodeEntry>& entries) {
    const int64_t width = geometry.num_kv_heads * geometry.group_size * geometry.head_dim;
    Random random(99);
    queries.resize(entries.size() * static_cast<size_t>(width));
    for (float& q : queries) q = static_cast<float>(0.35 * random.normal());
    out.assign(queries.size(), 0);
    run(layer, options, entries, out);
  }

  void run(int64_t layer, WaveOptions options, const std::vector<DecodeEntry>& entries, std::vector<float>& result) {
    DecodeAttention attention(geometry, options, regions.regions, block_cache, kernels, pool);
    attention.begin(entries);
    attention.score(layer, queries.data());
    attention.choose(layer);
    regions.plan_in_place(attention.num_wave_rows(), attention);
    attention.attend(layer, queries.data());
    attention.merge(result.data());
  }

  const float* query(int64_t token, int64_t kv_head, int64_t g) const {
    return queries.data() + ((token * geometry.num_kv_heads + kv_head) * geometry.group_size + g) * geometry.head_dim;
  }
  double error(int64_t token, int64_t kv_head, int64_t g, const std::vector<double>& expected) const {
    const float* actual = out.data() + (query(token, kv_head, g) - queries.data());
    double difference = 0, norm = 0;
    for (size_t d = 0; d < expected.size(); ++d) {
      difference += std::pow(static_cast<double>(actual[d]) - expected[d], 2);
      norm += expected[d] * expected[d];
    }
    return std::sqrt(difference / norm);
  }
  double worst_against_full(const Sequence& sequence, int64_t layer, int64_t token) {
    double worst = 0;
    for (int64_t head = 0; head < geometry.num_kv_heads; ++head) {
      for (int64_t g = 0; g < geometry.group_size; ++g) {
        worst = std::max(worst, error(token, head, g, naive_full(sequence, geometry.row(layer, head), query(token, head, g))));
      }
    }
    return worst;
  }
};

}  // namespace

TEST(full_mode_is_exact) {
  for (const Kernels* kernels : levels()) {
    for (const KvType type : kTypes) {
      Setup setup(type, *kernels);
      Sequence& sequence = setup.add(700, 1);
      CHECK(sequence.segments().size() == 5);
      setup.step(1, WaveOptions(), {{&sequence, 0, false, 0}});
      CHECK(setup.worst_against_full(sequence, 1, 0) < tolerance(type));
    }
  }
}

TEST(full_retrieval_equals_full_attention) {
  for (const Kernels* kernels : levels()) {
    for (const KvType type : kTypes) {
      Setup setup(type, *kernels);
      Sequence& sequence = setup.add(700, 2);
      setup.step(0, WaveOptions(), {{&sequence, 0, true, 1.0}});
      CHECK(setup.worst_against_full(sequence, 0, 0) < tolerance(type));
      CHECK_NEAR(sequence.zones.estimation_tokens, 0, 0, 0);
      CHECK(sequence.zones.unattended_mass == 0);
      CHECK_NEAR(sequence.zones.retrieval_tokens, 2.0 * 5 * 128, 0, 0);
    }
  }
}

void check_tripartite(const Kernels& kernels, KvType type) {
  for (const double variance_term : {0.0, 0.5, 1.0}) {
    Setup setup(type, kernels);
    Sequence& sequence = setup.add(700, 3);
    WaveOptions options;
    options.variance_term = variance_term;
    options.min_clusters = 4;
    setup.step(1, options, {{&sequence, 0, true, 0.1}});
    for (int64_t head = 0; head < 2; ++head) {
      const uint32_t* request = setup.regions.regions.request + head * setup.regions.regions.request_stride;
      const std::vector<uint32_t> retrieved(request + 1, request + 1 + request[0]);
      CHECK(retrieved.size() > 4 && retrieved.size() < 20);
      for (int64_t g = 0; g < 3; ++g) {
        const auto expected =
            naive_tripartite(sequence, setup.geometry.row(1, head), setup.query(0, head, g), retrieved, variance_term);
        CHECK(setup.error(0, head, g, expected) < 1e-3);
      }
    }
    const ZoneTotals& z = sequence.zones;
    CHECK_NEAR((z.steady_mass + z.retrieval_mass + z.estimation_mass) / z.query_heads, 1, 1e-6, 0);
    CHECK_NEAR((z.steady_tokens + z.retrieval_tokens + z.estimation_tokens) / z.rows, 701, 1e-9, 0);
    CHECK_NEAR(z.retrieval_bytes, z.retrieval_tokens * static_cast<double>(setup.geometry.record_bytes()), 0, 0);
  }
}

TEST(tripartite_equals_the_formulas) {
  for (const Kernels* kernels : levels()) {
    for (const KvType type : kTypes) check_tripartite(*kernels, type);
  }
}

TEST(blocks_of_the_cache_are_attended_as_the_segments_are) {
  for (const Kernels* kernels : levels()) {
    for (const KvType type : kTypes) {
      Setup setup(type, *kernels);
      Sequence& sequence = setup.add(700, 14);
      setup.step(1, WaveOptions(), {{&sequence, 0, true, 0.3}});
      BlockCache cache(400, setup.geometry);
      DecodeAttention attention(setup.geometry, WaveOptions(), setup.regions.regions, cache, *kernels, setup.pool);
      attention.begin({{&sequence, 0, true, 0.3}});
      attention.score(1, setup.queries.data());
      attention.choose(1);
      setup.regions.plan_in_place(attention.num_wave_rows(), attention);
      setup.regions.move_plan_to(cache, attention.num_wave_rows(), 1, attention);
      std::vector<float> out(setup.out.size());
      attention.attend(1, setup.queries.data());
      attention.merge(out.data());
      CHECK(out == setup.out);
    }
  }
}

TEST(a_block_takes_one_to_eight_tokens) {
  Setup setup;
  Sequence& sequence = setup.add(200, 15);
  BlockCache cache(2, setup.geometry);
  const Segment& segment = *sequence.segments()[0];
  const auto refuses = [&](int64_t block, int64_t count) {
    try {
      cache.fill(block, segment.range(0, 0, count));
    } catch (const std::runtime_error&) {
      return true;
    }
    return false;
  };
  CHECK(refuses(2, 8) && refuses(-1, 8) && refuses(0, 9) && refuses(0, 0));
  CHECK(!refuses(1, 8) && !refuses(0, 1));
}

TEST(error_falls_as_the_budget_grows) {
  Setup setup;
  Sequence& sequence = setup.add(1000, 4);
  WaveOptions options;
  options.min_clusters = 1;
  double previous = 1e9;
  for (const double budget : {0.02, 0.1, 0.4, 1.0}) {
    setup.step(0, options, {{&sequence, 0, true, budget}});
    const double error = setup.worst_against_full(sequence, 0, 0);
    CHECK(error < previous);
    previous = error;
  }
  CHECK(previous < 1e-3);
}

TEST(sink_is_retrieved_always) {
  Setup setup;
  Sequence& sequence = setup.add(500, 5);
  WaveOptions options;
  options.min_clusters = 1;
  setup.step(0, options, {{&sequence, 0, true, 0.0}});
  for (int64_t head = 0; head < 2; ++head) {
    const uint32_t* request = setup.regions.regions.request + head * setup.regions.regions.request_stride;
    const uint32_t sink = static_cast<uint32_t>((sequence.segments()[0]->slot() * 4 + head) * setup.geometry.max_clusters);
    CHECK(request[0] == 2);
    CHECK(request[1] == sink);
  }
}

TEST(unattended_mass_is_reported) {
  Setup setup;
  Sequence& sequence = setup.add(900, 6);
  WaveOptions options;
  options.min_clusters = 2;
  options.estimation_budget = 0.2;
  setup.step(0, options, {{&sequence, 0, true, 0.05}});
  const ZoneTotals& z = sequence.zones;
  CHECK(z.unattended_mass > 0);
  CHECK_NEAR((z.steady_mass + z.retrieval_mass + z.estimation_mass + z.unattended_mass) / z.query_heads, 1, 1e-6, 0);
  CHECK((z.steady_tokens + z.retrieval_tokens + z.estimation_tokens) / z.rows < 901);
}

TEST(sequences_of_a_batch_do_not_touch_each_other) {
  Setup setup;
  Sequence& a = setup.add(700, 7);
  Sequence& b = setup.add(333, 8);
  Sequence& c = setup.add(20, 9);
  setup.step(0, WaveOptions(), {{&a, 0, true, 0.1}, {&b, 1, true, 0.1}, {&c, 2, false, 0}});
  const std::vector<float> together = setup.out;
  const int64_t width = setup.geometry.num_kv_heads * setup.geometry.group_size * setup.geometry.head_dim;
  Sequence* sequences[] = {&a, &b, &c};
  for (int64_t token = 0; token < 3; ++token) {
    std::vector<float> out(setup.queries.size());
    setup.run(0, WaveOptions(), {{sequences[token], token, token < 2, 0.1}}, out);
    CHECK(std::equal(out.begin() + token * width, out.begin() + (token + 1) * width, together.begin() + token * width));
  }
}

TEST(clusters_cover_every_token_of_a_segment_once) {
  Setup setup;
  Sequence& sequence = setup.add(700, 10);
  for (const auto& segment : sequence.segments()) {
    for (int64_t row = 0; row < setup.geometry.num_rows(); ++row) {
      std::vector<int> seen(128);
      int64_t covered = 0;
      for (int64_t i = 0; i < 128; ++i) ++seen[segment->order(row)[i]];
      for (int64_t c = 0; c < segment->count(row); ++c) {
        CHECK(segment->sizes(row)[c] >= 1 && segment->sizes(row)[c] <= 32);
        covered += segment->sizes(row)[c];
      }
      CHECK(covered == 128);
      CHECK(std::count(seen.begin(), seen.end(), 1) == 128);
    }
  }
}

TEST(a_sequence_that_adopts_segments_attends_as_the_one_that_built_them) {
  Setup setup;
  const KvGeometry& g = setup.geometry;
  Sequence& built = setup.add(700, 13);
  Sequence adopted(g);
  for (const auto& segment : built.segments()) adopted.adopt(segment);
  std::vector<uint16_t> tail(static_cast<size_t>(2 * g.num_rows() * built.tail_tokens() * g.head_dim));
  built.read_tokens(640, built.tail_tokens(), tail.data());
  adopted.append_tokens(tail.data(), built.tail_tokens());
  CHECK(adopted.num_tokens() == 700);
  for (int64_t row = 0; row < g.num_rows(); ++row) {  // the token of the step itself
    const int64_t at = built.tail_tokens() * g.head_dim;
    std::copy_n(built.tail_keys(row) + at, g.head_dim, adopted.tail_keys(row) + at);
    std::copy_n(built.tail_values(row) + at, g.head_dim, adopted.tail_values(row) + at);
  }
  setup.step(1, WaveOptions(), {{&built, 0, true, 0.1}, {&adopted, 1, true, 0.1}});
  const std::vector<float> first = setup.out;
  // The same queries for both: compare against a step in which the two change places.
  setup.step(1, WaveOptions(), {{&adopted, 0, true, 0.1}, {&built, 1, true, 0.1}});
  CHECK(first == setup.out);
  bool refused = false;
  try {
    adopted.adopt(built.segments()[0]);
  } catch (const std::runtime_error&) {
    refused = true;
  }
  CHECK(refused);
}

TEST(a_batch_past_the_control_planes_rows_is_refused) {
  Setup setup;
  Sequence& sequence = setup.add(300, 12);
  DecodeAttention attention(setup.geometry, WaveOptions(), setup.regions.regions, setup.block_cache, portable::kKernels,
                            setup.pool);
  std::vector<DecodeEntry> entries(5, {&sequence, 0, true, 0.1});  // 5 * 2 rows, 8 allowed
  bool refused = false;
  try {
    attention.begin(entries);
  } catch (const std::runtime_error&) {
    refused = true;
  }
  CHECK(refused);
}

TEST(key_spread_is_the_variance_within_clusters_by_dimension) {
  Setup setup(KvType::kF16);  // keys as they were when clustered
  Sequence& sequence = setup.add(500, 21);
  const KvGeometry& g = setup.geometry;
  const size_t dim = static_cast<size_t>(g.head_dim);
  for (int64_t row = 0; row < g.num_rows(); ++row) {
    std::vector<double> squares(dim);
    double total = 0;
    for (const auto& segment : sequence.segments()) {
      int64_t start = 0;
      for (int64_t c = 0; c < segment->count(row); ++c) {
        const int64_t size = segment->sizes(row)[c];
        const KvRange members = segment->range(row, start, size);
        start += size;
        if (segment == sequence.segments()[0] && c == 0) continue;  // the sink
        std::vector<double> mean(dim);
        for (int64_t t = 0; t < size; ++t) {
          const Token token = read_token(members, t, g.head_dim);
          for (size_t d = 0; d < dim; ++d) mean[d] += token.key[d] / static_cast<double>(size);
        }
        for (int64_t t = 0; t < size; ++t) {
          const Token token = read_token(members, t, g.head_dim);
          for (size_t d = 0; d < dim; ++d) {
            squares[d] += std::pow(token.key[d] - mean[d], 2);
            total += std::pow(token.key[d] - mean[d], 2);
          }
        }
      }
    }
    for (size_t d = 0; d < dim; ++d) CHECK_NEAR(static_cast<double>(sequence.key_spread(row)[d]), squares[d] / total, 1e-6, 1e-4);
  }
}

TEST(error_ranking_prefers_clusters_that_estimates_get_wrong) {
  // Retrieved by error, the clusters are the first by share * sqrt(variance) / size; by mass they are not the same ones.
  Setup setup;
  Sequence& sequence = setup.add(700, 22);
  std::vector<std::vector<uint32_t>> chosen;
  for (const Ranking ranking : {Ranking::kError, Ranking::kMass, Ranking::kCentroid}) {
    WaveOptions options;
    options.ranking = ranking;
    options.min_clusters = 4;
    setup.step(1, options, {{&sequence, 0, true, 0.1}});
    const uint32_t* request = setup.regions.regions.request;
    chosen.push_back(std::vector<uint32_t>(request + 1, request + 1 + request[0]));
  }
  CHECK(chosen[0].size() == chosen[1].size() && chosen[0].size() == chosen[2].size());
  CHECK(chosen[0] != chosen[1]);
  const auto score = [&](uint32_t handle) {
    const int64_t row = handle / setup.geometry.max_clusters % setup.geometry.num_rows();
    const int64_t slot = handle / setup.geometry.max_clusters / setup.geometry.num_rows();
    const int64_t c = handle % setup.geometry.max_clusters, dim = setup.geometry.head_dim;
    const Segment& segment = *sequence.segments()[static_cast<size_t>(slot - sequence.segments()[0]->slot())];
    double sum = 0;
    for (int64_t g = 0; g < setup.geometry.group_size; ++g) {
      const float* q = setup.query(0, row % setup.geometry.num_kv_heads, g);
      Accumulator whole(dim);  // of this query head, exactly
      for (const auto& other : sequence.segments()) whole.add(q, other->range(row, 0, other->num_tokens()));
      whole.add(q, sequence.tail_range(row, 0, sequence.tail_tokens() + 1));
      sum += std::exp(log_mass(segment.meta_index(row), c, dim, q, 0.5, quadratic_form(sequence, row, q))) / whole.denominator;
    }
    return sum * std::sqrt(static_cast<double>(segment.variances(row)[c])) / static_cast<double>(segment.sizes(row)[c]);
  };
  const auto total = [&](const std::vector<uint32_t>& handles) {
    double sum = 0;
    for (size_t i = 1; i < handles.size(); ++i) sum += score(handles[i]);  // the first is the sink
    return sum;
  };
  CHECK(total(chosen[0]) > total(chosen[1]));
  CHECK(total(chosen[0]) > total(chosen[2]));
}

TEST(a_fork_goes_its_own_way) {
  Setup setup;
  Sequence& sequence = setup.add(300, 23);
  const auto fork = sequence.fork();
  CHECK(fork->num_tokens() == 300 && fork->tail_tokens() == sequence.tail_tokens());
  CHECK(fork->segments().size() == 2 && fork->segments()[0] == sequence.segments()[0]);
  const int64_t dim = setup.geometry.head_dim;
  CHECK(memcmp(fork->tail_keys(3), sequence.tail_keys(3), static_cast<size_t>(sequence.tail_tokens() * dim) * 2) == 0);
  CHECK(memcmp(fork->tail_values(3), sequence.tail_values(3), static_cast<size_t>(sequence.tail_tokens() * dim) * 2) == 0);
  const uint16_t before = sequence.tail_keys(3)[0];
  fork->tail_keys(3)[0] = static_cast<uint16_t>(before ^ 1);
  fork->advance(1);
  CHECK(sequence.tail_keys(3)[0] == before && sequence.num_tokens() == 300);
}

TEST(tokens_that_are_read_and_appended_give_the_same_index) {
  Setup setup(KvType::kF16);
  Sequence& sequence = setup.add(430, 24);
  const int64_t values = 2 * setup.geometry.num_rows() * setup.geometry.head_dim;
  Sequence copy(setup.geometry);
  int64_t slot = 60;
  for (int64_t first = 0; first < 430; first += 50) {
    const int64_t count = std::min<int64_t>(50, 430 - first);
    std::vector<uint16_t> tokens(static_cast<size_t>(values * count));
    sequence.read_tokens(first, count, tokens.data());
    copy.append_tokens(tokens.data(), count);
    while (copy.segment_ready()) {
      copy.attach(copy.build_segment(slot++, setup.regions.regions.ingest, portable::kKernels, setup.pool));
    }
  }
  CHECK(copy.num_tokens() == 430 && copy.segments().size() == sequence.segments().size());
  std::vector<uint16_t> all(static_cast<size_t>(values * 430)), again(all);
  sequence.read_tokens(0, 430, all.data());
  copy.read_tokens(0, 430, again.data());
  CHECK(all == again);
  for (size_t s = 0; s < copy.segments().size(); ++s) {
    for (int64_t row = 0; row < setup.geometry.num_rows(); ++row) {
      CHECK(copy.segments()[s]->count(row) == sequence.segments()[s]->count(row));
    }
  }
  bool refused = false;
  try {
    sequence.read_tokens(400, 31, all.data());
  } catch (const std::runtime_error&) {
    refused = true;
  }
  CHECK(refused);
}

TEST(tokens_read_from_int8_records_are_within_a_step) {
  Setup exact(KvType::kF16), rounded(KvType::kQ8);
  Sequence& from = exact.add(430, 25);
  Sequence& to = rounded.add(430, 25);
  const int64_t rows = exact.geometry.num_rows(), dim = exact.geometry.head_dim;
  std::vector<uint16_t> expected(static_cast<size_t>(2 * rows * 430 * dim)), actual(expected);
  from.read_tokens(0, 430, expected.data());
  to.read_tokens(0, 430, actual.data());
  const int64_t in_segments = 430 - to.tail_tokens();
  CHECK(in_segments == 3 * 128);
  for (int64_t vector = 0; vector < 2 * rows * 430; ++vector) {
    const int64_t row = vector / 430 % rows, token = vector % 430;
    const bool is_key = vector < rows * 430;
    const auto x = half_vector(expected.data() + vector * dim, dim), y = half_vector(actual.data() + vector * dim, dim);
    if (token >= in_segments) {
      CHECK(x == y);
      continue;
    }
    const auto centre = half_vector(to.segments()[static_cast<size_t>(token / 128)]->centre(row), dim);
    double most = 0;
    for (size_t d = 0; d < x.size(); ++d) most = std::max(most, std::fabs(x[d] - (is_key ? centre[d] : 0)));
    // Half a step of the record, and half of f16's.
    for (size_t d = 0; d < x.size(); ++d) CHECK_NEAR(y[d], x[d], 0.501 * most / 127, 1e-3);
  }
}

TEST_MAIN()
