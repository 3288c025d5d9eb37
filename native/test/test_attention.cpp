#include <algorithm>

#include "attention_reference.h"

using namespace wavekv_test;

namespace {

constexpr int64_t kHeadDims[] = {64, 80, 128};
constexpr int64_t kQueryCounts[] = {1, 3, 7, 8, 16};

/// Keys and values of many tokens, and ranges that take them in pieces of 0..40 tokens, out of order.
struct Memory {
  int64_t head_dim;
  std::vector<uint16_t> keys, values;
  std::vector<KvRange> ranges;
  Memory(Random& random, int64_t num_tokens, int64_t d, double key_scale)
      : head_dim(d), keys(random_halves(random, num_tokens * d, key_scale)), values(random_halves(random, num_tokens * d, 1)) {
    for (int64_t begin = 0; begin < num_tokens;) {
      const int64_t left = num_tokens - begin, wanted = random.below(41);
      const int64_t size = wanted < left ? wanted : left;
      ranges.push_back({keys.data() + begin * d, values.data() + begin * d, size});
      begin += size;
    }
    for (size_t i = ranges.size(); i > 1; --i) {
      std::swap(ranges[i - 1], ranges[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
    }
  }
  Reference reference(const float* q) const {
    Reference all;
    for (const KvRange& range : ranges) add(all, q, range, range.num_tokens);
    return all;
  }
  void add(Reference& reference, const float* q, const KvRange& range, int64_t num_tokens) const {
    for (int64_t t = 0; t < num_tokens; ++t) {
      reference.add(dot_half(q, range.keys + t * head_dim, head_dim), range.values + t * head_dim, head_dim);
    }
  }
};

struct Meta {
  std::vector<uint16_t> centroids, value_sums, sizes;
  std::vector<float> variances;
  int64_t num_clusters, head_dim;
  Meta(Random& random, int64_t n, int64_t d)
      : centroids(random_halves(random, n * d, 1)), value_sums(random_halves(random, n * d, 8)), num_clusters(n), head_dim(d) {
    for (int64_t c = 0; c < n; ++c) {
      const uint16_t usual = static_cast<uint16_t>(1 + random.below(40));
      sizes.push_back(c == 1 ? 65535 : usual);
      variances.push_back(static_cast<float>(random.uniform() * 12));
    }
  }
  wavekv::MetaIndex view() const {
    return {centroids.data(), value_sums.data(), sizes.data(), variances.data(), num_clusters};
  }
};

}  // namespace

TEST(ranges_match_the_naive_sum) {
  for (const Kernels* kernels : levels()) {
    Random random(11);
    for (int64_t d : kHeadDims) {
      for (int64_t num_queries : kQueryCounts) {
        for (int64_t num_tokens : {1, 5, 63, 64, 65, 333}) {
          Memory memory(random, num_tokens, d, 1);
          const std::vector<float> q = random_floats(random, num_queries * d, 3.0 / std::sqrt(static_cast<double>(d)));
          State state(num_queries, d);
          kernels->attend_ranges(q.data(), num_queries, d, memory.ranges.data(),
                                 static_cast<int64_t>(memory.ranges.size()), state.view());
          for (int64_t a = 0; a < num_queries; ++a) {
            check_state(*kernels, state, a, d, memory.reference(q.data() + a * d), 1e-5);
          }
        }
      }
    }
  }
}

TEST(every_query_count_up_to_32_works) {
  for (const Kernels* kernels : levels()) {
    Random random(12);
    Memory memory(random, 90, 64, 1);
    for (int64_t num_queries = 1; num_queries <= 32; ++num_queries) {
      const std::vector<float> q = random_floats(random, num_queries * 64, 0.3);
      State state(num_queries, 64);
      kernels->attend_ranges(q.data(), num_queries, 64, memory.ranges.data(),
                             static_cast<int64_t>(memory.ranges.size()), state.view());
      for (int64_t a = 0; a < num_queries; ++a) {
        check_state(*kernels, state, a, 64, memory.reference(q.data() + a * 64), 1e-5);
      }
    }
  }
}

TEST(huge_scores_neither_overflow_nor_vanish) {
  for (const Kernels* kernels : levels()) {
    for (double magnitude : {80.0, 3000.0}) {
      Random random(13);
      Memory memory(random, 200, 64, 0.01);
      std::vector<float> q(64, 0.0f);
      q[0] = static_cast<float>(magnitude);
      for (int64_t t = 0; t < 200; ++t) memory.keys[static_cast<size_t>(t * 64)] = half_of(t % 3 == 0 ? 1 : -1 + 0.001 * (t % 7));
      State state(1, 64);
      kernels->attend_ranges(q.data(), 1, 64, memory.ranges.data(), static_cast<int64_t>(memory.ranges.size()), state.view());
      check_state(*kernels, state, 0, 64, memory.reference(q.data()), 1e-4);
      for (float& x : q) x = -x;
      State negative(1, 64);
      kernels->attend_ranges(q.data(), 1, 64, memory.ranges.data(), static_cast<int64_t>(memory.ranges.size()), negative.view());
      check_state(*kernels, negative, 0, 64, memory.reference(q.data()), 1e-4);
    }
  }
}

TEST(empty_ranges_leave_a_fresh_state) {
  for (const Kernels* kernels : levels()) {
    Random random(14);
    Memory memory(random, 8, 64, 1);
    const std::vector<float> q = random_floats(random, 3 * 64, 1);
    const KvRange empty[2] = {{memory.keys.data(), memory.values.data(), 0}, {nullptr, nullptr, 0}};
    State state(3, 64);
    kernels->attend_ranges(q.data(), 3, 64, empty, 2, state.view());
    kernels->attend_ranges(q.data(), 3, 64, empty, 0, state.view());
    for (int64_t a = 0; a < 3; ++a) check_state(*kernels, state, a, 64, Reference(), 0);
  }
}

TEST(merge_is_associative_and_empty_is_neutral) {
  for (const Kernels* kernels : levels()) {
    Random random(15);
    for (int64_t d : kHeadDims) {
      Memory memory(random, 300, d, 2);
      const std::vector<float> q = random_floats(random, 2 * d, 0.4);
      std::vector<State> parts(4, State(2, d));  // the last stays empty
      const int64_t n = static_cast<int64_t>(memory.ranges.size());
      for (int64_t p = 0; p < 3; ++p) {
        kernels->attend_ranges(q.data(), 2, d, memory.ranges.data() + p * n / 3, (p + 1) * n / 3 - p * n / 3,
                               parts[static_cast<size_t>(p)].view());
      }
      const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}};
      for (const auto& order : orders) {
        State left(2, d), pair(2, d);
        for (int p : order) kernels->merge_states(2, d, parts[static_cast<size_t>(p)].view(), left.view());
        kernels->merge_states(2, d, parts[static_cast<size_t>(order[2])].view(), pair.view());
        kernels->merge_states(2, d, parts[static_cast<size_t>(order[3])].view(), pair.view());
        State right = parts[static_cast<size_t>(order[0])];
        kernels->merge_states(2, d, parts[static_cast<size_t>(order[1])].view(), right.view());
        kernels->merge_states(2, d, pair.view(), right.view());
        for (int64_t a = 0; a < 2; ++a) {
          const Reference reference = memory.reference(q.data() + a * d);
          check_state(*kernels, left, a, d, reference, 1e-5);
          check_state(*kernels, right, a, d, reference, 1e-5);
        }
      }
      State empty(2, d);
      kernels->merge_states(2, d, parts[3].view(), empty.view());
      for (int64_t a = 0; a < 2; ++a) check_state(*kernels, empty, a, d, Reference(), 0);
    }
  }
}

TEST(tile_matches_the_naive_sum_under_any_visibility) {
  for (const Kernels* kernels : levels()) {
    Random random(16);
    for (int64_t d : kHeadDims) {
      std::vector<float> scratch(static_cast<size_t>(kernels->tile_scratch_floats(d)) + 8);
      scratch.back() = 42.0f;
      for (int64_t num_queries : {1, 5, 6, 13, 40}) {
        for (int64_t num_tokens : {1, 17, 64, 131}) {
          Memory memory(random, num_tokens, d, 1);
          const KvRange run = {memory.keys.data(), memory.values.data(), num_tokens};
          const std::vector<float> q = random_floats(random, num_queries * d, 3.0 / std::sqrt(static_cast<double>(d)));
          std::vector<int64_t> visible;
          for (int64_t a = 0; a < num_queries; ++a) visible.push_back(a == 2 ? 0 : random.below(num_tokens + 1));
          State causal(num_queries, d), all(num_queries, d);
          kernels->attend_tile(q.data(), num_queries, d, run, visible.data(), scratch.data(), causal.view());
          kernels->attend_tile(q.data(), num_queries, d, run, nullptr, scratch.data(), all.view());
          for (int64_t a = 0; a < num_queries; ++a) {
            Reference seen;
            memory.add(seen, q.data() + a * d, run, visible[static_cast<size_t>(a)]);
            check_state(*kernels, causal, a, d, seen, 1e-5);
            check_state(*kernels, all, a, d, memory.reference(q.data() + a * d), 1e-5);
          }
        }
      }
      CHECK(scratch.back() == 42.0f);
    }
  }
}

TEST(chunked_causal_tiles_equal_ranges) {
  for (const Kernels* kernels : levels()) {
    Random random(17);
    const int64_t d = 64, heads = 3, num_tokens = 150;
    Memory memory(random, num_tokens, d, 2);
    const std::vector<float> q = random_floats(random, num_tokens * heads * d, 0.4);
    std::vector<float> scratch(static_cast<size_t>(kernels->tile_scratch_floats(d)));
    std::vector<int64_t> visible;
    State tiles(num_tokens * heads, d);
    for (int64_t begin = 0; begin < num_tokens; begin += 70) {  // two runs of keys, each added to the same state
      const int64_t size = begin + 70 < num_tokens ? 70 : num_tokens - begin;
      visible.clear();
      for (int64_t row = 0; row < num_tokens * heads; ++row) {
        const int64_t seen = row / heads + 1 - begin;
        visible.push_back(seen < 0 ? 0 : seen < size ? seen : size);
      }
      kernels->attend_tile(q.data(), num_tokens * heads, d,
                           {memory.keys.data() + begin * d, memory.values.data() + begin * d, size}, visible.data(),
                           scratch.data(), tiles.view());
    }
    std::vector<float> from_tiles(tiles.out.size()), from_ranges(static_cast<size_t>(heads * d));
    kernels->finish_state(num_tokens * heads, d, tiles.view(), from_tiles.data());
    for (int64_t t = 0; t < num_tokens; t += 13) {
      State state(heads, d);
      const KvRange range = {memory.keys.data(), memory.values.data(), t + 1};
      kernels->attend_ranges(q.data() + t * heads * d, heads, d, &range, 1, state.view());
      kernels->finish_state(heads, d, state.view(), from_ranges.data());
      for (int64_t i = 0; i < heads * d; ++i) {
        CHECK_NEAR(from_tiles[static_cast<size_t>(t * heads * d + i)], from_ranges[static_cast<size_t>(i)], 1e-5, 1e-5);
      }
    }
  }
}

TEST(cluster_scores_follow_the_formula) {
  for (const Kernels* kernels : levels()) {
    Random random(18);
    for (int64_t d : kHeadDims) {
      for (int64_t n : {1, 2, 15, 64, 97}) {
        for (int64_t num_queries : kQueryCounts) {
          const Meta meta(random, n, d);
          const std::vector<float> q = random_floats(random, num_queries * d, 0.2);
          std::vector<float> query_variance;
          for (int64_t a = 0; a < num_queries; ++a) query_variance.push_back(static_cast<float>(random.uniform()));
          const int64_t stride = n + 3;
          for (const float* variance : {static_cast<const float*>(nullptr), static_cast<const float*>(query_variance.data())}) {
            std::vector<float> log_mass(static_cast<size_t>(num_queries * stride), 99.0f);
            kernels->score_clusters(q.data(), num_queries, d, meta.view(), variance, log_mass.data(), stride);
            for (int64_t a = 0; a < num_queries; ++a) {
              for (int64_t c = 0; c < stride; ++c) {
                const float got = log_mass[static_cast<size_t>(a * stride + c)];
                if (c >= n) {
                  CHECK(got == 99.0f);
                  continue;
                }
                const size_t i = static_cast<size_t>(c);
                const double log_size = std::log(static_cast<double>(meta.sizes[i]));
                double expected = dot_half(q.data() + a * d, meta.centroids.data() + c * d, d) + log_size;
                if (variance != nullptr) {
                  expected += std::min({0.5 * meta.variances[i] * variance[a], 0.75 * log_size, 3.0});
                }
                CHECK_NEAR(got, expected, 2e-5, 1e-6);
              }
            }
          }
        }
      }
    }
  }
}

TEST(estimation_and_retrieval_follow_the_formula) {
  for (const Kernels* kernels : levels()) {
    Random random(19);
    for (int64_t d : kHeadDims) {
      for (int64_t num_queries : kQueryCounts) {
        for (int64_t n : {1, 9, 200}) {
          const Meta meta(random, n, d);
          Memory memory(random, 100, d, 1);
          const std::vector<float> q = random_floats(random, num_queries * d, 0.2);
          std::vector<float> log_mass(static_cast<size_t>(num_queries * n));
          kernels->score_clusters(q.data(), num_queries, d, meta.view(), nullptr, log_mass.data(), n);
          std::vector<uint8_t> take;
          for (int64_t c = 0; c < n; ++c) take.push_back(random.below(c % 50 < 20 ? 2 : 15) == 0 ? 255 : 0);
          State state(num_queries, d);
          kernels->attend_ranges(q.data(), num_queries, d, memory.ranges.data(),
                                 static_cast<int64_t>(memory.ranges.size()), state.view());
          kernels->estimate_clusters(num_queries, d, meta.view(), take.data(), log_mass.data(), n, state.view());
          for (int64_t a = 0; a < num_queries; ++a) {
            Reference reference = memory.reference(q.data() + a * d);
            for (int64_t c = 0; c < n; ++c) {
              if (take[static_cast<size_t>(c)] == 0) continue;
              const double size = meta.sizes[static_cast<size_t>(c)];
              const double score = dot_half(q.data() + a * d, meta.centroids.data() + c * d, d);
              reference.add(score + std::log(size), meta.value_sums.data() + c * d, d, 1 / size);
            }
            check_state(*kernels, state, a, d, reference, 1e-4);
          }
        }
      }
    }
  }
}

TEST(estimating_nothing_changes_nothing) {
  for (const Kernels* kernels : levels()) {
    Random random(20);
    const Meta meta(random, 130, 64);
    Memory memory(random, 77, 64, 1);
    const std::vector<float> q = random_floats(random, 3 * 64, 0.3);
    const std::vector<float> log_mass(3 * 130, 5.0f);
    const std::vector<uint8_t> take(130, 0);
    State state(3, 64);
    kernels->attend_ranges(q.data(), 3, 64, memory.ranges.data(), static_cast<int64_t>(memory.ranges.size()), state.view());
    const State before = state;
    kernels->estimate_clusters(3, 64, meta.view(), take.data(), log_mass.data(), 130, state.view());
    CHECK(state.out == before.out && state.max == before.max && state.denominator == before.denominator);
  }
}

TEST(clusters_without_mass_leave_a_fresh_state) {
  for (const Kernels* kernels : levels()) {
    Random random(23);
    const Meta meta(random, 20, 64);
    const std::vector<float> log_mass(2 * 20, kNoMass);
    const std::vector<uint8_t> take(20, 1);
    State state(2, 64);
    kernels->estimate_clusters(2, 64, meta.view(), take.data(), log_mass.data(), 20, state.view());
    for (int64_t a = 0; a < 2; ++a) check_state(*kernels, state, a, 64, Reference(), 0);
  }
}

TEST(merge_keeps_the_larger_of_far_apart_masses) {
  for (const Kernels* kernels : levels()) {
    for (float distance : {40.0f, 300.0f}) {
      State low(1, 64), high(1, 64);
      for (size_t i = 0; i < 64; ++i) {
        low.out[i] = 5;
        high.out[i] = 3;
      }
      low.max[0] = -distance / 2;
      high.max[0] = distance / 2;
      low.denominator[0] = high.denominator[0] = 1;
      State other = high;
      kernels->merge_states(1, 64, low.view(), high.view());
      kernels->merge_states(1, 64, other.view(), low.view());
      for (State* state : {&low, &high}) {
        CHECK(state->max[0] == distance / 2);
        CHECK_NEAR(state->out[7], 3, 1e-6, 0);
        CHECK_NEAR(state->denominator[0], 1, 1e-6, 0);
      }
    }
  }
}

TEST(log_sum_exp_and_shares) {
  for (const Kernels* kernels : levels()) {
    Random random(21);
    for (int64_t n : {0, 1, 3, 16, 31, 100}) {
      const std::vector<float> x = random_floats(random, n + 1, 30);
      float top = 7, total = 7;
      kernels->log_sum_exp(x.data(), n, &top, &total);
      if (n == 0) {
        CHECK(top == kNoMass && total == 0.0f);
        continue;
      }
      Reference reference;
      const uint16_t nothing = 0;
      for (int64_t i = 0; i < n; ++i) reference.add(x[static_cast<size_t>(i)], &nothing, 1);
      CHECK_NEAR(top + std::log(total), reference.log_total(), 1e-5, 1e-6);
      std::vector<float> share(static_cast<size_t>(n + 1), 0.25f);
      const float log_total = static_cast<float>(reference.log_total());
      kernels->add_shares(x.data(), n, log_total, share.data());
      for (int64_t i = 0; i < n; ++i) {
        CHECK_NEAR(share[static_cast<size_t>(i)], 0.25 + std::exp(static_cast<double>(x[static_cast<size_t>(i)]) - log_total), 1e-6, 1e-6);
      }
      CHECK(share[static_cast<size_t>(n)] == 0.25f);
    }
    const std::vector<float> nothing(37, kNoMass);
    float top = 0, total = 0;
    kernels->log_sum_exp(nothing.data(), 37, &top, &total);
    CHECK(top == kNoMass && total == 0.0f);
  }
}

TEST_MAIN()
