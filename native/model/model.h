#pragma once
#include <memory>
#include <string>

#include "gguf.h"
#include "kernels.h"
#include "model_config.h"
#include "thread_pool.h"
#include "weights.h"

namespace wavekv {

/// A loaded model and what runs it: weights, kernels of one SIMD level and a thread pool. Runs one forward pass at a time.
class Model {
 public:
  Model(const std::string& path, const RopeOptions& rope, SimdLevel level, int num_threads)
      : pool(num_threads),
        kernels(kernels_for(level)),
        file(std::make_shared<GgufFile>(path)),
        config(read_model_config(*file, rope)),
        weights(file, config, pool),
        rope_table(config, weights.rope_frequency_factors()) {
    config.vocab_size = weights.vocab_size();
  }

  ThreadPool pool;
  const Kernels& kernels;
  std::shared_ptr<GgufFile> file;
  ModelConfig config;
  Weights weights;
  RopeTable rope_table;
};

}  // namespace wavekv
