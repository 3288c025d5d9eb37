// Decode attention over int8 records against float64 over what the records say, so that only the rounding of queries and
// weights to 16 bits lies between the two.
#include <algorithm>

#include "attention_reference.h"

using namespace wavekv_test;

namespace {

constexpr int64_t kHeadDims[] = {16, 64, 80, 96, 128, 256};
constexpr double kOutputTolerance = 1e-3, kMassTolerance = 5e-4;

/// Records of many tokens, and ranges that take them in pieces of 0..40 tokens, out of order, each under one of four centres.
struct Records {
  int64_t head_dim;
  std::vector<uint8_t> bytes;
  std::vector<std::vector<uint16_t>> centres;
  std::vector<KvRange> ranges;

  Records(Random& random, int64_t num_tokens, int64_t d) : head_dim(d) {
    const int64_t stride = wavekv::kv_record_bytes(KvType::kQ8, d);
    bytes.resize(static_cast<size_t>(num_tokens * stride));
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random.below(255) - 127);
    for (int64_t t = 0; t < num_tokens; ++t) {
      const float scales[2] = {static_cast<float>((0.5 + random.uniform()) / 64), static_cast<float>((0.5 + random.uniform()) / 64)};
      memcpy(bytes.data() + t * stride + 2 * d, scales, sizeof scales);
    }
    for (int c = 0; c < 4; ++c) centres.push_back(random_halves(random, d, 1));
    for (int64_t begin = 0; begin < num_tokens;) {
      const int64_t left = num_tokens - begin, wanted = random.below(41);
      const int64_t size = wanted < left ? wanted : left;
      ranges.push_back(wavekv::kv_records(KvType::kQ8, bytes.data(), d, begin, size,
                                          centres[static_cast<size_t>(random.below(4))].data()));
      begin += size;
    }
    for (size_t i = ranges.size(); i > 1; --i) {
      std::swap(ranges[i - 1], ranges[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
    }
  }
  int64_t num_ranges() const { return static_cast<int64_t>(ranges.size()); }
  Reference reference(const float* q) const {
    Reference all;
    for (const KvRange& range : ranges) add_tokens(all, q, range, range.num_tokens, head_dim);
    return all;
  }
};

std::vector<float> random_queries(Random& random, int64_t num_queries, int64_t d, double scale) {
  return random_floats(random, num_queries * d, scale / std::sqrt(static_cast<double>(d)));
}

void check_attention(const Kernels& kernels, const Records& records, const std::vector<float>& q, double tolerance,
                     double mass_tolerance) {
  const int64_t d = records.head_dim, num_queries = static_cast<int64_t>(q.size()) / d;
  State state(num_queries, d);
  kernels.attend_ranges(q.data(), num_queries, d, records.ranges.data(), records.num_ranges(), state.view());
  for (int64_t a = 0; a < num_queries; ++a) {
    check_state(kernels, state, a, d, records.reference(q.data() + a * d), tolerance, mass_tolerance);
  }
}

}  // namespace

TEST(records_match_the_naive_sum) {
  for (const Kernels* kernels : levels()) {
    Random random(61);
    for (int64_t d : kHeadDims) {
      for (int64_t num_queries : {1, 3, 7, 8, 16}) {
        for (int64_t num_tokens : {1, 5, 63, 64, 65, 333}) {
          const Records records(random, num_tokens, d);
          check_attention(*kernels, records, random_queries(random, num_queries, d, 3), kOutputTolerance, kMassTolerance);
        }
      }
    }
  }
}

TEST(every_query_count_up_to_32_and_beyond_works) {
  for (const Kernels* kernels : levels()) {
    Random random(62);
    const Records records(random, 90, 64);
    for (int64_t num_queries = 1; num_queries <= 40; ++num_queries) {
      check_attention(*kernels, records, random_queries(random, num_queries, 64, 2.5), kOutputTolerance, kMassTolerance);
    }
  }
}

TEST(every_length_of_a_block_works) {
  for (const Kernels* kernels : levels()) {
    Random random(63);
    for (int64_t num_tokens = 1; num_tokens <= 70; ++num_tokens) {
      const Records records(random, num_tokens, 80);
      check_attention(*kernels, records, random_queries(random, 4, 80, 2), kOutputTolerance, kMassTolerance);
    }
  }
}

TEST(a_block_of_one_token_ranges_with_centres_of_their_own) {
  for (const Kernels* kernels : levels()) {
    Random random(64);
    for (int64_t d : {64, 96}) {
      Records records(random, 130, d);
      records.ranges.clear();
      std::vector<std::vector<uint16_t>> centres;
      for (int64_t t = 0; t < 130; ++t) centres.push_back(random_halves(random, d, 1));
      for (int64_t t = 0; t < 130; ++t) {
        records.ranges.push_back(wavekv::kv_records(KvType::kQ8, records.bytes.data(), d, t, 1, centres[static_cast<size_t>(t)].data()));
      }
      check_attention(*kernels, records, random_queries(random, 7, d, 3), kOutputTolerance, kMassTolerance);
    }
  }
}

TEST(big_scores_neither_overflow_nor_vanish) {
  for (const Kernels* kernels : levels()) {
    for (double magnitude : {80.0, 3000.0}) {
      Random random(65);
      const Records records(random, 200, 64);
      std::vector<float> q(2 * 64, 0.0f);  // one element alone is rounded without loss
      q[5] = static_cast<float>(magnitude);
      q[64 + 5] = static_cast<float>(-magnitude);
      check_attention(*kernels, records, q, kOutputTolerance, kMassTolerance);
    }
  }
}

TEST(values_far_apart_in_scale_keep_the_small_ones) {
  // Every weight is 1; half of the values are a thousandth of the others.
  for (const Kernels* kernels : levels()) {
    Random random(66);
    Records records(random, 64, 64);
    for (int64_t t = 0; t < 64; ++t) {
      const float scales[2] = {0.0f, t % 2 == 0 ? 1.0f : 1e-3f};
      memcpy(records.bytes.data() + t * 136 + 128, scales, sizeof scales);
    }
    check_attention(*kernels, records, std::vector<float>(64, 0.0f), 1e-4, 1e-5);
  }
}

TEST(vectors_of_zeros_and_empty_ranges) {
  for (const Kernels* kernels : levels()) {
    Random random(67);
    Records records(random, 50, 64);
    State fresh(3, 64);
    const std::vector<float> q = random_queries(random, 3, 64, 2);
    std::vector<KvRange> empty(3, wavekv::kv_records(KvType::kQ8, records.bytes.data(), 64, 0, 0, nullptr));
    kernels->attend_ranges(q.data(), 3, 64, empty.data(), 3, fresh.view());
    for (int64_t a = 0; a < 3; ++a) check_state(*kernels, fresh, a, 64, Reference(), 0);
    std::fill(records.bytes.begin(), records.bytes.end(), uint8_t{0});  // scales too: what an index of equal keys holds
    check_attention(*kernels, records, q, kOutputTolerance, 1e-5);
  }
}

TEST(where_ranges_are_cut_changes_nothing) {
  for (const Kernels* kernels : levels()) {
    Random random(68);
    for (int64_t d : {64, 80}) {
      const Records records(random, 150, d);
      const std::vector<float> q = random_queries(random, 5, d, 3);
      const auto attend = [&](int64_t length) {
        std::vector<KvRange> ranges;
        for (int64_t t = 0; t < 150; t += length) {
          ranges.push_back(wavekv::kv_records(KvType::kQ8, records.bytes.data(), d, t, std::min(length, 150 - t), records.centres[0].data()));
        }
        State state(5, d);
        kernels->attend_ranges(q.data(), 5, d, ranges.data(), static_cast<int64_t>(ranges.size()), state.view());
        return state;
      };
      const State whole = attend(150), pieces = attend(8);
      CHECK(whole.out == pieces.out && whole.max == pieces.max && whole.denominator == pieces.denominator);
    }
  }
}

TEST_MAIN()
