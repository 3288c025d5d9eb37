#pragma once
#include "roofline_result.h"

// Linear layers, at the shapes and types that the two models' files have.
namespace wavekv_bench {

constexpr int64_t kWeightBytes = int64_t{320} << 20;  // of copies of one matrix: each call's weights come from memory
constexpr int64_t kPrefillTokens = 256;

struct WeightShape {
  const char* type_name;
  wavekv::GgmlType type;
  int64_t rows, cols;
  const char* place;
};
constexpr WeightShape kWeightShapes[] = {
    {"Q4_1", wavekv::GgmlType::kQ4_1, 1536, 576, "SmolLM2 gate"},
    {"Q8_0", wavekv::GgmlType::kQ8_0, 49152, 576, "SmolLM2 head"},
    {"Q8_0", wavekv::GgmlType::kQ8_0, 151936, 896, "Qwen head"},
    {"Q5_0", wavekv::GgmlType::kQ5_0, 4864, 896, "Qwen gate"},
    {"Q4_K", wavekv::GgmlType::kQ4_K, 896, 4864, "Qwen down"},
    {"Q6_K", wavekv::GgmlType::kQ6_K, 896, 4864, "Qwen down"},
};

struct LinearBench {
  const wavekv::Kernels& kernels;
  wavekv::ThreadPool& one;
  wavekv::ThreadPool& two;

  /// One call a matrix; the timing is of all of them.
  Timing time_calls(const std::vector<std::shared_ptr<wavekv::PackedMatrix>>& copies, int64_t tokens, int runs,
                    wavekv::ThreadPool& pool) const {
    const int64_t rows = wavekv::packed_rows(*copies[0]), cols = wavekv::packed_cols(*copies[0]);
    wavekv::HugeBuffer y(tokens * rows * 4);
    const std::vector<float> x = random_floats(tokens * cols, 1.0f);
    const auto inputs = wavekv::make_activations();
    wavekv::prepare_activations(x.data(), cols, tokens, cols, *inputs, kernels, pool);
    return median_timing(runs, [&] {
      for (const auto& w : copies) wavekv::linear(*w, *inputs, y.as<float>(), rows, nullptr, false, kernels, pool);
    });
  }

  void time_tokens(const WeightShape& w, const std::vector<std::shared_ptr<wavekv::PackedMatrix>>& copies,
                   int64_t tokens, wavekv::ThreadPool& pool) const {
    const bool prefill = tokens == kPrefillTokens;
    const std::string kernel = prefill ? "GEMM" : tokens == 1 ? "GEMV" : "small GEMM";
    const std::string shape = text(tokens) + " x [" + text(w.rows) + ", " + text(w.cols) + "] " + w.place;
    const double bytes = prefill ? 0 : static_cast<double>(wavekv::packed_bytes(*copies[0]));
    const KernelResult result = {prefill ? "prefill" : "decode", kernel + " " + w.type_name, shape, pool.num_threads(),
                                 bytes, 2.0 * static_cast<double>(tokens * w.rows * w.cols), "int8"};
    print_kernel(result, time_calls(copies, tokens, 5, pool), static_cast<double>(copies.size()));
  }

  void run() const {
    for (const WeightShape& w : kWeightShapes) {
      std::vector<std::shared_ptr<wavekv::PackedMatrix>> copies;
      do {
        copies.push_back(weight_matrix(w.type, w.rows, w.cols, two));
      } while (static_cast<int64_t>(copies.size()) * wavekv::packed_bytes(*copies[0]) < kWeightBytes);
      time_tokens(w, copies, 1, one);
      if (two.num_threads() > 1) time_tokens(w, copies, 1, two);
      const bool head = w.rows > 16384;
      for (const int64_t tokens : {2, 4, 8, 16}) {
        if (!head) time_tokens(w, copies, tokens, one);
      }
      copies.resize(1);
      if (!head) time_tokens(w, copies, kPrefillTokens, one);
    }
  }
};

}  // namespace wavekv_bench
