// The records and the meta index of one row against the tokens that it was built from.
#include "index_build.h"

#include <algorithm>

#include "attention_reference.h"
#include "kv_fixture.h"

using namespace wavekv;
using namespace wavekv_test;

namespace {

constexpr int64_t kRow = 3;
constexpr double kHalfStep = 0.501;  // and what f32 rounds
constexpr double kF16 = 1.0 / 1024;  // of values that went through f16

/// One row of a segment, and what it was built from.
struct Built {
  KvGeometry geometry;
  std::vector<uint16_t> keys, values;
  Segment segment;
  bool done;

  Built(const Kernels& kernels, KvType type, int64_t sink_tokens, int64_t max_clusters)
      : geometry(with_clusters(small_geometry(type), max_clusters)), segment(geometry, 0) {
    Random random(81);
    const int64_t n = geometry.index.segment_tokens, dim = geometry.head_dim;
    const std::vector<float> centres = random_floats(random, 6 * dim, 1), offset = random_floats(random, dim, 5);
    for (int64_t t = 0; t < n; ++t) {
      const int64_t from = random.below(6) * dim;
      for (int64_t d = 0; d < dim; ++d) {
        keys.push_back(half_of(static_cast<double>(offset[static_cast<size_t>(d)] + centres[static_cast<size_t>(from + d)]) +
                               0.3 * random.normal() + (t < 4 ? 20 : 0)));
      }
    }
    values = random_halves(random, n * dim, 2);
    const size_t floats = static_cast<size_t>(index_scratch_floats(geometry, kernels));
    std::vector<float> scratch(floats + 16, 7.0f);
    done = build_index(geometry, kernels, {keys.data(), values.data(), nullptr, sink_tokens}, kRow, segment, scratch.data());
    for (size_t i = floats; i < scratch.size(); ++i) CHECK(scratch[i] == 7.0f);
  }
  static KvGeometry with_clusters(KvGeometry g, int64_t max_clusters) {
    if (max_clusters > 0) g.max_clusters = max_clusters;
    return g;
  }
  std::vector<double> key(int64_t token) const { return half_vector(keys.data() + token * geometry.head_dim, geometry.head_dim); }
  std::vector<double> value(int64_t token) const { return half_vector(values.data() + token * geometry.head_dim, geometry.head_dim); }
};

double largest(const std::vector<double>& x, const std::vector<double>& centre) {
  double most = 0;
  for (size_t d = 0; d < x.size(); ++d) most = std::max(most, std::fabs(x[d] - centre[d]));
  return most;
}

void check_vector(const std::vector<double>& actual, const std::vector<double>& expected, double absolute, double relative) {
  for (size_t d = 0; d < expected.size(); ++d) CHECK_NEAR(actual[d], expected[d], absolute, relative);
}

void add_to(std::vector<double>& sum, const std::vector<double>& x, double factor) {
  for (size_t d = 0; d < sum.size(); ++d) sum[d] += factor * x[d];
}

/// Centroids, value sums and sizes of every cluster against its members.
void check_meta_index(const Built& built) {
  const int64_t dim = built.geometry.head_dim;
  const MetaIndex index = built.segment.meta_index(kRow);
  const std::vector<double> centre = half_vector(index.centre, dim);
  int64_t start = 0;
  for (int64_t c = 0; c < index.num_clusters; ++c) {
    std::vector<double> mean(static_cast<size_t>(dim)), sum(mean);
    for (int64_t i = start; i < start + index.sizes[c]; ++i) {
      add_to(mean, built.key(built.segment.order(kRow)[i]), 1.0 / index.sizes[c]);
      add_to(sum, built.value(built.segment.order(kRow)[i]), 1);
    }
    start += index.sizes[c];
    const double scale = static_cast<double>(index.centroid_scales[c]), value_scale = static_cast<double>(index.value_scales[c]);
    CHECK_NEAR(scale, largest(mean, centre) / 127, 2e-4, 0.01);  // the mean was f16
    CHECK_NEAR(value_scale, largest(sum, std::vector<double>(sum.size())) / 127, 0, 2e-3);
    check_vector(i8_vector(index.centroids + c * dim, scale, index.centre, dim), mean, kHalfStep * scale, kF16);
    check_vector(i8_vector(index.value_sums + c * dim, value_scale, nullptr, dim), sum, kHalfStep * value_scale, kF16);
  }
  CHECK(start == built.geometry.index.segment_tokens);
}

}  // namespace

TEST(int8_records_are_within_half_a_step_of_the_tokens) {
  for (const Kernels* kernels : levels()) {
    for (int64_t sink_tokens : {0, 4}) {
      const Built built(*kernels, KvType::kQ8, sink_tokens, 0);
      CHECK(built.done);
      const int64_t dim = built.geometry.head_dim, n = built.geometry.index.segment_tokens;
      const std::vector<double> centre = half_vector(built.segment.centre(kRow), dim);
      const KvRange range = built.segment.range(kRow, 0, n);
      for (int64_t i = 0; i < n; ++i) {
        const std::vector<double> key = built.key(built.segment.order(kRow)[i]), value = built.value(built.segment.order(kRow)[i]);
        const Token token = read_token(range, i, dim);
        check_vector(token.key, key, kHalfStep / 127 * largest(key, centre), 0);
        check_vector(token.value, value, kHalfStep / 127 * largest(value, std::vector<double>(value.size())), 0);
      }
    }
  }
}

TEST(f16_records_are_the_tokens) {
  for (const Kernels* kernels : levels()) {
    const Built built(*kernels, KvType::kF16, 4, 0);
    const int64_t dim = built.geometry.head_dim;
    std::vector<uint16_t> key(static_cast<size_t>(dim)), value(key);
    for (int64_t i = 0; i < built.geometry.index.segment_tokens; ++i) {
      const Token token = read_token(built.segment.range(kRow, i, 1), 0, dim);
      CHECK(token.key == built.key(built.segment.order(kRow)[i]) && token.value == built.value(built.segment.order(kRow)[i]));
      built.segment.read_token(kRow, i, key.data(), value.data());
      CHECK(half_vector(key.data(), dim) == token.key && half_vector(value.data(), dim) == token.value);
    }
  }
}

TEST(the_centre_is_the_mean_without_the_sink) {
  for (const Kernels* kernels : levels()) {
    for (int64_t sink_tokens : {0, 4}) {
      const Built built(*kernels, KvType::kQ8, sink_tokens, 0);
      const int64_t n = built.geometry.index.segment_tokens;
      std::vector<double> mean(static_cast<size_t>(built.geometry.head_dim));
      for (int64_t t = sink_tokens; t < n; ++t) add_to(mean, built.key(t), 1.0 / static_cast<double>(n - sink_tokens));
      check_vector(half_vector(built.segment.centre(kRow), built.geometry.head_dim), mean, 1e-4, kF16);
    }
  }
}

TEST(the_meta_index_holds_means_and_sums_of_the_members) {
  for (const Kernels* kernels : levels()) {
    for (const KvType type : {KvType::kF16, KvType::kQ8}) {
      for (int64_t sink_tokens : {0, 4}) check_meta_index(Built(*kernels, type, sink_tokens, 0));
    }
  }
}

TEST(the_sink_is_a_cluster_by_itself) {
  for (const Kernels* kernels : levels()) {
    const Built built(*kernels, KvType::kQ8, 4, 0);
    CHECK(built.segment.sizes(kRow)[0] == 4 && built.segment.variances(kRow)[0] == 0.0f);
    for (int64_t i = 0; i < 4; ++i) CHECK(built.segment.order(kRow)[i] == i);
    for (int64_t i = 4; i < 128; ++i) CHECK(built.segment.order(kRow)[i] >= 4);
  }
}

TEST(too_few_clusters_are_refused_with_a_count_of_0) {
  for (const Kernels* kernels : levels()) {
    const Built built(*kernels, KvType::kQ8, 4, 5);
    CHECK(!built.done && built.segment.meta_index(kRow).num_clusters == 0);
  }
}

TEST_MAIN()
