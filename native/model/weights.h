#pragma once
#include <memory>
#include <string>
#include <vector>

#include "gguf.h"
#include "linear.h"
#include "model_config.h"
#include "thread_pool.h"

namespace wavekv {

/// The weights of one transformer layer. Names in comments are those of the GGUF tensors.
struct LayerWeights {
  std::vector<float> attention_norm;            // [hiddenDim], attn_norm
  std::shared_ptr<PackedMatrix> query;          // [numHeads * headDim, hiddenDim], attn_q
  std::shared_ptr<PackedMatrix> key;            // [numKvHeads * headDim, hiddenDim], attn_k
  std::shared_ptr<PackedMatrix> value;          // [numKvHeads * headDim, hiddenDim], attn_v
  std::vector<float> query_bias, key_bias, value_bias;  // as the rows above, or empty
  std::vector<float> query_norm, key_norm;      // [headDim] (qwen3), or empty
  std::shared_ptr<PackedMatrix> output;         // [hiddenDim, numHeads * headDim], attn_output
  std::vector<float> ffn_norm;                  // [hiddenDim], ffn_norm
  std::shared_ptr<PackedMatrix> gate, up;       // [ffnDim, hiddenDim]
  std::shared_ptr<PackedMatrix> down;           // [hiddenDim, ffnDim]
};

/// A model's weights, repacked for the kernels. The embedding table stays in the file's mapping; a row is dequantised
/// when a token asks for it.
class Weights {
 public:
  Weights(std::shared_ptr<GgufFile> file, const ModelConfig& config, ThreadPool& pool);

  const LayerWeights& layer(int64_t index) const { return layers_[static_cast<size_t>(index)]; }
  const std::vector<float>& final_norm() const { return final_norm_; }
  const PackedMatrix& head() const { return *head_; }  // [vocabSize, hiddenDim]
  int64_t vocab_size() const { return vocab_size_; }
  const std::vector<float>& rope_frequency_factors() const { return rope_frequency_factors_; }
  int64_t packed_size_bytes() const { return packed_size_bytes_; }
  /// out: [hiddenDim]
  void embed(int32_t token, float* out) const;

 private:
  std::shared_ptr<PackedMatrix> matrix(const std::string& name, int64_t rows, int64_t cols, ThreadPool& pool);
  std::vector<float> vector(const std::string& name, int64_t size) const;
  std::vector<float> vector_or_empty(const std::string& name, int64_t size) const;
  const GgufTensor& tensor(const std::string& name, const std::vector<int64_t>& shape) const;
  LayerWeights load_layer(int64_t index, const ModelConfig& config, ThreadPool& pool);

  std::shared_ptr<GgufFile> file_;
  std::vector<LayerWeights> layers_;
  std::vector<float> final_norm_;
  std::vector<float> rope_frequency_factors_;
  std::shared_ptr<PackedMatrix> head_;
  const GgufTensor* embedding_ = nullptr;
  int64_t vocab_size_ = 0;
  int64_t packed_size_bytes_ = 0;
};

}  // namespace wavekv
