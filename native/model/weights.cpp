#include "weights.h"

#include <stdexcept>

namespace wavekv {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace

const GgufTensor& Weights::tensor(const std::string& name, const std::vector<int64_t>& shape) const {
  const GgufTensor* found = file_->find_tensor(name);
  if (found == nullptr) throw std::runtime_error(file_->path() + ": tensor " + name + " is missing");
  if (found->shape != shape) {
    throw std::runtime_error(file_->path() + ": tensor " + name + " has shape " + shape_text(found->shape) +
                             ", expected " + shape_text(shape));
  }
  return *found;
}

std::shared_ptr<PackedMatrix> Weights::matrix(const std::string& name, int64_t rows, int64_t cols, ThreadPool& pool) {
  const GgufTensor& found = tensor(name, {cols, rows});
  auto packed = pack_matrix(found.type, found.data, rows, cols, pool);
  packed_size_bytes_ += packed_bytes(*packed);
  return packed;
}

std::vector<float> Weights::vector(const std::string& name, int64_t size) const {
  const GgufTensor& found = tensor(name, {size});
  std::vector<float> values(static_cast<size_t>(size));
  dequantize(found.type, found.data, size, values.data());
  return values;
}

std::vector<float> Weights::vector_or_empty(const std::string& name, int64_t size) const {
  return file_->find_tensor(name) == nullptr ? std::vector<float>() : vector(name, size);
}

LayerWeights Weights::load_layer(int64_t index, const ModelConfig& config, ThreadPool& pool) {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  const int64_t hidden = config.hidden_dim;
  const int64_t query_dim = config.num_heads * config.head_dim;
  const int64_t kv_dim = config.num_kv_heads * config.head_dim;
  LayerWeights layer;
  layer.attention_norm = vector(prefix + "attn_norm.weight", hidden);
  layer.query = matrix(prefix + "attn_q.weight", query_dim, hidden, pool);
  layer.key = matrix(prefix + "attn_k.weight", kv_dim, hidden, pool);
  layer.value = matrix(prefix + "attn_v.weight", kv_dim, hidden, pool);
  layer.query_bias = vector_or_empty(prefix + "attn_q.bias", query_dim);
  layer.key_bias = vector_or_empty(prefix + "attn_k.bias", kv_dim);
  layer.value_bias = vector_or_empty(prefix + "attn_v.bias", kv_dim);
  layer.query_norm = vector_or_empty(prefix + "attn_q_norm.weight", config.head_dim);
  layer.key_norm = vector_or_empty(prefix + "attn_k_norm.weight", config.head_dim);
  layer.output = matrix(prefix + "attn_output.weight", hidden, query_dim, pool);
  layer.ffn_norm = vector(prefix + "ffn_norm.weight", hidden);
  layer.gate = matrix(prefix + "ffn_gate.weight", config.ffn_dim, hidden, pool);
  layer.up = matrix(prefix + "ffn_up.weight", config.ffn_dim, hidden, pool);
  layer.down = matrix(prefix + "ffn_down.weight", hidden, config.ffn_dim, pool);
  return layer;
}

Weights::Weights(std::shared_ptr<GgufFile> file, const ModelConfig& config, ThreadPool& pool) : file_(std::move(file)) {
  embedding_ = file_->find_tensor("token_embd.weight");
  if (embedding_ == nullptr || embedding_->shape.size() != 2 || embedding_->shape[0] != config.hidden_dim) {
    throw std::runtime_error(file_->path() + ": token_embd.weight is missing or not [" +
                             std::to_string(config.hidden_dim) + ", vocabulary]");
  }
  vocab_size_ = embedding_->shape[1];
  final_norm_ = vector("output_norm.weight", config.hidden_dim);
  rope_frequency_factors_ = vector_or_empty("rope_freqs.weight", config.rope_dim / 2);
  const bool tied = file_->find_tensor("output.weight") == nullptr;
  head_ = matrix(tied ? "token_embd.weight" : "output.weight", vocab_size_, config.hidden_dim, pool);
  layers_.reserve(static_cast<size_t>(config.num_layers));
  for (int64_t index = 0; index < config.num_layers; ++index) layers_.push_back(load_layer(index, config, pool));
}

void Weights::embed(int32_t token, float* out) const {
  const int64_t row_bytes = embedding_->size_bytes / vocab_size_;
  dequantize(embedding_->type, embedding_->data + token * row_bytes, embedding_->shape[0], out);
}

}  // namespace wavekv
