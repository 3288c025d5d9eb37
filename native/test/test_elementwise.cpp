#include <algorithm>
#include <vector>

#include "check.h"
#include "kernels.h"
#include "model_config.h"

using namespace wavekv;
using namespace wavekv_test;

namespace {

std::vector<const Kernels*> levels() {
  std::vector<const Kernels*> all;
  for (SimdLevel level : {SimdLevel::kPortable, SimdLevel::kAvx2, SimdLevel::kAvx512}) {
    if (level <= detect_simd_level()) all.push_back(&kernels_for(level));
  }
  return all;
}

std::vector<float> normal(int64_t n, uint64_t seed, double scale) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = static_cast<float>(scale * random.normal());
  return x;
}

}  // namespace

TEST(rms_norm_at_odd_sizes) {
  for (const Kernels* k : levels()) {
    for (int64_t n : {1, 7, 16, 33, 576}) {
      const auto x = normal(n, 1, 3), w = normal(n, 2, 1);
      std::vector<float> y(x.size());
      k->rms_norm(x.data(), w.data(), 1e-5f, n, y.data());
      double squares = 0;
      for (float v : x) squares += static_cast<double>(v) * static_cast<double>(v);
      const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
      for (size_t i = 0; i < x.size(); ++i) CHECK_NEAR(y[i], static_cast<double>(x[i] * w[i]) * scale, 1e-6, 1e-5);
    }
  }
}

TEST(swiglu_at_odd_sizes_and_extremes) {
  for (const Kernels* k : levels()) {
    for (int64_t n : {1, 5, 16, 37}) {
      auto gate = normal(n, 3, 30);
      gate[0] = -200;
      const auto before = gate, up = normal(n, 4, 1);
      k->swiglu(gate.data(), up.data(), n);
      for (size_t i = 0; i < gate.size(); ++i) {
        const double g = static_cast<double>(before[i]);
        CHECK_NEAR(gate[i], g / (1 + std::exp(-g)) * static_cast<double>(up[i]), 1e-6, 1e-5);
      }
    }
  }
}

TEST(half_precision_round_trip) {
  const std::vector<float> x = {0, -0.0f, 1, -2.5f, 65504, 1e-4f, 6e-8f, 5.9604645e-8f, 0.333333f, 70000, 3, 1, 2, 4, 5, 6, 7};
  for (const Kernels* k : levels()) {
    std::vector<uint16_t> h(x.size()), expected(x.size());
    std::vector<float> y(x.size());
    k->to_f16(x.data(), h.data(), static_cast<int64_t>(x.size()));
    portable::kKernels.to_f16(x.data(), expected.data(), static_cast<int64_t>(x.size()));
    CHECK(h == expected);
    k->from_f16(h.data(), y.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i] < 65505) CHECK_NEAR(y[i], x[i], 3e-8, 5e-4);
    }
    CHECK(h[0] == 0 && h[2] == 0x3c00 && h[4] == 0x7bff && h[9] == 0x7c00);
  }
}

TEST(rope_rotates_pairs_of_both_kinds) {
  ModelConfig config;
  config.rope_dim = 6;
  config.rope_theta = 100;
  config.trained_context = config.rope_original_context = 64;
  const RopeTable table(config, {});
  std::vector<float> angles(6);
  table.angles(5, angles.data());
  for (const Kernels* k : levels()) {
    for (const bool neox : {false, true}) {
      const auto x = normal(16, 5, 1);
      auto y = x;
      k->rope(y.data(), 2, 8, angles.data(), 6, neox);
      for (size_t head = 0; head < 2; ++head) {
        for (size_t i = 0; i < 3; ++i) {
          const double angle = 5 * std::pow(100.0, -2.0 * static_cast<double>(i) / 6);
          const size_t a = head * 8 + (neox ? i : 2 * i), b = head * 8 + (neox ? i + 3 : 2 * i + 1);
          CHECK_NEAR(y[a], static_cast<double>(x[a]) * std::cos(angle) - static_cast<double>(x[b]) * std::sin(angle), 1e-5, 0);
          CHECK_NEAR(y[b], static_cast<double>(x[a]) * std::sin(angle) + static_cast<double>(x[b]) * std::cos(angle), 1e-5, 0);
        }
        CHECK(y[head * 8 + 6] == x[head * 8 + 6] && y[head * 8 + 7] == x[head * 8 + 7]);
      }
    }
  }
}

TEST(rope_scaling_linear_and_yarn) {
  ModelConfig config;
  config.rope_dim = 64;
  config.rope_theta = 10000;
  config.trained_context = config.rope_original_context = 4096;
  config.rope_factor = 4;
  std::vector<float> plain(64), linear(64), yarn(64);
  RopeTable(config, {}).angles(100, plain.data());
  config.rope_scaling = RopeScaling::kLinear;
  RopeTable(config, {}).angles(400, linear.data());
  for (size_t i = 0; i < 64; ++i) CHECK_NEAR(linear[i], plain[i], 1e-5, 0);

  config.rope_scaling = RopeScaling::kYarn;
  const double magnitude = 1 + 0.1 * std::log(4.0);
  RopeTable(config, {}).angles(100, yarn.data());
  // The fastest pair turns far more than 32 times in 4,096 tokens and keeps its frequency; the slowest is interpolated.
  CHECK_NEAR(yarn[0], std::cos(100.0) * magnitude, 1e-5, 0);
  const double slowest = std::pow(10000.0, -62.0 / 64);
  CHECK_NEAR(yarn[62], std::cos(100 * slowest / 4) * magnitude, 1e-5, 0);
  CHECK(config.usable_context() == 16384);
}

TEST(rope_frequency_factors_divide) {
  ModelConfig config;
  config.rope_dim = 4;
  config.rope_theta = 10000;
  config.trained_context = config.rope_original_context = 64;
  std::vector<float> angles(4);
  RopeTable(config, {1.0f, 8.0f}).angles(3, angles.data());
  CHECK_NEAR(angles[2], std::cos(3 * 0.01 / 8), 1e-6, 0);
  bool refused = false;
  try {
    RopeTable(config, {1.0f});
  } catch (const std::runtime_error&) {
    refused = true;
  }
  CHECK(refused);
}

TEST(to_i8_is_within_half_a_step) {
  for (const Kernels* k : levels()) {
    for (int64_t n : {1, 7, 16, 33, 80, 256}) {
      for (double scale : {1e-30, 1e-3, 1.0, 3e4, 1e37}) {
        const auto x = normal(n, static_cast<uint64_t>(n), scale);
        std::vector<int8_t> y(x.size() + 1, 99);
        const double step = static_cast<double>(k->to_i8(x.data(), y.data(), n));
        double most = 0;
        for (float v : x) most = std::max(most, std::fabs(static_cast<double>(v)));
        CHECK_NEAR(step, most / 127, 0, 1e-6);
        for (size_t i = 0; i < x.size(); ++i) {
          CHECK(y[i] >= -127);
          CHECK_NEAR(step * y[i], static_cast<double>(x[i]), 0.50001 * step, 0);
        }
        CHECK(y.back() == 99);
      }
    }
    const float extremes[] = {-3.0f, 3.0f, 0.0f, -0.0f, 1.5f};
    int8_t y[5];
    CHECK_NEAR(k->to_i8(extremes, y, 5), 3.0 / 127, 0, 1e-6);
    CHECK(y[0] == -127 && y[1] == 127 && y[2] == 0 && y[3] == 0 && y[4] == 64);
    const std::vector<float> zeros(33, 0.0f);
    std::vector<int8_t> of_zeros(33, 5);
    CHECK(k->to_i8(zeros.data(), of_zeros.data(), 33) == 0.0f);
    CHECK(of_zeros == std::vector<int8_t>(33, 0));
  }
}

TEST_MAIN()
