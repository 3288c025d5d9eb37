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

TEST(biases_add_and_ban) {
  Sampler sampler;
  const int32_t tokens[] = {1, 3, 1};
  const float biases[] = {-5, 10, -std::numeric_limits<float>::infinity()};
  LogitAdjustments adjustments;
  adjustments.bias_tokens = tokens;
  adjustments.biases = biases;
  adjustments.num_biases = 2;
  CHECK(sampler.sample(kLogits.data(), 4, SamplingOptions(), adjustments, 0.5) == 3);
  adjustments.bias_tokens = tokens + 2;
  adjustments.biases = biases + 2;
  adjustments.num_biases = 1;
  CHECK(sampler.sample(kLogits.data(), 4, SamplingOptions(), adjustments, 0.5) == 2);
  CHECK(sampler.sample(kLogits.data(), 4, SamplingOptions(), LogitAdjustments(), 0.5) == 1);
}

TEST(repeat_penalty_brings_down_logits_of_either_sign) {
  Sampler sampler;
  const float logits[] = {4, 3, -1, -1.5f};
  const int32_t repeats[] = {0, 2};
  LogitAdjustments adjustments;
  adjustments.repeat_tokens = repeats;
  adjustments.num_repeats = 2;
  adjustments.repeat_penalty = 2;
  CHECK(sampler.sample(logits, 4, SamplingOptions(), adjustments, 0.5) == 1);
  CHECK(sampler.sample(logits + 2, 2, SamplingOptions(), LogitAdjustments(), 0.5) == 0);
  const int32_t first[] = {0};
  adjustments.repeat_tokens = first;
  adjustments.num_repeats = 1;
  CHECK(sampler.sample(logits + 2, 2, SamplingOptions(), adjustments, 0.5) == 1);
}

TEST(only_allowed_tokens_are_drawn) {
  Sampler sampler;
  SamplingOptions options;
  options.temperature = 1;
  std::vector<float> logits(70, 0.0f);
  logits[3] = 9;
  std::vector<uint32_t> allowed(3, 0);
  allowed[2] = 1u << 5 | 1u << 2;  // tokens 69 and 66
  LogitAdjustments adjustments;
  adjustments.allowed = allowed.data();
  CHECK(sampler.sample(logits.data(), 70, options, adjustments, 0.1) == 66);
  CHECK(sampler.sample(logits.data(), 70, options, adjustments, 0.9) == 69);
  allowed[2] = 0;
  bool refused = false;
  try {
    sampler.sample(logits.data(), 70, options, adjustments, 0.1);
  } catch (const std::runtime_error&) {
    refused = true;
  }
  CHECK(refused);
}

TEST(adjustments_outside_the_vocabulary_are_refused) {
  Sampler sampler;
  const int32_t token[] = {4};
  const float bias[] = {1};
  LogitAdjustments adjustments;
  adjustments.bias_tokens = token;
  adjustments.biases = bias;
  adjustments.num_biases = 1;
  bool refused = false;
  try {
    sampler.sample(kLogits.data(), 4, SamplingOptions(), adjustments, 0.5);
  } catch (const std::runtime_error&) {
    refused = true;
  }
  CHECK(refused);
}

TEST(logprobs_are_the_log_softmax_of_the_likeliest_and_the_chosen) {
  const TokenLogprobs found = token_logprobs(kLogits.data(), 4, 0, 2);
  CHECK_NEAR(found.chosen, std::log(0.1), 1e-6, 0);
  CHECK(found.top_tokens.size() == 2 && found.top_tokens[0] == 1 && found.top_tokens[1] == 2);
  CHECK_NEAR(found.top_logprobs[0], std::log(0.5), 1e-6, 0);
  CHECK_NEAR(found.top_logprobs[1], std::log(0.25), 1e-6, 0);
  const float shifted[] = {1000, 999};
  CHECK_NEAR(token_logprobs(shifted, 2, 1, 0).chosen, -1 - std::log(1 + std::exp(-1.0)), 1e-6, 0);
  CHECK(token_logprobs(kLogits.data(), 4, 0, 9).top_tokens.size() == 4);
}

TEST_MAIN()
