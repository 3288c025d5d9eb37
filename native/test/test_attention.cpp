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
      ranges.push_back(f16_range(keys.data() + begin * d, values.data() + begin * d, d, size));
      begin += size;
    }
    for (size_t i = ranges.size(); i > 1; --i) {
      std::swap(ranges[i - 1], ranges[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
    }
  }
  Reference reference(const float* q) const {
    Reference all;
    for (const KvRange& range : ranges) add_tokens(all, q, range, range.num_tokens, head_dim);
    return all;
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
    const KvRange empty[2] = {f16_range(memory.keys.data(), memory.values.data(), 64, 0), f16_range(nullptr, nullptr, 64, 0)};
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

TEST(softmax_terms_and_scaled_sums) {
  for (const Kernels* kernels : levels()) {
    Random random(21);
    for (int64_t n : {0, 1, 3, 16, 31, 100}) {
      const std::vector<float> x = random_floats(random, n + 1, 30);
      std::vector<float> terms(static_cast<size_t>(n + 1), 9.0f), y(terms.size(), 0.25f);
      float top = 7, total = 7;
      kernels->softmax_terms(x.data(), n, terms.data(), &top, &total);
      CHECK(terms[static_cast<size_t>(n)] == 9.0f);
      if (n == 0) {
        CHECK(top == kNoMass && total == 0.0f);
        continue;
      }
      CHECK(top == *std::max_element(x.begin(), x.end() - 1));
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        const double term = std::exp(static_cast<double>(x[static_cast<size_t>(i)]) - top);
        CHECK_NEAR(terms[static_cast<size_t>(i)], term, 1e-6, 0);
        sum += term;
      }
      CHECK_NEAR(total, sum, 1e-6, 1e-6);
      kernels->add_scaled(terms.data(), n, 3.0f, y.data());
      for (int64_t i = 0; i < n; ++i) CHECK_NEAR(y[static_cast<size_t>(i)], 0.25 + 3.0 * terms[static_cast<size_t>(i)], 1e-6, 1e-6);
      CHECK(y[static_cast<size_t>(n)] == 0.25f);
    }
    const std::vector<float> nothing(37, kNoMass);
    std::vector<float> terms(37, 9.0f);
    float top = 0, total = 7;
    kernels->softmax_terms(nothing.data(), 37, terms.data(), &top, &total);
    CHECK(top == kNoMass && total == 0.0f);
    CHECK(std::count(terms.begin(), terms.end(), 0.0f) == 37);
  }
}

TEST_MAIN()
