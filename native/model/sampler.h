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

/// Draws a token from logits [vocabSize]. uniform: in [0, 1), the caller's random number. Ties go to the lower id, so the
/// result depends on the arguments alone. Filters apply in the order top-k, top-p, min-p, at the given temperature.
/// Throws std::runtime_error where the logits hold no finite value.
class Sampler {
 public:
  int32_t sample(const float* logits, int64_t vocab_size, const SamplingOptions& options, double uniform);

 private:
  struct Candidate {
    float logit;
    int32_t token;
  };
  std::vector<Candidate> candidates_;
};

}  // namespace wavekv
