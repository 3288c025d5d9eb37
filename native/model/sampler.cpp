#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace wavekv {
namespace {

// Tokens this far below the top have a probability below 1e-13 of it: left out before any sorting.
constexpr float kNegligible = 30.0f;

}  // namespace

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
    if (logits[i] >= floor) candidates_.push_back({logits[i], static_cast<int32_t>(i)});
  }
  const auto more_likely = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  };
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(candidates_.size())) {
    std::nth_element(candidates_.begin(), candidates_.begin() + options.top_k, candidates_.end(), more_likely);
    candidates_.resize(static_cast<size_t>(options.top_k));
  }
  std::sort(candidates_.begin(), candidates_.end(), more_likely);

  double total = 0;
  for (Candidate& candidate : candidates_) {
    candidate.logit = std::exp((candidate.logit - top) / options.temperature);
    total += static_cast<double>(candidate.logit);
  }
  // candidate.logit is now the probability times `total`, largest first; the first is 1.
  size_t kept = 0;
  double mass = 0;
  while (kept < candidates_.size()) {
    const Candidate& candidate = candidates_[kept];
    if (kept > 0 && (candidate.logit < options.min_p || mass >= static_cast<double>(options.top_p) * total)) break;
    mass += static_cast<double>(candidate.logit);
    ++kept;
  }
  double target = uniform * mass;
  for (size_t i = 0; i + 1 < kept; ++i) {
    target -= static_cast<double>(candidates_[i].logit);
    if (target < 0) return candidates_[i].token;
  }
  return candidates_[kept - 1].token;
}

}  // namespace wavekv
