#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace wavekv {
namespace {

// Tokens this far below the top have a probability below 1e-13 of it: left out before any sorting.
constexpr float kNegligible = 30.0f;

int64_t checked(int32_t token, int64_t vocab_size) {
  if (token < 0 || token >= vocab_size) {
    throw std::runtime_error("token " + std::to_string(token) + " is outside the vocabulary of " +
                             std::to_string(vocab_size));
  }
  return token;
}

void adjust(std::vector<float>& logits, const LogitAdjustments& adjustments) {
  const int64_t vocab_size = static_cast<int64_t>(logits.size());
  for (int64_t i = 0; i < adjustments.num_repeats; ++i) {
    float& logit = logits[static_cast<size_t>(checked(adjustments.repeat_tokens[i], vocab_size))];
    logit = logit > 0 ? logit / adjustments.repeat_penalty : logit * adjustments.repeat_penalty;
  }
  for (int64_t i = 0; i < adjustments.num_biases; ++i) {
    logits[static_cast<size_t>(checked(adjustments.bias_tokens[i], vocab_size))] += adjustments.biases[i];
  }
  if (adjustments.allowed == nullptr) return;
  for (size_t i = 0; i < logits.size(); ++i) {
    if ((adjustments.allowed[i / 32] >> (i % 32) & 1) == 0) logits[i] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace

TokenLogprobs token_logprobs(const float* logits, int64_t vocab_size, int32_t chosen, int64_t num_top) {
  const int64_t chosen_index = checked(chosen, vocab_size);
  const float top = *std::max_element(logits, logits + vocab_size);
  double total = 0;
  for (int64_t i = 0; i < vocab_size; ++i) total += std::exp(static_cast<double>(logits[i] - top));
  const double log_total = static_cast<double>(top) + std::log(total);
  TokenLogprobs result;
  result.chosen = static_cast<float>(static_cast<double>(logits[chosen_index]) - log_total);
  num_top = std::min(std::max<int64_t>(num_top, 0), vocab_size);
  if (num_top == 0) return result;
  std::vector<int32_t>& order = result.top_tokens;
  order.resize(static_cast<size_t>(vocab_size));
  for (int64_t i = 0; i < vocab_size; ++i) order[static_cast<size_t>(i)] = static_cast<int32_t>(i);
  std::partial_sort(order.begin(), order.begin() + num_top, order.end(), [&](int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  });
  order.resize(static_cast<size_t>(num_top));
  for (const int32_t token : order) {
    result.top_logprobs.push_back(static_cast<float>(static_cast<double>(logits[token]) - log_total));
  }
  return result;
}

int32_t Sampler::sample(const float* logits, int64_t vocab_size, const SamplingOptions& options,
                        const LogitAdjustments& adjustments, double uniform) {
  if (!adjustments.any()) return sample(logits, vocab_size, options, uniform);
  adjusted_.assign(logits, logits + vocab_size);
  adjust(adjusted_, adjustments);
  return sample(adjusted_.data(), vocab_size, options, uniform);
}

int32_t Sampler::sample(const float* logits, int64_t vocab_size, const SamplingOptions& options, double uniform) {
  int32_t best = -1;
  float top = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < vocab_size; ++i) {
    if (logits[i] > top) {
      top = logits[i];
      best = static_cast<int32_t>(i);
    }
  }
  if (best < 0 || !std::isfinite(top)) throw std::runtime_error("the logits hold no finite maximum");
  if (options.temperature <= 0) return best;

  candidates_.clear();
  const float floor = top - kNegligible * options.temperature;
  for (int64_t i = 0; i < vocab_size; ++i) {
    if (logits[i] >= floor) candidates_.push_back({logits[i], 0.0f, static_cast<int32_t>(i)});
  }
  const auto more_likely = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  };
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(candidates_.size())) {
    std::nth_element(candidates_.begin(), candidates_.begin() + options.top_k, candidates_.end(), more_likely);
    candidates_.resize(static_cast<size_t>(options.top_k));
  }
  double total = 0;
  for (Candidate& candidate : candidates_) {
    candidate.weight = std::exp((candidate.logit - top) / options.temperature);  // the likeliest has 1
    total += static_cast<double>(candidate.weight);
  }
  // Few candidates are kept as a rule: they are sorted as they are needed.
  size_t sorted = 0, kept = 0;
  double mass = 0;
  while (kept < candidates_.size()) {
    if (kept == sorted) {
      const size_t next = std::min(candidates_.size(), std::max<size_t>(64, 8 * sorted));
      const auto first = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
      const auto last = candidates_.begin() + static_cast<std::ptrdiff_t>(next);
      std::nth_element(first, last - 1, candidates_.end(), more_likely);
      std::sort(first, last, more_likely);
      sorted = next;
    }
    const Candidate& candidate = candidates_[kept];
    if (kept > 0 && (candidate.weight < options.min_p || mass >= static_cast<double>(options.top_p) * total)) break;
    mass += static_cast<double>(candidate.weight);
    ++kept;
  }
  double target = uniform * mass;
  for (size_t i = 0; i + 1 < kept; ++i) {
    target -= static_cast<double>(candidates_[i].weight);
    if (target < 0) return candidates_[i].token;
  }
  return candidates_[kept - 1].token;
}

}  // namespace wavekv
