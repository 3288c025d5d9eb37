// The whole forward pass of the runner against the plain float reference, on small random models of every architecture
// and tensor type.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>

#include "float_forward.h"
#include "gguf_sample.h"
#include "kv_fixture.h"
#include "runner.h"

using namespace wavekv;
using wavekv_reference::FloatForward;
using namespace wavekv_test;

namespace {

constexpr uint64_t kHidden = 256, kFfn = 512, kVocab = 96, kHeadDim = 64, kHeads = 4, kKvHeads = 2, kLayers = 2;

/// Random blocks of a type with scales small enough that a layer neither explodes nor vanishes.
Bytes random_values(GgmlType type, uint64_t count, double scale, Random& random) {
  const GgmlTypeInfo& info = *ggml_type_info(static_cast<uint32_t>(type));
  Bytes out;
  if (info.block_values == 1) {
    for (uint64_t i = 0; i < count; ++i) {
      const float value = static_cast<float>(scale * random.normal());
      if (type == GgmlType::kF32) out = std::move(out) + bytes_of(value);
      uint16_t half = 0;
      if (type == GgmlType::kF16) portable::kKernels.to_f16(&value, &half, 1);
      if (type == GgmlType::kBF16) memcpy(&half, reinterpret_cast<const char*>(&value) + 2, 2);
      if (type != GgmlType::kF32) out = std::move(out) + bytes_of(half);
    }
    return out;
  }
  // Byte offsets of the f16 fields of a block: the scale, and the minimum where there is one.
  const bool has_min = type == GgmlType::kQ4_1 || type == GgmlType::kQ5_1 || type == GgmlType::kQ4_K || type == GgmlType::kQ5_K;
  const size_t scale_at = type == GgmlType::kQ6_K ? 208 : 0;
  for (uint64_t block = 0; block < count / static_cast<uint64_t>(info.block_values); ++block) {
    Bytes bytes(static_cast<size_t>(info.block_bytes));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.next() >> 32);
    const double range = type == GgmlType::kQ8_0 ? 75 : type == GgmlType::kQ6_K ? 18.0 * 75 : info.block_values == 256 ? 9.0 * 32 : type == GgmlType::kQ5_0 || type == GgmlType::kQ5_1 ? 9 : 4.6;
    const float d = static_cast<float>(scale / range * (0.75 + 0.5 * random.uniform()));
    const float m = static_cast<float>(info.block_values == 256 ? d / 2 : -d * (type == GgmlType::kQ4_1 ? 8 : 16));
    uint16_t half;
    portable::kKernels.to_f16(&d, &half, 1);
    memcpy(bytes.data() + scale_at, &half, 2);
    portable::kKernels.to_f16(&m, &half, 1);
    if (has_min) memcpy(bytes.data() + 2, &half, 2);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

/// Writes a random model to a temporary file and removes it at the end.
class RandomModel {
 public:
  RandomModel(const std::string& architecture, GgmlType type, bool tied, uint64_t seed) : random_(seed) {
    char name[] = "/tmp/wavekv-forward-XXXXXX";
    const int descriptor = mkstemp(name);
    if (descriptor < 0) throw std::runtime_error("cannot make a temporary file");
    close(descriptor);
    path_ = name;
    file_.alignment = 32;
    const std::string p = architecture + ".";
    const auto count = [&](const std::string& key, uint64_t value) {
      file_.pairs.push_back({key, 4, bytes_of(static_cast<uint32_t>(value))});
    };
    file_.pairs.push_back({"general.architecture", 8, text(architecture)});
    count(p + "block_count", kLayers);
    count(p + "embedding_length", kHidden);
    count(p + "attention.head_count", kHeads);
    count(p + "attention.head_count_kv", kKvHeads);
    count(p + "attention.key_length", kHeadDim);
    count(p + "feed_forward_length", kFfn);
    count(p + "context_length", 512);
    file_.pairs.push_back({p + "rope.freq_base", 6, bytes_of(10000.0f)});
    file_.pairs.push_back({p + "attention.layer_norm_rms_epsilon", 6, bytes_of(1e-6f)});
    add("token_embd.weight", {kHidden, kVocab}, type, 1);
    if (!tied) add("output.weight", {kHidden, kVocab}, type, 0.2);
    add("output_norm.weight", {kHidden}, GgmlType::kF32, 1);
    for (uint64_t layer = 0; layer < kLayers; ++layer) add_layer("blk." + std::to_string(layer) + ".", architecture, type);
    const Bytes bytes = file_.build();
    std::ofstream(path_, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  ~RandomModel() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  void add(const std::string& name, std::vector<uint64_t> shape, GgmlType type, double scale) {
    uint64_t values = 1;
    for (const uint64_t dimension : shape) values *= dimension;
    while (file_.data.size() % file_.alignment != 0) file_.data.push_back(0);
    file_.tensors.push_back({name, shape, static_cast<uint32_t>(type), file_.data.size(), {}});
    const Bytes data = random_values(type, values, scale, random_);
    file_.data.insert(file_.data.end(), data.begin(), data.end());
  }
  void add_layer(const std::string& p, const std::string& architecture, GgmlType type) {
    const double scale = 1.0 / 16;  // 1 / sqrt(hidden)
    add(p + "attn_norm.weight", {kHidden}, GgmlType::kF32, 1);
    add(p + "attn_q.weight", {kHidden, kHeads * kHeadDim}, type, scale);
    add(p + "attn_k.weight", {kHidden, kKvHeads * kHeadDim}, type, scale);
    add(p + "attn_v.weight", {kHidden, kKvHeads * kHeadDim}, type, scale);
    if (architecture == "qwen2") {
      add(p + "attn_q.bias", {kHeads * kHeadDim}, GgmlType::kF32, 0.5);
      add(p + "attn_k.bias", {kKvHeads * kHeadDim}, GgmlType::kF32, 0.5);
      add(p + "attn_v.bias", {kKvHeads * kHeadDim}, GgmlType::kF32, 0.5);
    }
    if (architecture == "qwen3") {
      add(p + "attn_q_norm.weight", {kHeadDim}, GgmlType::kF32, 1);
      add(p + "attn_k_norm.weight", {kHeadDim}, GgmlType::kF32, 1);
    }
    add(p + "attn_output.weight", {kHeads * kHeadDim, kHidden}, type, scale);
    add(p + "ffn_norm.weight", {kHidden}, GgmlType::kF32, 1);
    add(p + "ffn_gate.weight", {kHidden, kFfn}, type, scale);
    add(p + "ffn_up.weight", {kHidden, kFfn}, type, scale);
    add(p + "ffn_down.weight", {kFfn, kHidden}, type, scale);
  }

  Random random_;
  std::string path_;
  SampleFile file_;
};

std::vector<int32_t> random_tokens(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(kVocab));
  return tokens;
}

/// Logits of positions first.. : a prompt in two chunks, then one token a step.
std::vector<float> runner_logits(const std::string& path, SimdLevel level, const std::vector<int32_t>& tokens,
                                 int64_t first) {
  auto model = std::make_shared<Model>(path, RopeOptions(), level, 2);
  RunnerOptions options;
  options.max_batch_tokens = 16;
  Runner runner(model, options);
  Regions regions(runner.geometry(), 4, 64);
  runner.set_control_plane(regions.regions);
  auto sequence = runner.make_sequence();
  std::vector<float> logits;
  const auto step = [&](int64_t begin, int64_t count, bool decode) {
    runner.begin({{sequence, count, decode, false, 0, true}}, tokens.data() + begin, count);
    for (int64_t layer = 0; layer < static_cast<int64_t>(kLayers); ++layer) {
      runner.project(layer);
      runner.attend(layer);
    }
    runner.finish();
    if (begin + count > first) logits.insert(logits.end(), runner.logits(0), runner.logits(0) + kVocab);
  };
  step(0, 7, false);
  step(7, first + 1 - 7, false);
  for (int64_t t = first + 1; t < static_cast<int64_t>(tokens.size()); ++t) step(t, 1, true);
  return logits;
}

double relative_error(const std::vector<float>& actual, const std::vector<float>& expected) {
  CHECK(actual.size() == expected.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    difference += std::pow(static_cast<double>(actual[i] - expected[i]), 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / norm);
}

void compare(const std::string& architecture, GgmlType type, bool tied, SimdLevel level, double bound) {
  const RandomModel file(architecture, type, tied, 7 + static_cast<uint64_t>(type));
  const auto tokens = random_tokens(24, 3);
  const double error = relative_error(runner_logits(file.path(), level, tokens, 14), FloatForward(file.path(), 2).run(tokens, 14));
  if (!(error < bound)) {
    fail(__FILE__, __LINE__, architecture + " " + ggml_type_info(static_cast<uint32_t>(type))->name + ": relative error " + std::to_string(error));
  }
}

std::vector<SimdLevel> levels() {
  std::vector<SimdLevel> all;
  for (SimdLevel level : {SimdLevel::kPortable, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    if (level <= detect_simd_level()) all.push_back(level);
  }
  return all;
}

}  // namespace

// Float weights meet float inputs: what is left is keys and values in f16. A pair rotated the wrong way, a norm left out or
// a bias on the wrong matrix gives errors near 1.
TEST(architectures_with_float_weights) {
  for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
    for (const bool tied : {true, false}) {
      for (const SimdLevel level : levels()) compare(architecture, GgmlType::kF32, tied, level, 2e-3);
    }
  }
}

// Inputs of quantised layers are int8 in blocks of 32: about 0.5 % a layer.
TEST(every_tensor_type) {
  for (const GgmlType type : {GgmlType::kF16, GgmlType::kBF16, GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4_1,
                              GgmlType::kQ5_0, GgmlType::kQ5_1, GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ6_K}) {
    for (const SimdLevel level : levels()) compare("llama", type, false, level, 3e-2);
  }
}

TEST(a_model_that_lacks_a_tensor_or_has_a_wrong_shape_is_refused) {
  const RandomModel file("llama", GgmlType::kF32, false, 1);
  std::ifstream in(file.path(), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const auto refusal = [&](const std::string& from, const std::string& to) {
    std::string spoiled = bytes;
    spoiled.replace(spoiled.find(from), from.size(), to);
    std::ofstream(file.path(), std::ios::binary) << spoiled;
    try {
      Model model(file.path(), RopeOptions(), SimdLevel::kPortable, 1);
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(refusal("blk.1.ffn_up.weight", "blk.1.ffn_xx.weight").find("blk.1.ffn_up.weight is missing") != std::string::npos);
  CHECK(refusal("llama.block_count", "llama.block_xxxxx").find("llama.block_count") != std::string::npos);
  std::string architecture = refusal("general.architecture\x08", "general.architecturE\x08");
  CHECK(architecture.find("general.architecture") != std::string::npos);
}

TEST_MAIN()
