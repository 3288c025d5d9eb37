// The tripartite attention of DESIGN section 3 against a float64 evaluation of its formulas over the same segments.
#include <algorithm>
#include <cmath>

#include "kv_fixture.h"

using namespace wavekv;
using namespace wavekv_test;

namespace {

double half(uint16_t bits) {
  float value;
  portable::kKernels.from_f16(&bits, &value, 1);
  return static_cast<double>(value);
}

double dot(const float* q, const uint16_t* key, int64_t dim) {
  double sum = 0;
  for (int64_t d = 0; d < dim; ++d) sum += static_cast<double>(q[d]) * half(key[d]);
  return sum;
}

struct Accumulator {
  std::vector<double> numerator;
  double denominator = 0;
  explicit Accumulator(int64_t dim) : numerator(static_cast<size_t>(dim)) {}
  void add(double weight, const uint16_t* values, double scale) {
    for (size_t d = 0; d < numerator.size(); ++d) numerator[d] += weight * scale * half(values[d]);
  }
};

/// Exact attention over every token of the sequence.
std::vector<double> naive_full(const Sequence& sequence, int64_t row, const float* q) {
  const int64_t dim = sequence.geometry().head_dim;
  Accumulator sum(dim);
  const auto add = [&](const uint16_t* keys, const uint16_t* values, int64_t count) {
    for (int64_t t = 0; t < count; ++t) {
      const double weight = std::exp(dot(q, keys + t * dim, dim));
      sum.denominator += weight;
      sum.add(weight, values + t * dim, 1);
    }
  };
  for (const auto& segment : sequence.segments()) add(segment->keys(row), segment->values(row), segment->num_tokens());
  add(sequence.tail_keys(row), sequence.tail_values(row), sequence.tail_tokens() + 1);
  for (double& x : sum.numerator) x /= sum.denominator;
  return sum.numerator;
}

/// The formulas with a given set of retrieved clusters (by handle); every other cluster is estimated.
std::vector<double> naive_tripartite(const Sequence& sequence, int64_t row, const float* q,
                                     const std::vector<uint32_t>& retrieved, double variance_term) {
  const KvGeometry& g = sequence.geometry();
  const int64_t dim = g.head_dim;
  Accumulator sum(dim);
  const auto exact = [&](const uint16_t* keys, const uint16_t* values, int64_t count) {
    for (int64_t t = 0; t < count; ++t) {
      const double weight = std::exp(dot(q, keys + t * dim, dim));
      sum.denominator += weight;
      sum.add(weight, values + t * dim, 1);
    }
  };
  double quadratic = 0;
  for (int64_t i = 0; i < dim; ++i) {
    quadratic += static_cast<double>(q[i]) * static_cast<double>(q[i]) * static_cast<double>(sequence.key_spread(row)[i]);
  }
  for (const auto& segment : sequence.segments()) {
    int64_t start = 0;
    for (int64_t c = 0; c < segment->count(row); ++c) {
      const uint32_t handle = static_cast<uint32_t>((segment->slot() * g.num_rows() + row) * g.max_clusters + c);
      const int64_t size = segment->sizes(row)[c];
      if (std::find(retrieved.begin(), retrieved.end(), handle) != retrieved.end()) {
        exact(segment->keys(row) + start * dim, segment->values(row) + start * dim, size);
      } else {
        double log_weight = dot(q, segment->centroids(row) + c * dim, dim);
        if (variance_term > 0) {
          log_weight += std::min({0.5 * variance_term * static_cast<double>(segment->variances(row)[c]) * quadratic,
                                  0.75 * std::log(static_cast<double>(size)), 3.0});
        }
        const double weight = std::exp(log_weight);
        sum.denominator += static_cast<double>(size) * weight;
        sum.add(weight, segment->value_sums(row) + c * dim, 1);
      }
      start += size;
    }
  }
  exact(sequence.tail_keys(row), sequence.tail_values(row), sequence.tail_tokens() + 1);
  for (double& x : sum.numerator) x /= sum.denominator;
  return sum.numerator;
}

struct Setup {
  KvGeometry geometry = small_geometry();
  ThreadPool pool{2};
  Regions regions{geometry, 8, 16 * max_clusters_per_row(small_geometry().index)};
  BlockCache block_cache{0, 32};
  int64_t next_slot = 0;
  std::vector<std::unique_ptr<Sequence>> sequences;
  std::vector<float> queries, out;

  Sequence& add(int64_t num_tokens, uint64_t seed) {
    sequences.push_back(std::make_unique<Sequence>(geometry));
    fill(*sequences.back(), num_tokens, seed, regions, portable::kKernels, pool, next_slot);
    return *sequences.back();
  }

  /// One decode step of every sequence at a layer; wave ones first.
  void step(int64_t layer, WaveOptions options, const std::vector<DecodeEntry>& entries) {
    const int64_t width = geometry.num_kv_heads * geometry.group_size * geometry.head_dim;
    Random random(99);
    queries.resize(entries.size() * static_cast<size_t>(width));
    for (float& q : queries) q = static_cast<float>(0.35 * random.normal());
    out.assign(queries.size(), 0);
    DecodeAttention attention(geometry, options, regions.regions, block_cache, portable::kKernels, pool);
    attention.begin(entries);
    if (attention.num_wave_rows() > 0) {
      attention.score(layer, queries.data());
      regions.plan_in_place(attention.num_wave_rows(), attention);
    }
    attention.attend(layer, queries.data(), out.data());
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
  Setup setup;
  Sequence& sequence = setup.add(700, 1);
  CHECK(sequence.segments().size() == 5);
  setup.step(1, WaveOptions(), {{&sequence, 0, false, 0}});
  CHECK(setup.worst_against_full(sequence, 1, 0) < 1e-4);
}

TEST(full_retrieval_equals_full_attention) {
  Setup setup;
  Sequence& sequence = setup.add(700, 2);
  setup.step(0, WaveOptions(), {{&sequence, 0, true, 1.0}});
  CHECK(setup.worst_against_full(sequence, 0, 0) < 1e-3);
  CHECK_NEAR(sequence.zones.estimation_tokens, 0, 0, 0);
  CHECK_NEAR(sequence.zones.retrieval_tokens, 2.0 * 5 * 128, 0, 0);
}

TEST(tripartite_equals_the_formulas) {
  for (const double variance_term : {0.0, 0.5, 1.0}) {
    Setup setup;
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
  }
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
  const Sequence* sequences[] = {&a, &b, &c};
  const std::vector<float> queries = setup.queries;
  for (int64_t token = 0; token < 3; ++token) {
    DecodeAttention alone(setup.geometry, WaveOptions(), setup.regions.regions, setup.block_cache, portable::kKernels,
                          setup.pool);
    alone.begin({{const_cast<Sequence*>(sequences[token]), token, token < 2, 0.1}});
    std::vector<float> out(queries.size());
    if (alone.num_wave_rows() > 0) {
      alone.score(0, queries.data());
      setup.regions.plan_in_place(alone.num_wave_rows(), alone);
    }
    alone.attend(0, queries.data(), out.data());
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

TEST(segment_keeps_the_tails_vectors) {
  Setup setup;
  const KvGeometry& g = setup.geometry;
  Sequence sequence(g);
  int64_t slot = 0;
  fill(sequence, 167, 11, setup.regions, portable::kKernels, setup.pool, slot);  // one short of a segment
  CHECK(slot == 0);
  std::vector<uint16_t> keys(sequence.tail_keys(3), sequence.tail_keys(3) + 167 * 32);
  sequence.advance(1);
  CHECK(sequence.segment_ready());
  auto segment = sequence.build_segment(0, setup.regions.regions.ingest, portable::kKernels, setup.pool);
  sequence.attach(segment);
  CHECK(sequence.num_tokens() == 168 && sequence.tail_tokens() == 40);
  for (int64_t i = 0; i < 128; ++i) {
    CHECK(std::equal(segment->keys(3) + i * 32, segment->keys(3) + (i + 1) * 32, keys.begin() + segment->order(3)[i] * 32));
  }
  CHECK(std::equal(keys.begin() + 128 * 32, keys.end(), sequence.tail_keys(3)));
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
  Setup setup;
  Sequence& sequence = setup.add(500, 21);
  const KvGeometry& g = setup.geometry;
  for (int64_t row = 0; row < g.num_rows(); ++row) {
    std::vector<double> squares(static_cast<size_t>(g.head_dim));
    double total = 0;
    for (const auto& segment : sequence.segments()) {
      int64_t token = 0;
      for (int64_t c = 0; c < segment->count(row); ++c) {
        const bool sink = segment == sequence.segments()[0] && c == 0;
        for (int64_t m = 0; m < segment->sizes(row)[c]; ++m, ++token) {
          for (int64_t d = 0; d < g.head_dim && !sink; ++d) {
            const double deviation =
                half(segment->keys(row)[token * g.head_dim + d]) - half(segment->centroids(row)[c * g.head_dim + d]);
            squares[static_cast<size_t>(d)] += deviation * deviation;
            total += deviation * deviation;
          }
        }
      }
    }
    for (int64_t d = 0; d < g.head_dim; ++d) {
      CHECK_NEAR(static_cast<double>(sequence.key_spread(row)[d]), squares[static_cast<size_t>(d)] / total, 1e-6, 1e-4);
    }
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
      double quadratic = 0;
      for (int64_t d = 0; d < dim; ++d) quadratic += std::pow(static_cast<double>(q[d]), 2) * static_cast<double>(sequence.key_spread(row)[d]);
      const double log_size = std::log(static_cast<double>(segment.sizes(row)[c]));
      const double bound = std::min(0.75 * log_size, 3.0);
      const double log_mass = dot(q, segment.centroids(row) + c * dim, dim) + log_size +
                              std::min(0.25 * static_cast<double>(segment.variances(row)[c]) * quadratic, bound);
      double whole = 0;  // of this query head, exactly
      for (const auto& other : sequence.segments()) {
        for (int64_t t = 0; t < other->num_tokens(); ++t) whole += std::exp(dot(q, other->keys(row) + t * dim, dim));
      }
      for (int64_t t = 0; t <= sequence.tail_tokens(); ++t) whole += std::exp(dot(q, sequence.tail_keys(row) + t * dim, dim));
      sum += std::exp(log_mass) / whole;
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
  Setup setup;
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

TEST_MAIN()
