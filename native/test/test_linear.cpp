#include <limits>

#include "check.h"
#include "kernels.h"
#include "linear.h"
#include "linear_cases.h"

using namespace wavekv;
using namespace wavekv_test;

namespace {

/// A table with only the linear kernels set, one for each SIMD level that this CPU runs.
std::vector<Kernels> levels() {
  std::vector<Kernels> all;
  const auto add = [&](SimdLevel level, const char* name, const LinearKernels& linear) {
    Kernels kernels{};
    kernels.level = level;
    kernels.name = name;
    kernels.linear = &linear;
    all.push_back(kernels);
  };
  add(SimdLevel::kPortable, "portable", portable::kLinearKernels);
#if defined(__x86_64__)
  if (detect_simd_level() >= SimdLevel::kAvx2) add(SimdLevel::kAvx2, "avx2", avx2::kLinearKernels);
  if (detect_simd_level() >= SimdLevel::kAvx512) add(SimdLevel::kAvx512, "avx512", avx512::kLinearKernels);
#endif
  return all;
}

ThreadPool& pool() {
  static ThreadPool two(2);
  return two;
}

struct Sample {
  GgmlType type;
  int64_t rows, cols, tokens;
  std::vector<uint8_t> data;
  std::vector<float> w, x;  // [rows, cols], [tokens, cols]
  std::shared_ptr<PackedMatrix> packed;
};

Sample make_sample(GgmlType type, int64_t rows, int64_t cols, int64_t tokens, uint64_t seed) {
  Random random(seed);
  Sample c{type, rows, cols, tokens, random_weights(type, rows * cols, random), {}, {}, nullptr};
  c.w = dequantized(type, c.data, rows * cols);
  c.x.resize(static_cast<size_t>(tokens * cols));
  for (float& value : c.x) value = static_cast<float>(random.normal());
  c.packed = pack_matrix(type, c.data.data(), rows, cols, pool());
  return c;
}

/// y [tokens, rows], from `first_token` on.
std::vector<float> run(const Sample& c, const Kernels& kernels, int64_t first_token, int64_t tokens) {
  auto inputs = make_activations();
  prepare_activations(c.x.data() + first_token * c.cols, c.cols, tokens, c.cols, *inputs, kernels, pool());
  std::vector<float> y(static_cast<size_t>(tokens * c.rows), std::numeric_limits<float>::quiet_NaN());
  linear(*c.packed, *inputs, y.data(), c.rows, nullptr, false, kernels, pool());
  return y;
}

/// Against float64: with the inputs as quantised (tight), and as given. What int8 costs: each input is off by a uniform
/// error of one step, 1/127 of its block's largest value (under 4.5 for these normals), so step / sqrt(12); 6 sigma.
void check_case(const Sample& c, const TypeCase& type, const Kernels& kernels) {
  const std::vector<float> y = run(c, kernels, 0, c.tokens);
  for (int64_t t = 0; t < c.tokens; ++t) {
    const float* x = c.x.data() + t * c.cols;
    const std::vector<double> exact(x, x + c.cols);
    const std::vector<double> seen = type.quantised ? as_quantised(*kernels.linear, x, c.cols) : exact;
    for (int64_t r = 0; r < c.rows; ++r) {
      const float* w = c.w.data() + r * c.cols;
      const float got = y[static_cast<size_t>(t * c.rows + r)];
      const std::string where = std::string(type.name) + " " + kernels.name + " rows " + std::to_string(c.rows) + " cols " +
                                std::to_string(c.cols) + " token " + std::to_string(t) + " row " + std::to_string(r);
      const Product tight = product(w, seen.data(), c.cols);
      check_near(got, tight.value, 1e-5 * tight.magnitude, 0, __FILE__, __LINE__, where);
      if (!type.quantised) continue;
      double norm = 0;
      for (int64_t i = 0; i < c.cols; ++i) norm += static_cast<double>(w[i]) * w[i];
      const double bound = 6 * std::sqrt(norm) * 4.5 / 127 / std::sqrt(12.0);
      check_near(got, product(w, exact.data(), c.cols).value, bound, 0, __FILE__, __LINE__, where + ", unquantised");
    }
  }
}

}  // namespace

TEST(every_type_odd_rows) {
  for (const TypeCase& type : kTypes) {
    for (const int64_t rows : {1, 15, 17, 100}) {
      const Sample c = make_sample(type.type, rows, 256, 3, 11 + static_cast<uint64_t>(rows));
      for (const Kernels& kernels : levels()) check_case(c, type, kernels);
    }
  }
}

TEST(every_type_token_counts) {
  for (const TypeCase& type : kTypes) {
    for (const int64_t tokens : {1, 2, 3, 5, 8, 17, 256}) {
      const Sample c = make_sample(type.type, 33, 512, tokens, 23 + static_cast<uint64_t>(tokens));
      for (const Kernels& kernels : levels()) check_case(c, type, kernels);
    }
  }
}

TEST(every_type_column_counts) {
  for (const TypeCase& type : kTypes) {
    const bool super = ggml_type_info(static_cast<uint32_t>(type.type))->block_values == 256;
    const std::vector<int64_t> widths{32, 96, 576, 896, 1024, 4864}, super_widths{256, 768, 4864};
    for (const int64_t cols : super ? super_widths : widths) {
      const Sample c = make_sample(type.type, 48, cols, 9, 37 + static_cast<uint64_t>(cols));
      for (const Kernels& kernels : levels()) check_case(c, type, kernels);
    }
  }
}

TEST(a_token_has_the_same_bits_in_every_batch) {
  for (const TypeCase& type : kTypes) {
    const Sample c = make_sample(type.type, 90, 512, 61, 41);
    for (const Kernels& kernels : levels()) {
      const std::vector<float> all = run(c, kernels, 0, c.tokens);
      for (const int64_t width : {1, 2, 3, 4, 5, 6, 7, 13, 60}) {
        for (int64_t first = 0; first + width <= c.tokens; first += width + 7) {
          const std::vector<float> some = run(c, kernels, first, width);
          CHECK(memcmp(some.data(), all.data() + first * c.rows, some.size() * sizeof(float)) == 0);
        }
      }
    }
  }
}

TEST(chunks_of_many_wide_tokens) {  // more inputs than one chunk of linear.cpp
  const TypeCase type = kTypes[1];
  const Sample c = make_sample(type.type, 34, 4864, 230, 43);
  for (const Kernels& kernels : levels()) check_case(c, type, kernels);
}

TEST(bias_and_accumulate) {
  for (const TypeCase& type : kTypes) {
    for (const int64_t tokens : {1, 20}) {
      const Sample c = make_sample(type.type, 21, 256, tokens, 47);
      const int64_t stride = 29;
      std::vector<float> bias(21);
      Random random(5);
      for (float& value : bias) value = static_cast<float>(random.normal());
      for (const Kernels& kernels : levels()) {
        const std::vector<float> plain = run(c, kernels, 0, tokens);
        auto inputs = make_activations();
        prepare_activations(c.x.data(), c.cols, tokens, c.cols, *inputs, kernels, pool());
        for (const bool accumulate : {false, true}) {
          std::vector<float> y(static_cast<size_t>(tokens * stride), 7.0f);
          linear(*c.packed, *inputs, y.data(), stride, bias.data(), accumulate, kernels, pool());
          for (int64_t t = 0; t < tokens; ++t) {
            for (int64_t r = 0; r < stride; ++r) {
              const double got = y[static_cast<size_t>(t * stride + r)];
              if (r >= 21) {
                CHECK(got == 7.0);  // beyond the row nothing is written
              } else {
                const double sum = plain[static_cast<size_t>(t * 21 + r)] + bias[static_cast<size_t>(r)];
                const double expected = sum + (accumulate ? 7 : 0);
                CHECK_NEAR(got, expected, 1e-5, 1e-6);
              }
            }
          }
        }
      }
    }
  }
}

TEST(strided_inputs) {
  const Sample c = make_sample(GgmlType::kQ8_0, 16, 64, 7, 53);
  std::vector<float> spread(7 * 100, std::numeric_limits<float>::quiet_NaN());
  for (int64_t t = 0; t < 7; ++t) memcpy(spread.data() + t * 100, c.x.data() + t * 64, 64 * sizeof(float));
  for (const Kernels& kernels : levels()) {
    auto inputs = make_activations();
    prepare_activations(spread.data(), 100, 7, 64, *inputs, kernels, pool());
    std::vector<float> y(7 * 16);
    linear(*c.packed, *inputs, y.data(), 16, nullptr, false, kernels, pool());
    CHECK(y == run(c, kernels, 0, 7));
  }
}

TEST(extreme_quantised_values) {  // all bytes 0xff or 0x80, inputs at +-127: where 16-bit sums would saturate
  for (const TypeCase& type : kTypes) {
    if (!type.quantised) continue;
    for (const int fill : {0xff, 0x80, 0x7f}) {
      Sample c = make_sample(type.type, 16, 256, 2, 59);
      const GgmlTypeInfo& info = *ggml_type_info(static_cast<uint32_t>(type.type));
      for (size_t i = 0; i < c.data.size(); ++i) {
        const int64_t in_block = static_cast<int64_t>(i) % info.block_bytes;
        const bool half = type.type == GgmlType::kQ6_K ? in_block >= 208 : in_block < 4;
        if (!half) c.data[i] = static_cast<uint8_t>(fill);
      }
      for (size_t i = 0; i < c.x.size(); ++i) c.x[i] = i < 256 ? 1.0f : (i % 2 != 0 ? 1.0f : -1.0f);
      c.w = dequantized(c.type, c.data, c.rows * c.cols);
      c.packed = pack_matrix(c.type, c.data.data(), c.rows, c.cols, pool());
      for (const Kernels& kernels : levels()) check_case(c, type, kernels);
    }
  }
}

TEST(zero_tiny_huge_and_broken_inputs) {
  for (const TypeCase& type : kTypes) {
    if (!type.quantised) continue;
    for (const Kernels& kernels : levels()) {
      Sample c = make_sample(type.type, 5, 256, 6, 61);
      const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
      for (int64_t i = 0; i < 256; ++i) {
        const size_t at = static_cast<size_t>(i);
        c.x[at] = 0.0f;
        c.x[256 + at] *= 1e-40f;
        c.x[512 + at] *= 1e20f;
      }
      c.x[768 + 9] = nan;
      c.x[1024 + 200] = infinity;
      const std::vector<float> y = run(c, kernels, 0, 6);
      for (size_t r = 0; r < 5; ++r) {
        CHECK(y[r] == 0.0f && y[5 + r] == 0.0f);
        CHECK(std::isfinite(y[10 + r]));
        CHECK(std::isnan(y[15 + r]) && std::isnan(y[20 + r]));
        CHECK(std::isfinite(y[25 + r]));
      }
    }
  }
}

TEST(quantised_inputs_follow_their_definition) {
  Random random(67);
  std::vector<float> x(96);
  for (float& value : x) value = static_cast<float>(random.normal() * std::exp(random.normal()));
  for (const Kernels& kernels : levels()) {
    int8_t q[96];
    float scales[3], scaled[3];
    int32_t sums[3], halves[6];
    kernels.linear->quantize_row(x.data(), 96, {q, scales, scaled, sums, halves});
    for (int b = 0; b < 3; ++b) {
      double top = 0;
      for (int i = 0; i < 32; ++i) top = std::fmax(top, std::fabs(x[static_cast<size_t>(b * 32 + i)]));
      CHECK_NEAR(scales[b], top / 127, 0, 1e-6);
      int32_t half_sums[2] = {0, 0};
      for (int i = 0; i < 32; ++i) {
        CHECK_NEAR(q[b * 32 + i], x[static_cast<size_t>(b * 32 + i)] * 127 / top, 0.5001, 0);
        half_sums[i / 16] += q[b * 32 + i];
      }
      CHECK(halves[2 * b] == -half_sums[0] && halves[2 * b + 1] == -half_sums[1]);
      CHECK(sums[b] == -(half_sums[0] + half_sums[1]));
      CHECK_NEAR(scaled[b], static_cast<double>(scales[b]) * (half_sums[0] + half_sums[1]), 0, 1e-6);
    }
  }
}

TEST(one_thread_and_two_agree) {
  const Sample c = make_sample(GgmlType::kQ4_1, 1000, 576, 40, 71);
  ThreadPool one(1);
  for (const Kernels& kernels : levels()) {
    for (const int64_t tokens : {1, 40}) {
      auto inputs = make_activations();
      prepare_activations(c.x.data(), c.cols, tokens, c.cols, *inputs, kernels, one);
      std::vector<float> y(static_cast<size_t>(tokens * c.rows));
      linear(*c.packed, *inputs, y.data(), c.rows, nullptr, false, kernels, one);
      CHECK(y == run(c, kernels, 0, tokens));
    }
  }
}

TEST(a_group_gives_what_its_layers_give_alone) {
  constexpr int64_t kCols = 256;
  const std::vector<std::pair<GgmlType, int64_t>> layers = {
      {GgmlType::kQ4_1, 17}, {GgmlType::kQ8_0, 100}, {GgmlType::kQ6_K, 48}, {GgmlType::kF16, 1}};
  ThreadPool pool(2);
  Random random(12);
  for (const Kernels& kernels : levels()) {
    for (const int64_t tokens : {1, 3, 40}) {
      std::vector<float> x(static_cast<size_t>(tokens * kCols));
      for (float& value : x) value = static_cast<float>(random.normal());
      auto inputs = make_activations();
      prepare_activations(x.data(), kCols, tokens, kCols, *inputs, kernels, pool);
      std::vector<std::shared_ptr<PackedMatrix>> weights;
      std::vector<std::vector<float>> alone, together;
      for (const auto& [type, rows] : layers) {
        const auto data = random_weights(type, rows * kCols, random);
        weights.push_back(pack_matrix(type, data.data(), rows, kCols, pool));
        alone.emplace_back(static_cast<size_t>(tokens * rows), 1.0f);
        together.push_back(alone.back());
      }
      std::vector<LinearTask> tasks;
      for (size_t i = 0; i < layers.size(); ++i) {
        const int64_t rows = layers[i].second;
        linear(*weights[i], *inputs, alone[i].data(), rows, nullptr, i % 2 == 1, kernels, pool);
        tasks.push_back({weights[i].get(), together[i].data(), rows, nullptr, i % 2 == 1});
      }
      linear_group(tasks.data(), static_cast<int64_t>(tasks.size()), *inputs, kernels, pool);
      CHECK(together == alone);
    }
  }
}

TEST(bad_shapes_are_refused) {
  const auto refused = [](const std::function<void()>& body) {
    try {
      body();
    } catch (const std::runtime_error&) {
      return true;
    }
    return false;
  };
  const std::vector<uint8_t> data(4096);
  CHECK(refused([&] { pack_matrix(GgmlType::kQ4_0, data.data(), 4, 48, pool()); }));
  CHECK(refused([&] { pack_matrix(GgmlType::kQ4_K, data.data(), 4, 128, pool()); }));
  CHECK(refused([&] { pack_matrix(GgmlType::kF32, data.data(), 0, 32, pool()); }));
  CHECK(refused([&] { pack_matrix(GgmlType::kF32, data.data(), int64_t{1} << 60, 32, pool()); }));
  CHECK(refused([&] { pack_matrix(static_cast<GgmlType>(99), data.data(), 4, 32, pool()); }));
  const Sample c = make_sample(GgmlType::kQ8_0, 16, 64, 1, 73);
  const Kernels kernels = levels().back();
  auto inputs = make_activations();
  std::vector<float> y(64);
  CHECK(refused([&] { prepare_activations(c.x.data(), 64, 1, 40, *inputs, kernels, pool()); }));
  CHECK(refused([&] { prepare_activations(c.x.data(), 32, 1, 64, *inputs, kernels, pool()); }));
  prepare_activations(c.x.data(), 32, 1, 32, *inputs, kernels, pool());
  CHECK(refused([&] { linear(*c.packed, *inputs, y.data(), 16, nullptr, false, kernels, pool()); }));
  prepare_activations(c.x.data(), 64, 1, 64, *inputs, kernels, pool());
  CHECK(refused([&] { linear(*c.packed, *inputs, y.data(), 15, nullptr, false, kernels, pool()); }));
  linear(*c.packed, *inputs, y.data(), 16, nullptr, false, kernels, pool());
}

TEST(packed_size_is_that_of_the_file) {
  const auto bytes_per_weight = [](GgmlType type) {
    const Sample c = make_sample(type, 64, 1024, 1, 79);
    CHECK(packed_rows(*c.packed) == 64 && packed_cols(*c.packed) == 1024);
    return static_cast<double>(packed_bytes(*c.packed)) / static_cast<double>(c.data.size());
  };
  for (const TypeCase& type : kTypes) CHECK_NEAR(bytes_per_weight(type.type), 1.0, 0.04, 0);
}

TEST_MAIN()
