#include "model_config.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace wavekv {
namespace {

constexpr double kPi = 3.14159265358979323846;

[[noreturn]] void refuse(const GgufFile& file, const std::string& what) {
  throw std::runtime_error(file.path() + ": " + what);
}

int64_t bounded(const GgufFile& file, const std::string& key, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    refuse(file, key + " is " + std::to_string(value) + ", expected " + std::to_string(low) + " to " +
                     std::to_string(high));
  }
  return value;
}

RopeScaling scaling_by_name(const GgufFile& file, const std::string& key, const std::string& name) {
  if (name == "none") return RopeScaling::kNone;
  if (name == "linear") return RopeScaling::kLinear;
  if (name == "yarn") return RopeScaling::kYarn;
  refuse(file, key + " '" + name + "' is not supported; none, linear and yarn are");
}

void read_rope(const GgufFile& file, const RopeOptions& rope, const std::string& prefix, ModelConfig& config) {
  config.rope_neox = config.architecture != "llama";
  config.rope_dim = bounded(file, prefix + "rope.dimension_count",
                            file.integer_or(prefix + "rope.dimension_count", config.head_dim), 2, config.head_dim);
  if (config.rope_dim % 2 != 0) refuse(file, prefix + "rope.dimension_count is odd");
  config.rope_theta = file.number_or(prefix + "rope.freq_base", 10000.0);
  if (!(config.rope_theta > 0)) refuse(file, prefix + "rope.freq_base is not positive");
  if (rope.from_file) {
    const std::string type_key = prefix + "rope.scaling.type";
    if (file.find(type_key) != nullptr) config.rope_scaling = scaling_by_name(file, type_key, file.string(type_key));
    config.rope_factor = config.rope_scaling == RopeScaling::kNone
                             ? 1.0
                             : file.number_or(prefix + "rope.scaling.factor", 1.0);
  } else {
    config.rope_scaling = rope.scaling;
    config.rope_factor = rope.scaling == RopeScaling::kNone ? 1.0 : rope.factor;
  }
  if (!(config.rope_factor >= 1.0)) refuse(file, "the RoPE scale must be at least 1");
  config.rope_original_context =
      file.integer_or(prefix + "rope.scaling.original_context_length", config.trained_context);
}

}  // namespace

int64_t ModelConfig::usable_context() const {
  // A file that carries YaRN states the scaled context as its context length already.
  if (rope_scaling == RopeScaling::kNone || rope_original_context < trained_context) return trained_context;
  return static_cast<int64_t>(static_cast<double>(trained_context) * rope_factor);
}

ModelConfig read_model_config(const GgufFile& file, const RopeOptions& rope) {
  ModelConfig config;
  config.architecture = file.string("general.architecture");
  if (config.architecture != "llama" && config.architecture != "qwen2" && config.architecture != "qwen3") {
    refuse(file, "general.architecture '" + config.architecture + "' is not supported; llama, qwen2 and qwen3 are");
  }
  const std::string prefix = config.architecture + ".";
  const auto size = [&](const char* name, int64_t high) {
    return bounded(file, prefix + name, file.integer(prefix + name), 1, high);
  };
  config.num_layers = size("block_count", 1024);
  config.hidden_dim = size("embedding_length", 1 << 20);
  config.num_heads = size("attention.head_count", 4096);
  config.num_kv_heads = bounded(file, prefix + "attention.head_count_kv",
                                file.integer_or(prefix + "attention.head_count_kv", config.num_heads), 1, 4096);
  config.ffn_dim = size("feed_forward_length", 1 << 22);
  config.trained_context = size("context_length", int64_t{1} << 31);
  config.head_dim = bounded(file, prefix + "attention.key_length",
                            file.integer_or(prefix + "attention.key_length", config.hidden_dim / config.num_heads), 16,
                            256);
  if (file.integer_or(prefix + "attention.value_length", config.head_dim) != config.head_dim) {
    refuse(file, prefix + "attention.value_length differs from the key length");
  }
  if (config.num_heads % config.num_kv_heads != 0 || config.num_heads / config.num_kv_heads > 32) {
    refuse(file, "head counts " + std::to_string(config.num_heads) + " / " + std::to_string(config.num_kv_heads) +
                     " do not group (at most 32 query heads share a KV head)");
  }
  if (config.head_dim % 16 != 0) refuse(file, "head dim " + std::to_string(config.head_dim) + " is not a multiple of 16");
  if (config.hidden_dim % 32 != 0 || config.ffn_dim % 32 != 0 || (config.num_heads * config.head_dim) % 32 != 0) {
    refuse(file, "embedding and feed-forward lengths must be multiples of 32");
  }
  config.rms_epsilon = static_cast<float>(file.number_or(prefix + "attention.layer_norm_rms_epsilon", 1e-5));
  read_rope(file, rope, prefix, config);
  return config;
}

RopeTable::RopeTable(const ModelConfig& config, std::vector<float> frequency_factors) {
  const int64_t half = config.rope_dim / 2;
  if (!frequency_factors.empty() && static_cast<int64_t>(frequency_factors.size()) != half) {
    throw std::runtime_error("rope_freqs has " + std::to_string(frequency_factors.size()) + " values, expected " +
                             std::to_string(half));
  }
  const double dim = static_cast<double>(config.rope_dim);
  // YaRN (arXiv 2309.00071): dimensions that turn more than 32 times in the original context keep their frequency, those
  // that turn less than once are interpolated, the ones between are blended.
  const auto turning_dim = [&](double turns) {
    return dim * std::log(static_cast<double>(config.rope_original_context) / (turns * 2.0 * kPi)) /
           (2.0 * std::log(config.rope_theta));
  };
  const double low = std::max(0.0, std::floor(turning_dim(32.0)));
  const double high = std::min(dim - 1.0, std::ceil(turning_dim(1.0)));
  for (int64_t i = 0; i < half; ++i) {
    double inverse = std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / dim);
    if (!frequency_factors.empty()) inverse /= static_cast<double>(frequency_factors[static_cast<size_t>(i)]);
    const double interpolated = inverse / config.rope_factor;
    if (config.rope_scaling == RopeScaling::kLinear) inverse = interpolated;
    if (config.rope_scaling == RopeScaling::kYarn) {
      const double ramp = std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
      inverse = interpolated * ramp + inverse * (1.0 - ramp);
    }
    inverse_frequencies_.push_back(inverse);
  }
  if (config.rope_scaling == RopeScaling::kYarn) magnitude_ = 1.0 + 0.1 * std::log(config.rope_factor);
}

void RopeTable::angles(int64_t position, float* cos_sin) const {
  for (size_t i = 0; i < inverse_frequencies_.size(); ++i) {
    const double angle = static_cast<double>(position) * inverse_frequencies_[i];
    cos_sin[2 * i] = static_cast<float>(std::cos(angle) * magnitude_);
    cos_sin[2 * i + 1] = static_cast<float>(std::sin(angle) * magnitude_);
  }
}

}  // namespace wavekv
