#pragma once
#include <cmath>

#include "bench_support.h"
#include "check.h"
#include "kv_geometry.h"

// Keys, values and queries of one layer that lie as a model's do: each head has an offset, a mean that drifts with
// the position, and topics. A token keeps its topic for a few tokens (a run), topics are drawn by Zipf's law, so that
// cluster sizes have a heavy tail, and a token's spread round its topic is log-normal.
//   key    = offset + drift(segment) + topic + spread * noise, + kNearness * anchor in the local window
//            offset 1, drift 0.5, topic 1, spread 0.6 * exp(0.3 n)
//   value  = 0.5 * topic's value + noise
//   query  = strength * (topic + anchor + 0.3 * noise), divided by sqrt(headDim); topic drawn evenly
//            strength kStrength * exp(0.25 n)
// where n and noise are standard normal and the scales are standard deviations an element. kStrength and kNearness are
// such that at 128K tokens the zones' shares of the attention mass are about those measured on real text.
namespace wavekv_bench {

constexpr int64_t kTopics = 512;
constexpr double kRunTokens = 6;  // mean length of a run
constexpr double kStrength = 1.05;
constexpr float kNearness = 0.87f;

class LongContextData {
 public:
  LongContextData(const wavekv::KvGeometry& g, int64_t num_segments, uint64_t seed)
      : geometry_(g), num_segments_(num_segments), noise_(static_cast<size_t>(kNoise)) {
    wavekv_test::Random random(seed);
    for (float& x : noise_) x = static_cast<float>(random.normal());
    const int64_t heads = g.num_kv_heads, dim = g.head_dim;
    topics_ = normals(random, heads * kTopics * dim);
    topic_values_ = normals(random, heads * kTopics * dim);
    anchors_ = normals(random, heads * dim);
    const std::vector<float> offsets = normals(random, heads * dim);
    means_.resize(static_cast<size_t>(heads * num_segments * dim));
    for (int64_t h = 0; h < heads; ++h) {
      std::vector<float> drift = normals(random, dim);
      for (int64_t s = 0; s < num_segments; ++s) {
        for (size_t d = 0; d < drift.size(); ++d) {
          const size_t at = static_cast<size_t>((h * num_segments + s) * dim) + d;
          means_[at] = offsets[static_cast<size_t>(h * dim) + d] + 0.5f * drift[d];
          drift[d] = 0.98f * drift[d] + 0.2f * static_cast<float>(random.normal());
        }
      }
    }
    double total = 0;
    for (int64_t t = 0; t < kTopics; ++t) zipf_.push_back(total += 1.0 / static_cast<double>(t + 1));
    for (double& x : zipf_) x /= total;
  }

  /// `count` tokens of a head in a segment, f16 [count, headDim] each; the same for the same arguments.
  /// nearness: 0, or kNearness in the local window.
  void fill(int64_t head, int64_t segment, int64_t count, float nearness, const wavekv::Kernels& kernels,
            uint16_t* keys, uint16_t* values) const {
    const int64_t dim = geometry_.head_dim;
    wavekv_test::Random random(static_cast<uint64_t>(1 + head * 100003 + segment * 17));
    const float* mean = means_.data() + (head * num_segments_ + segment % num_segments_) * dim;
    std::vector<float> x(static_cast<size_t>(dim));
    int64_t topic = 0;
    for (int64_t t = 0; t < count; ++t) {
      if (t == 0 || random.uniform() * kRunTokens < 1) topic = draw_topic(random);
      const int64_t row = (head * kTopics + topic) * dim;
      const float spread = 0.6f * std::exp(0.3f * static_cast<float>(random.normal()));
      const float* noise = draw_noise(random);
      for (int64_t d = 0; d < dim; ++d) {
        x[static_cast<size_t>(d)] = mean[d] + topics_[static_cast<size_t>(row + d)] + spread * noise[d] +
                                    nearness * anchors_[static_cast<size_t>(head * dim + d)];
      }
      kernels.to_f16(x.data(), keys + t * dim, dim);
      noise = draw_noise(random);
      for (int64_t d = 0; d < dim; ++d) {
        x[static_cast<size_t>(d)] = 0.5f * topic_values_[static_cast<size_t>(row + d)] + noise[d];
      }
      kernels.to_f16(x.data(), values + t * dim, dim);
    }
  }

  /// f32 [numHeads, headDim] of one step.
  std::vector<float> queries(int64_t step) const {
    const int64_t dim = geometry_.head_dim, heads = geometry_.num_kv_heads * geometry_.group_size;
    wavekv_test::Random random(static_cast<uint64_t>(9000 + step));
    std::vector<float> q;
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t topic = static_cast<int64_t>(random.uniform() * kTopics), kv_head = h / geometry_.group_size;
      const float* direction = topics_.data() + (kv_head * kTopics + topic) * dim;
      const float* anchor = anchors_.data() + kv_head * dim;
      const double strength = kStrength * std::exp(0.25 * random.normal()) / std::sqrt(static_cast<double>(dim));
      for (int64_t d = 0; d < dim; ++d) {
        const double wanted = static_cast<double>(direction[d] + anchor[d]);
        q.push_back(static_cast<float>(strength * (wanted + 0.3 * random.normal())));
      }
    }
    return q;
  }

 private:
  static constexpr int64_t kNoise = 1 << 20;  // a table of noise, read from a random place for each vector

  static std::vector<float> normals(wavekv_test::Random& random, int64_t n) {
    std::vector<float> x;
    for (int64_t i = 0; i < n; ++i) x.push_back(static_cast<float>(random.normal()));
    return x;
  }
  int64_t draw_topic(wavekv_test::Random& random) const {
    const auto at = std::lower_bound(zipf_.begin(), zipf_.end(), random.uniform());
    return std::min<int64_t>(at - zipf_.begin(), kTopics - 1);
  }
  const float* draw_noise(wavekv_test::Random& random) const {
    return noise_.data() + random.next() % static_cast<uint64_t>(kNoise - geometry_.head_dim);
  }

  wavekv::KvGeometry geometry_;
  int64_t num_segments_;
  std::vector<float> noise_;
  std::vector<float> topics_, topic_values_;  // [kvHead, topic, headDim]
  std::vector<float> anchors_;                // [kvHead, headDim]
  std::vector<float> means_;                  // [kvHead, segment, headDim]: offset and drift
  std::vector<double> zipf_;                  // [topic]: cumulative
};

}  // namespace wavekv_bench
