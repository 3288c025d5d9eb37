#pragma once
#include "roofline_result.h"
#include "sampler.h"

// Clustering and sampling.
namespace wavekv_bench {

inline void time_clustering(const wavekv::Kernels& kernels) {
  constexpr int64_t kDim = 64;
  constexpr wavekv::ClusteringOptions kOptions{true, 5, 16, 32};
  for (const int64_t n : {512, 1024}) {
    uint16_t* keys = random_halves(n * kDim);
    const int32_t capacity = static_cast<int32_t>(n / 16 + n / 32 + 2);
    std::vector<uint16_t> sizes(static_cast<size_t>(capacity)), order(static_cast<size_t>(n));
    std::vector<uint16_t> centroids(static_cast<size_t>(capacity * kDim)), sums(centroids);
    std::vector<float> variances(static_cast<size_t>(capacity)), squares(static_cast<size_t>(kDim));
    std::vector<float> scratch(static_cast<size_t>(kernels.cluster_scratch_floats(n, kDim, capacity)));
    wavekv::RowClusters out = {0,           sizes.data(),     order.data(),  centroids.data(),
                               sums.data(), variances.data(), squares.data()};
    const Timing timing = median_timing(15, [&] {
      kernels.cluster_row(keys, keys, n, kDim, nullptr, kOptions, capacity, scratch.data(), out);
    });
    const double operations = 2.0 * kOptions.iterations * static_cast<double>(n * (n / 16) * kDim);
    print_kernel({"index build", "k-means", text(n) + " tokens, 5 iterations", 1, 0, operations, "f32"}, timing);
    std::free(keys);
  }
}

inline void time_sampling() {
  wavekv::Sampler sampler;
  for (const int64_t vocab : {49152, 151936}) {
    // A wide middle within 6 of 0 and twenty likely tokens from 7 to 16 on top, as a model's logits lie.
    std::vector<float> logits = random_floats(vocab, 3.0f);
    for (int64_t i = 0; i + 7 < vocab; ++i) logits[static_cast<size_t>(i)] += logits[static_cast<size_t>(i + 7)];
    for (int64_t i = 0; i < 20; ++i) logits[static_cast<size_t>(i * 1009)] = 16.0f - 0.45f * static_cast<float>(i);
    wavekv::SamplingOptions options;
    for (const bool greedy : {true, false}) {
      options.temperature = greedy ? 0.0f : 0.8f;
      options.top_p = greedy ? 1.0f : 0.95f;
      volatile int32_t sink = 0;
      const Timing timing = median_timing(15, [&] { sink = sampler.sample(logits.data(), vocab, options, 0.5); });
      print_kernel({"decode", greedy ? "sampling, greedy" : "sampling, top-p 0.95 at 0.8", text(vocab) + " logits", 1,
                    static_cast<double>(vocab) * 4, 0, "f32"},
                   timing);
    }
  }
}

}  // namespace wavekv_bench
