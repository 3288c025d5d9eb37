// Scores and estimates from the meta index, against float64 over the centroids and value sums as it stores them.
#include <algorithm>

#include "attention_reference.h"

using namespace wavekv_test;
using wavekv::EstimatedCluster;
using wavekv::MetaIndex;

namespace {

constexpr int64_t kHeadDims[] = {16, 64, 80, 96, 128, 256};
constexpr int64_t kQueryCounts[] = {1, 3, 7, 8, 16, 32};

/// The indexes of a few segments: sizes 1..40, one of 65535.
struct Meta {
  struct Segment {
    std::vector<int8_t> centroids, value_sums;
    std::vector<float> centroid_scales, value_scales, variances;
    std::vector<uint16_t> centre, sizes;
  };
  int64_t head_dim, num_clusters = 0;
  std::vector<Segment> segments;

  Meta(Random& random, const std::vector<int64_t>& counts, int64_t d) : head_dim(d) {
    for (int64_t n : counts) {
      Segment s;
      for (int64_t i = 0; i < n * d; ++i) {
        s.centroids.push_back(static_cast<int8_t>(random.below(255) - 127));
        s.value_sums.push_back(static_cast<int8_t>(random.below(255) - 127));
      }
      for (int64_t c = 0; c < n; ++c) {
        s.centroid_scales.push_back(static_cast<float>((0.5 + random.uniform()) / 64));
        s.value_scales.push_back(static_cast<float>((0.5 + random.uniform()) / 8));
        s.variances.push_back(static_cast<float>(random.uniform() * 12));
        s.sizes.push_back(static_cast<uint16_t>(c == 1 ? 65535 : 1 + random.below(40)));
      }
      s.centre = random_halves(random, d, 2);
      segments.push_back(std::move(s));
      num_clusters += n;
    }
  }
  std::vector<MetaIndex> indexes() const {
    std::vector<MetaIndex> all;
    for (const Segment& s : segments) {
      all.push_back({s.centroids.data(), s.value_sums.data(), s.centroid_scales.data(), s.value_scales.data(),
                     s.centre.data(), s.sizes.data(), s.variances.data(), static_cast<int64_t>(s.sizes.size())});
    }
    return all;
  }
  /// f(segment, cluster in it, column)
  template <typename F>
  void each(F f) const {
    int64_t column = 0;
    for (const Segment& s : segments) {
      for (size_t c = 0; c < s.sizes.size(); ++c) f(s, static_cast<int64_t>(c), column++);
    }
  }
  std::vector<double> centroid(const Segment& s, int64_t c) const {
    return i8_vector(s.centroids.data() + c * head_dim, static_cast<double>(s.centroid_scales[static_cast<size_t>(c)]),
                     s.centre.data(), head_dim);
  }
};

void score(const Kernels& kernels, const Meta& meta, const std::vector<float>& q, const float* query_variance,
           std::vector<float>& log_mass, int64_t stride) {
  const std::vector<MetaIndex> indexes = meta.indexes();
  kernels.score_clusters(q.data(), static_cast<int64_t>(q.size()) / meta.head_dim, meta.head_dim, indexes.data(),
                         static_cast<int64_t>(indexes.size()), query_variance, log_mass.data(), stride);
}

}  // namespace

TEST(cluster_scores_follow_the_formula) {
  for (const Kernels* kernels : levels()) {
    Random random(18);
    for (int64_t d : kHeadDims) {
      for (const std::vector<int64_t>& counts : {std::vector<int64_t>{1}, {64}, {15, 2, 97}, {0, 63, 65}}) {
        for (int64_t num_queries : kQueryCounts) {
          const Meta meta(random, counts, d);
          const std::vector<float> q = random_floats(random, num_queries * d, 2 / std::sqrt(static_cast<double>(d)));
          std::vector<float> query_variance;
          for (int64_t a = 0; a < num_queries; ++a) query_variance.push_back(static_cast<float>(random.uniform()));
          const int64_t stride = meta.num_clusters + 3;
          for (const float* variance : {static_cast<const float*>(nullptr), static_cast<const float*>(query_variance.data())}) {
            std::vector<float> log_mass(static_cast<size_t>(num_queries * stride), 99.0f);
            score(*kernels, meta, q, variance, log_mass, stride);
            for (int64_t a = 0; a < num_queries; ++a) {
              meta.each([&](const Meta::Segment& s, int64_t c, int64_t column) {
                const double log_size = std::log(static_cast<double>(s.sizes[static_cast<size_t>(c)]));
                double expected = dot(q.data() + a * d, meta.centroid(s, c)) + log_size;
                if (variance != nullptr) {
                  const double spread = static_cast<double>(s.variances[static_cast<size_t>(c)] * variance[a]);
                  expected += std::min({0.5 * spread, 0.75 * log_size, 3.0});
                }
                // Scores are about 6 wide; half a step of the rounded query is 1/64000 of its largest element.
                CHECK_NEAR(log_mass[static_cast<size_t>(a * stride + column)], expected, 1e-3, 0);
              });
              for (int64_t c = meta.num_clusters; c < stride; ++c) CHECK(log_mass[static_cast<size_t>(a * stride + c)] == 99.0f);
            }
          }
        }
      }
    }
  }
}

TEST(integer_scores_are_the_same_at_every_level) {
  Random random(24);
  for (int64_t d : kHeadDims) {
    for (int64_t num_queries : {1, 5, 8, 32}) {
      Meta meta(random, {70}, d);
      std::fill(meta.segments[0].sizes.begin(), meta.segments[0].sizes.end(), uint16_t{1});  // ln 1 = 0
      std::fill(meta.segments[0].centre.begin(), meta.segments[0].centre.end(), uint16_t{0});
      for (int64_t i = 0; i < d; ++i) {  // the largest products that there are
        meta.segments[0].centroids[static_cast<size_t>(i)] = 127;
        meta.segments[0].centroids[static_cast<size_t>(d + i)] = -127;
      }
      std::vector<float> q = random_floats(random, num_queries * d, 1);
      std::fill(q.begin(), q.begin() + d, 2.5f);
      std::vector<std::vector<float>> results;
      for (const Kernels* kernels : levels()) {
        results.emplace_back(static_cast<size_t>(num_queries * 70));
        score(*kernels, meta, q, nullptr, results.back(), 70);
        CHECK(memcmp(results[0].data(), results.back().data(), results[0].size() * 4) == 0);
      }
      const double largest = 2.5 * 127 * static_cast<double>(d);
      CHECK_NEAR(results[0][0], largest * static_cast<double>(meta.segments[0].centroid_scales[0]), 0, 1e-6);
      CHECK_NEAR(results[0][1], -largest * static_cast<double>(meta.segments[0].centroid_scales[1]), 0, 1e-6);
    }
  }
}

TEST(queries_of_zeros_score_the_sizes_alone) {
  for (const Kernels* kernels : levels()) {
    Random random(25);
    const Meta meta(random, {20}, 64);
    std::vector<float> q(2 * 64, 0.0f), log_mass(2 * 20);
    q[64] = 1.0f;
    score(*kernels, meta, q, nullptr, log_mass, 20);
    meta.each([&](const Meta::Segment& s, int64_t c, int64_t column) {
      const double log_size = std::log(static_cast<double>(s.sizes[static_cast<size_t>(c)]));
      CHECK_NEAR(log_mass[static_cast<size_t>(column)], log_size, 1e-5, 1e-6);
      CHECK_NEAR(log_mass[static_cast<size_t>(20 + column)], log_size + meta.centroid(s, c)[0], 1e-5, 1e-6);
    });
  }
}

TEST(estimation_adds_mean_values_by_mass) {
  for (const Kernels* kernels : levels()) {
    Random random(19);
    for (int64_t d : kHeadDims) {
      for (int64_t num_queries : kQueryCounts) {
        for (const std::vector<int64_t>& counts : {std::vector<int64_t>{1}, {9}, {200, 3, 61}}) {
          const Meta meta(random, counts, d);
          const int64_t n = meta.num_clusters;
          const std::vector<float> log_mass = random_floats(random, num_queries * n, 3);
          std::vector<EstimatedCluster> clusters;
          std::vector<std::vector<double>> means;
          meta.each([&](const Meta::Segment& s, int64_t c, int64_t column) {
            if (column != 0 && random.below(3) == 0) return;
            const float scale = s.value_scales[static_cast<size_t>(c)] / static_cast<float>(s.sizes[static_cast<size_t>(c)]);
            clusters.push_back({s.value_sums.data() + c * d, scale, static_cast<uint32_t>(column)});
            means.push_back(i8_vector(clusters.back().value_sum, static_cast<double>(scale), nullptr, d));
          });
          State state(num_queries, d);
          const std::vector<uint16_t> key = random_halves(random, d, 1), value = random_halves(random, d, 1);
          const KvRange token = f16_range(key.data(), value.data(), d, 1);
          const std::vector<float> q = random_floats(random, num_queries * d, 2 / std::sqrt(static_cast<double>(d)));
          kernels->attend_ranges(q.data(), num_queries, d, &token, 1, state.view());
          kernels->estimate_clusters(num_queries, d, clusters.data(), static_cast<int64_t>(clusters.size()),
                                     log_mass.data(), n, state.view());
          for (int64_t a = 0; a < num_queries; ++a) {
            Reference reference;
            add_tokens(reference, q.data() + a * d, token, 1, d);
            for (size_t i = 0; i < clusters.size(); ++i) {
              reference.add(static_cast<double>(log_mass[static_cast<size_t>(a * n) + clusters[i].cluster]), means[i]);
            }
            check_state(*kernels, state, a, d, reference, 2e-4, 1e-5);
          }
        }
      }
    }
  }
}

TEST(estimating_nothing_changes_nothing) {
  for (const Kernels* kernels : levels()) {
    Random random(20);
    const std::vector<uint16_t> keys = random_halves(random, 77 * 64, 1), values = random_halves(random, 77 * 64, 1);
    const KvRange range = f16_range(keys.data(), values.data(), 64, 77);
    const std::vector<float> q = random_floats(random, 3 * 64, 0.3);
    const std::vector<float> log_mass(3 * 130, 5.0f);
    State state(3, 64);
    kernels->attend_ranges(q.data(), 3, 64, &range, 1, state.view());
    const State before = state;
    kernels->estimate_clusters(3, 64, nullptr, 0, log_mass.data(), 130, state.view());
    CHECK(state.out == before.out && state.max == before.max && state.denominator == before.denominator);
  }
}

TEST(clusters_without_mass_leave_a_fresh_state) {
  for (const Kernels* kernels : levels()) {
    Random random(23);
    const Meta meta(random, {20}, 64);
    const std::vector<float> log_mass(2 * 20, kNoMass);
    std::vector<EstimatedCluster> clusters;
    meta.each([&](const Meta::Segment& s, int64_t c, int64_t column) {
      clusters.push_back({s.value_sums.data() + c * 64, 0.1f, static_cast<uint32_t>(column)});
    });
    State state(2, 64);
    kernels->estimate_clusters(2, 64, clusters.data(), 20, log_mass.data(), 20, state.view());
    for (int64_t a = 0; a < 2; ++a) check_state(*kernels, state, a, 64, Reference(), 0);
    // Nor do they spoil what comes after them.
    const std::vector<uint16_t> key = random_halves(random, 64, 1), value = random_halves(random, 64, 1);
    const KvRange token = f16_range(key.data(), value.data(), 64, 1);
    const std::vector<float> q = random_floats(random, 2 * 64, 0.3);
    State other(2, 64);
    kernels->merge_states(2, 64, state.view(), other.view());
    for (State* next : {&state, &other}) {
      kernels->attend_ranges(q.data(), 2, 64, &token, 1, next->view());
      for (int64_t a = 0; a < 2; ++a) {
        Reference reference;
        add_tokens(reference, q.data() + a * 64, token, 1, 64);
        check_state(*kernels, *next, a, 64, reference, 1e-5);
      }
    }
  }
}

TEST_MAIN()
