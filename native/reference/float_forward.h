#pragma once
// A plain float32 forward pass over the dequantised weights, independent of the runner and its kernels: what a model file
// means. Slow on purpose; faithful.test.ts and test_forward.cpp measure against it.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gguf.h"

namespace wavekv_reference {

using namespace wavekv;

using Floats = std::vector<float>;

#if defined(__x86_64__)
#define FAST_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FAST_CLONES
#endif

constexpr int64_t kLanes = 16, kBlock = 256, kTile = 4;

/// Products of one row with kTile vectors, `stride` floats apart: f32 within a block of 256, double across blocks.
FAST_CLONES inline void dot_tile(const float* row, const float* vectors, int64_t stride, int64_t size, double* sums) {
  for (int64_t t = 0; t < kTile; ++t) sums[t] = 0;
  for (int64_t start = 0; start < size; start += kBlock) {
    const int64_t end = std::min(size, start + kBlock);
    const int64_t whole = start + (end - start) / kLanes * kLanes;
    float lanes[kTile][kLanes] = {};
    for (int64_t i = start; i < whole; i += kLanes) {
      for (int64_t t = 0; t < kTile; ++t) {
        for (int64_t lane = 0; lane < kLanes; ++lane) lanes[t][lane] += row[i + lane] * vectors[t * stride + i + lane];
      }
    }
    for (int64_t t = 0; t < kTile; ++t) {
      for (const float value : lanes[t]) sums[t] += value;
      for (int64_t i = whole; i < end; ++i) sums[t] += static_cast<double>(row[i]) * vectors[t * stride + i];
    }
  }
}

inline double dot(const float* a, const float* b, int64_t size) {
  double sum = 0;
  for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// out[i] = x[i] / rms(x) * weight[i]; x and out: [size], may be the same.
inline void rms_norm(const float* x, const Floats& weight, double epsilon, float* out) {
  const auto size = static_cast<int64_t>(weight.size());
  const double scale = 1.0 / std::sqrt(dot(x, x, size) / static_cast<double>(size) + epsilon);
  for (int64_t i = 0; i < size; ++i) out[i] = static_cast<float>(x[i] * scale * weight[static_cast<size_t>(i)]);
}

class FloatForward {
 public:
  FloatForward(const std::string& path, int num_threads) : file_(path), num_threads_(num_threads) {
    architecture_ = file_.string("general.architecture");
    if (architecture_ != "llama" && architecture_ != "qwen2" && architecture_ != "qwen3") {
      throw std::runtime_error(path + ": no reference for architecture " + architecture_);
    }
    const std::string prefix = architecture_ + ".";
    if (file_.find(prefix + "rope.scaling.type") != nullptr && file_.string(prefix + "rope.scaling.type") != "none") {
      throw std::runtime_error(path + ": no reference for scaled RoPE");
    }
    num_layers_ = file_.integer(prefix + "block_count");
    hidden_dim_ = file_.integer(prefix + "embedding_length");
    num_heads_ = file_.integer(prefix + "attention.head_count");
    num_kv_heads_ = file_.integer_or(prefix + "attention.head_count_kv", num_heads_);
    head_dim_ = file_.integer_or(prefix + "attention.key_length", hidden_dim_ / num_heads_);
    rope_dim_ = file_.integer_or(prefix + "rope.dimension_count", head_dim_);
    rope_theta_ = file_.number_or(prefix + "rope.freq_base", 10000.0);
    epsilon_ = file_.number_or(prefix + "attention.layer_norm_rms_epsilon", 1e-5);
    rope_factors_ = vector_or_empty("rope_freqs.weight");
  }

  int64_t vocab_size() const { return tensor("token_embd.weight").shape[1]; }

  /// Logits of positions first.. : [numTokens - first, vocabSize]
  Floats run(const std::vector<int32_t>& tokens, int64_t first) {
    num_tokens_ = static_cast<int64_t>(tokens.size());
    Floats hidden = embed(tokens);  // [token, hiddenDim]
    for (int64_t layer = 0; layer < num_layers_; ++layer) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      add(hidden, attention(prefix, norm_all(hidden, vector(prefix + "attn_norm.weight"))));
      add(hidden, feed_forward(prefix, norm_all(hidden, vector(prefix + "ffn_norm.weight"))));
    }
    hidden.erase(hidden.begin(), hidden.begin() + first * hidden_dim_);
    const Floats normed = norm_all(hidden, vector("output_norm.weight"));
    return linear(file_.find_tensor("output.weight") ? "output.weight" : "token_embd.weight", normed, Floats());
  }

 private:
  const GgufTensor& tensor(const std::string& name) const {
    const GgufTensor* found = file_.find_tensor(name);
    if (found == nullptr) throw std::runtime_error(file_.path() + ": tensor " + name + " is missing");
    return *found;
  }

  Floats vector_or_empty(const std::string& name) const {
    const GgufTensor* found = file_.find_tensor(name);
    Floats values(found == nullptr ? 0 : static_cast<size_t>(found->shape[0]));
    if (found != nullptr) dequantize(found->type, found->data, found->shape[0], values.data());
    return values;
  }

  Floats vector(const std::string& name) const {
    tensor(name);
    return vector_or_empty(name);
  }

  template <typename Body>
  void parallel(int64_t count, int64_t grain, Body&& body) const {
    std::atomic<int64_t> next{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < num_threads_; ++i) {
      threads.emplace_back([&] {
        for (int64_t begin; (begin = next.fetch_add(grain)) < count;) body(begin, std::min(count, begin + grain));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  Floats embed(const std::vector<int32_t>& tokens) const {
    const GgufTensor& table = tensor("token_embd.weight");
    const int64_t row_bytes = table.size_bytes / table.shape[1];
    Floats hidden(tokens.size() * static_cast<size_t>(hidden_dim_));
    for (size_t t = 0; t < tokens.size(); ++t) {
      if (tokens[t] < 0 || tokens[t] >= table.shape[1]) {
        throw std::runtime_error("token id " + std::to_string(tokens[t]) + " is outside the vocabulary");
      }
      dequantize(table.type, table.data + tokens[t] * row_bytes, hidden_dim_, hidden.data() + t * hidden_dim_);
    }
    return hidden;
  }

  Floats norm_all(const Floats& hidden, const Floats& weight) const {
    Floats out(hidden.size());
    for (size_t at = 0; at < hidden.size(); at += weight.size()) {
      rms_norm(hidden.data() + at, weight, epsilon_, out.data() + at);
    }
    return out;
  }

  /// in: [count, cols] -> [count, rows], with the tensor's rows dequantised one at a time.
  Floats linear(const std::string& name, const Floats& in, const Floats& bias) const {
    const GgufTensor& weight = tensor(name);
    const int64_t cols = weight.shape[0], rows = weight.shape[1], row_bytes = weight.size_bytes / rows;
    const int64_t count = static_cast<int64_t>(in.size()) / cols;
    const int64_t padded = (count + kTile - 1) / kTile * kTile;
    Floats vectors(in);
    vectors.resize(static_cast<size_t>(padded * cols));
    Floats out(static_cast<size_t>(count * rows));
    parallel(rows, 16, [&](int64_t begin, int64_t end) {
      Floats row(static_cast<size_t>(cols));
      for (int64_t r = begin; r < end; ++r) {
        dequantize(weight.type, weight.data + r * row_bytes, cols, row.data());
        const double offset = bias.empty() ? 0.0 : bias[static_cast<size_t>(r)];
        for (int64_t t = 0; t < count; t += kTile) {
          double sums[kTile];
          dot_tile(row.data(), vectors.data() + t * cols, cols, cols, sums);
          for (int64_t i = 0; i < kTile && t + i < count; ++i) {
            out[static_cast<size_t>((t + i) * rows + r)] = static_cast<float>(sums[i] + offset);
          }
        }
      }
    });
    return out;
  }

  /// Queries or keys [token, numHeads * headDim]: norm of each head where the model has one, then rotation by position.
  void norm_and_rotate(Floats& heads, int64_t num_heads, const Floats& weight) const {
    const int64_t half = rope_dim_ / 2;
    const bool interleaved = architecture_ == "llama";  // pairs (2i, 2i + 1); the others pair (i, i + ropeDim / 2)
    parallel(num_tokens_, 8, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        for (int64_t h = 0; h < num_heads; ++h) {
          float* head = heads.data() + (t * num_heads + h) * head_dim_;
          if (!weight.empty()) rms_norm(head, weight, epsilon_, head);
          for (int64_t i = 0; i < half; ++i) {
            const double factor = rope_factors_.empty() ? 1.0 : rope_factors_[static_cast<size_t>(i)];
            const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(rope_dim_);
            const double angle = static_cast<double>(t) * std::pow(rope_theta_, exponent) / factor;
            float& a = head[interleaved ? 2 * i : i];
            float& b = head[interleaved ? 2 * i + 1 : i + half];
            const double turned_a = a * std::cos(angle) - b * std::sin(angle);
            const double turned_b = a * std::sin(angle) + b * std::cos(angle);
            a = static_cast<float>(turned_a);
            b = static_cast<float>(turned_b);
          }
        }
      }
    });
  }

  /// normed: [token, hiddenDim] -> the block's output, same shape
  Floats attention(const std::string& prefix, const Floats& normed) const {
    const auto projected = [&](const char* name) {
      return linear(prefix + name + ".weight", normed, vector_or_empty(prefix + name + ".bias"));
    };
    Floats queries = projected("attn_q"), keys = projected("attn_k");
    const Floats values = projected("attn_v");
    norm_and_rotate(queries, num_heads_, vector_or_empty(prefix + "attn_q_norm.weight"));
    norm_and_rotate(keys, num_kv_heads_, vector_or_empty(prefix + "attn_k_norm.weight"));
    Floats attended(queries.size());
    parallel(num_tokens_ * num_heads_, 16, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; ++at) {
        attend_head(at / num_heads_, at % num_heads_, queries, keys, values, attended);
      }
    });
    return linear(prefix + "attn_output.weight", attended, Floats());
  }

  void attend_head(int64_t token, int64_t head, const Floats& queries, const Floats& keys, const Floats& values,
                   Floats& attended) const {
    const int64_t kv_head = head / (num_heads_ / num_kv_heads_);
    const auto kv_offset = [&](int64_t t) { return (t * num_kv_heads_ + kv_head) * head_dim_; };
    const int64_t offset = (token * num_heads_ + head) * head_dim_;
    std::vector<double> scores;  // [token + 1]
    for (int64_t t = 0; t <= token; ++t) {
      const double product = dot(queries.data() + offset, keys.data() + kv_offset(t), head_dim_);
      scores.push_back(product / std::sqrt(static_cast<double>(head_dim_)));
    }
    const double maximum = *std::max_element(scores.begin(), scores.end());
    std::vector<double> sums(static_cast<size_t>(head_dim_));
    double mass = 0;
    for (int64_t t = 0; t <= token; ++t) {
      const double weight = std::exp(scores[static_cast<size_t>(t)] - maximum);
      mass += weight;
      for (int64_t i = 0; i < head_dim_; ++i) {
        sums[static_cast<size_t>(i)] += weight * values[static_cast<size_t>(kv_offset(t) + i)];
      }
    }
    for (int64_t i = 0; i < head_dim_; ++i) {
      attended[static_cast<size_t>(offset + i)] = static_cast<float>(sums[static_cast<size_t>(i)] / mass);
    }
  }

  Floats feed_forward(const std::string& prefix, const Floats& normed) const {
    Floats gate = linear(prefix + "ffn_gate.weight", normed, Floats());
    const Floats up = linear(prefix + "ffn_up.weight", normed, Floats());
    for (size_t i = 0; i < gate.size(); ++i) {
      const double x = gate[i];
      gate[i] = static_cast<float>(x / (1.0 + std::exp(-x)) * up[i]);
    }
    return linear(prefix + "ffn_down.weight", gate, Floats());
  }

  static void add(Floats& sum, const Floats& term) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += term[i];
  }

  GgufFile file_;
  int num_threads_;
  std::string architecture_;
  int64_t num_layers_ = 0, hidden_dim_ = 0, num_heads_ = 0, num_kv_heads_ = 0, head_dim_ = 0, rope_dim_ = 0;
  int64_t num_tokens_ = 0;
  double rope_theta_ = 0, epsilon_ = 0;
  Floats rope_factors_;  // [ropeDim / 2] or empty
};

}  // namespace wavekv_reference
