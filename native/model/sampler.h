#pragma once
#include <cstdint>
#include <vector>

namespace wavekv {

struct SamplingOptions {
  float temperature = 0;  // 0: the most likely token
  float top_p = 1;        // 1 keeps all
  int64_t top_k = 0;      // 0 keeps all
  float min_p = 0;        // tokens below min_p times the top probability are left out
};

/// What changes the logits before a token is drawn. Tokens outside the vocabulary are refused. Pointers outlive the call only.
struct LogitAdjustments {
  const int32_t* bias_tokens = nullptr;  // [numBiases]; a token may occur more than once
  const float* biases = nullptr;         // [numBiases], added; minus infinity bans the token
  int64_t num_biases = 0;
  const int32_t* repeat_tokens = nullptr;  // [numRepeats], distinct: each has its logit brought down by repeat_penalty
  int64_t num_repeats = 0;
  float repeat_penalty = 1;           // positive logits are divided by it, others multiplied
  const uint32_t* allowed = nullptr;  // [ceil(vocabSize / 32)] or null: tokens whose bit is 0 cannot be drawn

  bool any() const { return num_biases > 0 || (num_repeats > 0 && repeat_penalty != 1) || allowed != nullptr; }
};

/// The log-probabilities of one position, of the model as it is: before adjustments, temperature and filters.
struct TokenLogprobs {
  float chosen = 0;
  std::vector<int32_t> top_tokens;   // the likeliest first
  std::vector<float> top_logprobs;
};

/// log softmax of logits [vocabSize] at `chosen` and at the `num_top` likeliest tokens (ties: the lower id first).
TokenLogprobs token_logprobs(const float* logits, int64_t vocab_size, int32_t chosen, int64_t num_top);

/// Draws a token from logits [vocabSize]. uniform: in [0, 1), the caller's random number. Ties go to the lower id, so the
/// result depends on the arguments alone. Filters apply in the order top-k, top-p, min-p, at the given temperature.
/// Throws std::runtime_error where the logits hold no finite value.
class Sampler {
 public:
  int32_t sample(const float* logits, int64_t vocab_size, const SamplingOptions& options, double uniform);
  /// The same from adjusted logits; the logits themselves stay as they are.
  int32_t sample(const float* logits, int64_t vocab_size, const SamplingOptions& options,
                 const LogitAdjustments& adjustments, double uniform);

 private:
  struct Candidate {
    float logit;
    float weight;  // exp((logit - largest logit) / temperature)
    int32_t token;
  };
  std::vector<Candidate> candidates_;
  std::vector<float> adjusted_;  // [vocabSize]
};

}  // namespace wavekv
