#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "gguf.h"

namespace wavekv {

enum class RopeScaling { kNone, kLinear, kYarn };

/// What the caller asks of RoPE; `from_file` takes the file's own scaling.
struct RopeOptions {
  bool from_file = true;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;  // >= 1: how many times the trained context the scaled model covers
};

/// The shape of a model, read from a GGUF file and checked for consistency.
struct ModelConfig {
  std::string architecture;  // llama, qwen2 or qwen3
  int64_t num_layers = 0;
  int64_t hidden_dim = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_dim = 0;
  int64_t vocab_size = 0;
  int64_t trained_context = 0;  // tokens
  float rms_epsilon = 0;
  bool rope_neox = false;  // pairs (i, i + ropeDim / 2) in place of (2i, 2i + 1)
  int64_t rope_dim = 0;
  double rope_theta = 0;
  RopeScaling rope_scaling = RopeScaling::kNone;
  double rope_factor = 1.0;
  int64_t rope_original_context = 0;  // tokens, for YaRN

  int64_t group_size() const { return num_heads / num_kv_heads; }
  /// Largest context that RoPE, as set, was made for.
  int64_t usable_context() const;
};

/// Throws std::runtime_error naming the key where the file's shape is not one that this program runs.
ModelConfig read_model_config(const GgufFile& file, const RopeOptions& rope);

/// Rotation angles: cos and sin by position, with linear or YaRN scaling and Llama-3 frequency factors.
class RopeTable {
 public:
  /// frequency_factors: [ropeDim / 2] or empty.
  RopeTable(const ModelConfig& config, std::vector<float> frequency_factors);
  /// Writes [ropeDim / 2] pairs (cos, sin) of one position.
  void angles(int64_t position, float* cos_sin) const;

 private:
  std::vector<double> inverse_frequencies_;  // [ropeDim / 2], scaling applied
  double magnitude_ = 1.0;                   // YaRN's attention factor, on cos and sin
};

}  // namespace wavekv
