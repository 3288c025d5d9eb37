#include "runner.h"

#include <cmath>
#include <stdexcept>
#include <string>

namespace wavekv {
namespace {

KvGeometry make_geometry(const ModelConfig& config, const RunnerOptions& options) {
  KvGeometry geometry{};
  geometry.num_layers = config.num_layers;
  geometry.num_kv_heads = config.num_kv_heads;
  geometry.group_size = config.group_size();
  geometry.head_dim = config.head_dim;
  geometry.index = options.index;
  geometry.kv_type = options.kv_type;
  geometry.max_clusters = max_clusters_per_row(options.index);
  geometry.tail_capacity = options.index.segment_tokens + options.index.local_window + options.max_batch_tokens;
  return geometry;
}

void check_options(const RunnerOptions& options) {
  const auto require = [](bool condition, const char* what) {
    if (!condition) throw std::runtime_error(what);
  };
  require(options.index.segment_tokens >= 64 && options.index.segment_tokens <= 32768,
          "segment tokens must be 64 to 32768");
  require(options.index.local_window >= 1 && options.index.local_window <= 65536, "local window must be 1 to 65536");
  require(options.index.sink_tokens >= 0 && options.index.sink_tokens <= 32, "sink tokens must be 0 to 32");
  require(options.index.query_metric >= 0 && options.index.query_metric <= 1, "query metric must be 0 to 1");
  require(options.index.clustering.iterations >= 1 && options.index.clustering.iterations <= 50,
          "clustering iterations must be 1 to 50");
  require(options.index.clustering.tokens_per_cluster >= 2 && options.index.clustering.tokens_per_cluster <= 32,
          "tokens per cluster must be 2 to 32");
  require(options.index.clustering.max_cluster_size >= options.index.clustering.tokens_per_cluster &&
              options.index.clustering.max_cluster_size <= 32,
          "the cluster size cap must be tokens per cluster to 32");
  require(options.wave.estimation_budget >= 0 && options.wave.estimation_budget <= 1,
          "estimation budget must be 0 to 1");
  require(options.wave.variance_term >= 0 && options.wave.variance_term <= 1, "variance term must be 0 to 1");
  require(options.wave.min_clusters >= 1, "the floor of retrieved clusters must be at least 1");
  require(options.max_batch_tokens >= 1 && options.max_batch_tokens <= 8192, "batch tokens must be 1 to 8192");
  require(options.block_cache_blocks >= 0, "block cache blocks must not be negative");
}

RunnerOptions checked(const RunnerOptions& options) {
  check_options(options);
  return options;
}

}  // namespace

Runner::Runner(std::shared_ptr<Model> model, const RunnerOptions& options)
    : model_(std::move(model)),
      geometry_(make_geometry(model_->config, checked(options))),
      options_(options),
      block_cache_(options.block_cache_blocks, geometry_),
      prefill_(geometry_, model_->kernels, model_->pool),
      activations_(make_activations()) {
  const ModelConfig& config = model_->config;
  const auto floats = [&](std::vector<float>& buffer, int64_t width) {
    buffer.resize(static_cast<size_t>(options.max_batch_tokens * width));
  };
  floats(angles_, config.rope_dim);
  floats(hidden_, config.hidden_dim);
  floats(normed_, config.hidden_dim);
  floats(queries_, config.num_heads * config.head_dim);
  floats(keys_, config.num_kv_heads * config.head_dim);
  floats(values_, config.num_kv_heads * config.head_dim);
  floats(attended_, config.num_heads * config.head_dim);
  floats(gate_, config.ffn_dim);
  floats(up_, config.ffn_dim);
}

void Runner::set_wave_options(const WaveOptions& options) {
  RunnerOptions changed = options_;
  changed.wave = options;
  check_options(changed);
  options_ = changed;
  if (decode_) decode_->set_options(options);
}

void Runner::set_control_plane(const ControlPlaneRegions& regions) {
  regions_ = regions;
  decode_ = std::make_unique<DecodeAttention>(geometry_, options_.wave, regions_, block_cache_, model_->kernels,
                                              model_->pool);
}

void Runner::begin(std::vector<BatchEntry> entries, const int32_t* tokens, int64_t num_tokens) {
  clock_.start();
  const ModelConfig& config = model_->config;
  if (decode_ == nullptr) throw std::runtime_error("the runner has no control plane yet");
  int64_t total = 0;
  bool wave_allowed = true;
  std::vector<DecodeEntry> decodes;
  std::vector<int64_t> first_token, logits_row;
  int64_t num_logits = 0;
  for (BatchEntry& entry : entries) {
    if (entry.num_tokens < 1 || entry.num_tokens > entry.sequence->tail_room()) {
      throw std::runtime_error("a step of " + std::to_string(entry.num_tokens) + " tokens does not fit the tail (" +
                               std::to_string(entry.sequence->tail_room()) + " free)");
    }
    entry.wave = entry.wave && entry.decode && !entry.sequence->segments().empty();
    if (entry.wave && !wave_allowed) throw std::runtime_error("wave entries must come first in a batch");
    wave_allowed = entry.wave;
    if (entry.decode && entry.num_tokens != 1) throw std::runtime_error("a decode entry has one token");
    if (entry.decode) decodes.push_back({entry.sequence.get(), total, entry.wave, entry.retrieval_budget});
    first_token.push_back(total);
    logits_row.push_back(entry.wants_logits ? num_logits++ : -1);
    total += entry.num_tokens;
  }
  if (total != num_tokens || total < 1 || total > options_.max_batch_tokens) {
    throw std::runtime_error("a batch of " + std::to_string(total) + " tokens (" + std::to_string(num_tokens) +
                             " given) is not within 1 to " + std::to_string(options_.max_batch_tokens));
  }
  for (int64_t i = 0; i < num_tokens; ++i) {
    if (tokens[i] < 0 || tokens[i] >= config.vocab_size) {
      throw std::runtime_error("token id " + std::to_string(tokens[i]) + " is outside the vocabulary of " +
                               std::to_string(config.vocab_size));
    }
  }
  decode_->begin(std::move(decodes));
  entries_ = std::move(entries);
  first_token_ = std::move(first_token);
  logits_row_ = std::move(logits_row);
  num_tokens_ = num_tokens;
  logits_.resize(static_cast<size_t>(num_logits * config.vocab_size));

  std::vector<int64_t> positions;
  for (const BatchEntry& entry : entries_) {
    for (int64_t t = 0; t < entry.num_tokens; ++t) positions.push_back(entry.sequence->num_tokens() + t);
  }
  model_->pool.parallel_for(num_tokens, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      model_->weights.embed(tokens[t], hidden_.data() + t * config.hidden_dim);
      model_->rope_table.angles(positions[static_cast<size_t>(t)], angles_.data() + t * config.rope_dim);
    }
  });
  clock_.lap(Phase::kBegin);
}

void Runner::project(int64_t layer) {
  clock_.lap(Phase::kControlPlane);
  const ModelConfig& config = model_->config;
  const Kernels& kernels = model_->kernels;
  ThreadPool& pool = model_->pool;
  const LayerWeights& weights = model_->weights.layer(layer);
  const int64_t query_dim = config.num_heads * config.head_dim;
  const int64_t kv_dim = config.num_kv_heads * config.head_dim;

  pool.parallel_for(num_tokens_, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      kernels.rms_norm(hidden_.data() + t * config.hidden_dim, weights.attention_norm.data(), config.rms_epsilon,
                       config.hidden_dim, normed_.data() + t * config.hidden_dim);
    }
  });
  prepare_activations(normed_.data(), config.hidden_dim, num_tokens_, config.hidden_dim, *activations_, kernels, pool);
  const auto bias = [](const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); };
  const LinearTask tasks[] = {
      {weights.query.get(), queries_.data(), query_dim, bias(weights.query_bias), false},
      {weights.key.get(), keys_.data(), kv_dim, bias(weights.key_bias), false},
      {weights.value.get(), values_.data(), kv_dim, bias(weights.value_bias), false},
  };
  linear_group(tasks, 3, *activations_, kernels, pool);

  const float scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim));
  const auto norm_heads = [&](float* heads, int64_t count, const std::vector<float>& weight) {
    for (int64_t h = 0; h < count && !weight.empty(); ++h) {
      float* head = heads + h * config.head_dim;
      kernels.rms_norm(head, weight.data(), config.rms_epsilon, config.head_dim, head);
    }
  };
  pool.parallel_for(num_tokens_, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      float* query = queries_.data() + t * query_dim;
      float* key = keys_.data() + t * kv_dim;
      const float* angles = angles_.data() + t * config.rope_dim;
      norm_heads(query, config.num_heads, weights.query_norm);
      norm_heads(key, config.num_kv_heads, weights.key_norm);
      kernels.rope(query, config.num_heads, config.head_dim, angles, config.rope_dim, config.rope_neox);
      kernels.rope(key, config.num_kv_heads, config.head_dim, angles, config.rope_dim, config.rope_neox);
      for (int64_t i = 0; i < query_dim; ++i) query[i] *= scale;
    }
  });
  append_keys_and_values(layer);
  clock_.lap(Phase::kProject);
}

void Runner::append_keys_and_values(int64_t layer) {
  const Kernels& kernels = model_->kernels;
  const int64_t dim = geometry_.head_dim, heads = geometry_.num_kv_heads, group = geometry_.group_size;
  const bool metric = geometry_.index.query_metric > 0;
  for (size_t e = 0; e < entries_.size(); ++e) {
    Sequence& sequence = *entries_[e].sequence;
    const int64_t grain = entries_[e].num_tokens < 16 ? heads : 1;  // a decode token is not worth waking a thread for
    model_->pool.parallel_for(heads, grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t head = begin; head < end; ++head) {
        const int64_t row = geometry_.row(layer, head);
        for (int64_t t = 0; t < entries_[e].num_tokens; ++t) {
          const int64_t source = (first_token_[e] + t) * heads + head;
          const int64_t target = (sequence.tail_tokens() + t) * dim;
          kernels.to_f16(keys_.data() + source * dim, sequence.tail_keys(row) + target, dim);
          kernels.to_f16(values_.data() + source * dim, sequence.tail_values(row) + target, dim);
          const float* q = queries_.data() + source * group * dim;
          float* squares = sequence.query_squares(row);
          for (int64_t i = 0; metric && i < group * dim; ++i) squares[i % dim] += q[i] * q[i];
        }
      }
    });
  }
}

void Runner::score(int64_t layer) {
  clock_.lap(Phase::kControlPlane);
  decode_->score(layer, queries_.data());
  clock_.lap(Phase::kScore);
  decode_->choose(layer);
  clock_.lap(Phase::kChoose);
}

void Runner::attend(int64_t layer) {
  const ModelConfig& config = model_->config;
  const int64_t query_dim = config.num_heads * config.head_dim;
  clock_.lap(Phase::kControlPlane);
  decode_->attend(layer, queries_.data());
  clock_.lap(Phase::kAttend);
  decode_->merge(attended_.data());
  clock_.lap(Phase::kMerge);
  for (size_t e = 0; e < entries_.size(); ++e) {
    if (entries_[e].decode) continue;
    const int64_t offset = first_token_[e] * query_dim;
    prefill_.run(*entries_[e].sequence, layer, entries_[e].num_tokens, queries_.data() + offset,
                 attended_.data() + offset);
  }
  clock_.lap(Phase::kPrefill);
  prepare_activations(attended_.data(), query_dim, num_tokens_, query_dim, *activations_, model_->kernels,
                      model_->pool);
  linear(*model_->weights.layer(layer).output, *activations_, hidden_.data(), config.hidden_dim, nullptr, true,
         model_->kernels, model_->pool);
  clock_.lap(Phase::kOutput);
  feed_forward(layer);
  clock_.lap(Phase::kFeedForward);
}

void Runner::feed_forward(int64_t layer) {
  const ModelConfig& config = model_->config;
  const Kernels& kernels = model_->kernels;
  ThreadPool& pool = model_->pool;
  const LayerWeights& weights = model_->weights.layer(layer);
  pool.parallel_for(num_tokens_, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      kernels.rms_norm(hidden_.data() + t * config.hidden_dim, weights.ffn_norm.data(), config.rms_epsilon,
                       config.hidden_dim, normed_.data() + t * config.hidden_dim);
    }
  });
  prepare_activations(normed_.data(), config.hidden_dim, num_tokens_, config.hidden_dim, *activations_, kernels, pool);
  const LinearTask tasks[] = {{weights.gate.get(), gate_.data(), config.ffn_dim, nullptr, false},
                              {weights.up.get(), up_.data(), config.ffn_dim, nullptr, false}};
  linear_group(tasks, 2, *activations_, kernels, pool);
  pool.parallel_for(num_tokens_, 4, [&](int64_t begin, int64_t end, int) {
    kernels.swiglu(gate_.data() + begin * config.ffn_dim, up_.data() + begin * config.ffn_dim,
                   (end - begin) * config.ffn_dim);
  });
  prepare_activations(gate_.data(), config.ffn_dim, num_tokens_, config.ffn_dim, *activations_, kernels, pool);
  linear(*weights.down, *activations_, hidden_.data(), config.hidden_dim, nullptr, true, kernels, pool);
}

void Runner::finish() {
  clock_.lap(Phase::kControlPlane);
  const ModelConfig& config = model_->config;
  const Kernels& kernels = model_->kernels;
  int64_t rows = 0;
  for (size_t e = 0; e < entries_.size(); ++e) {
    if (logits_row_[e] < 0) continue;
    const int64_t last = first_token_[e] + entries_[e].num_tokens - 1;
    kernels.rms_norm(hidden_.data() + last * config.hidden_dim, model_->weights.final_norm().data(),
                     config.rms_epsilon, config.hidden_dim, normed_.data() + rows++ * config.hidden_dim);
  }
  if (rows > 0) {
    prepare_activations(normed_.data(), config.hidden_dim, rows, config.hidden_dim, *activations_, kernels,
                        model_->pool);
    linear(model_->weights.head(), *activations_, logits_.data(), config.vocab_size, nullptr, false, kernels,
           model_->pool);
  }
  for (BatchEntry& entry : entries_) entry.sequence->advance(entry.num_tokens);
  clock_.lap(Phase::kFinish);
}

const float* Runner::logits(int64_t entry) const {
  if (entry < 0 || entry >= static_cast<int64_t>(logits_row_.size()) || logits_row_[static_cast<size_t>(entry)] < 0) {
    throw std::runtime_error("entry " + std::to_string(entry) + " of the batch has no logits");
  }
  return logits_.data() + logits_row_[static_cast<size_t>(entry)] * model_->config.vocab_size;
}

std::shared_ptr<Segment> Runner::build_segment(Sequence& sequence, int64_t slot) {
  if (regions_.ingest == nullptr) throw std::runtime_error("the runner has no control plane yet");
  return sequence.build_segment(slot, regions_.ingest, model_->kernels, model_->pool);
}

void Runner::admit(int64_t num_admissions) {
  for (int64_t i = 0; i < num_admissions; ++i) {
    const uint32_t* entry = regions_.admissions + i * 9;  // handle, slot, row, start, count, blocks[4]
    const Segment* segment = decode_->segment_in_slot(entry[1]);
    if (segment == nullptr) {
      throw std::runtime_error("admission of a cluster in segment slot " + std::to_string(entry[1]) +
                               ", which is not in the batch");
    }
    const int64_t row = entry[2], start = entry[3], count = entry[4];
    for (int64_t done = 0; done < count; done += kBlockTokens) {
      const int64_t left = count - done;
      block_cache_.fill(entry[5 + done / kBlockTokens],
                        segment->range(row, start + done, left < kBlockTokens ? left : kBlockTokens));
    }
  }
}

}  // namespace wavekv
