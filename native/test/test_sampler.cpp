#include "sampler.h"

#include <limits>

#include "check.h"

using namespace wavekv;
using namespace wavekv_test;

namespace {

/// Share of draws of each token over evenly spaced uniforms.
std::vector<double> shares(const std::vector<float>& logits, const SamplingOptions& options) {
  Sampler sampler;
  std::vector<double> counts(logits.size());
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    const double uniform = (i + 0.5) / kDraws;
    counts[static_cast<size_t>(sampler.sample(logits.data(), static_cast<int64_t>(logits.size()), options, uniform))] +=
        1.0 / kDraws;
  }
  return counts;
}

const std::vector<float> kLogits = {std::log(0.1f), std::log(0.5f), std::log(0.25f), std::log(0.15f)};

}  // namespace

TEST(temperature_zero_takes_the_top_and_the_lower_id_on_ties) {
  Sampler sampler;
  const float tied[] = {1, 3, 3, 2};
  CHECK(sampler.sample(tied, 4, SamplingOptions(), 0.99) == 1);
}

TEST(plain_sampling_follows_the_softmax) {
  SamplingOptions options;
  options.temperature = 1;
  const auto got = shares(kLogits, options);
  CHECK_NEAR(got[0], 0.1, 1e-3, 0);
  CHECK_NEAR(got[1], 0.5, 1e-3, 0);
  CHECK_NEAR(got[2], 0.25, 1e-3, 0);
  CHECK_NEAR(got[3], 0.15, 1e-3, 0);
}

TEST(temperature_sharpens) {
  SamplingOptions options;
  options.temperature = 0.5f;
  const double total = 0.01 + 0.25 + 0.0625 + 0.0225;
  CHECK_NEAR(shares(kLogits, options)[1], 0.25 / total, 1e-3, 0);
}

TEST(top_k_keeps_the_likeliest) {
  SamplingOptions options;
  options.temperature = 1;
  options.top_k = 2;
  const auto got = shares(kLogits, options);
  CHECK_NEAR(got[1], 2.0 / 3, 1e-3, 0);
  CHECK_NEAR(got[2], 1.0 / 3, 1e-3, 0);
}

TEST(top_p_keeps_the_smallest_set_that_reaches_it) {
  SamplingOptions options;
  options.temperature = 1;
  options.top_p = 0.7f;
  const auto got = shares(kLogits, options);
  CHECK_NEAR(got[1], 2.0 / 3, 1e-3, 0);
  CHECK_NEAR(got[3], 0, 0, 0);
}

TEST(min_p_is_relative_to_the_top) {
  SamplingOptions options;
  options.temperature = 1;
  options.min_p = 0.4f;
  const auto got = shares(kLogits, options);
  CHECK_NEAR(got[3], 0, 0, 0);
  CHECK_NEAR(got[0], 0, 0, 0);
  CHECK_NEAR(got[2], 1.0 / 3, 1e-3, 0);
}

TEST(one_candidate_is_always_left) {
  SamplingOptions options;
  options.temperature = 1;
  options.top_p = 0;
  options.min_p = 1;
  CHECK_NEAR(shares(kLogits, options)[1], 1, 1e-9, 0);
}

TEST(logits_without_a_finite_maximum_are_refused) {
  Sampler sampler;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float broken[] = {nan, nan};
  bool refused = false;
  try {
    sampler.sample(broken, 2, SamplingOptions(), 0.5);
  } catch (const std::runtime_error&) {
    refused = true;
  }
  CHECK(refused);
}

TEST_MAIN()
