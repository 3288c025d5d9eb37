#include <algorithm>

#include "attention_reference.h"

using namespace wavekv_test;
using wavekv::ClusteringOptions;
using wavekv::RowClusters;

namespace {

struct Row {
  int64_t n, head_dim;
  std::vector<uint16_t> keys, values;
};

/// Keys around `num_centres` centres that share a large offset, as real keys do.
Row mixture(uint64_t seed, int64_t n, int64_t head_dim, int64_t num_centres, double spread) {
  Random random(seed);
  const std::vector<float> centres = random_floats(random, num_centres * head_dim, 1);
  const std::vector<float> offset = random_floats(random, head_dim, 5);
  Row row = {n, head_dim, {}, random_halves(random, n * head_dim, 1)};
  for (int64_t t = 0; t < n; ++t) {
    const int64_t centre = random.below(num_centres);
    for (int64_t i = 0; i < head_dim; ++i) {
      row.keys.push_back(half_of(offset[static_cast<size_t>(i)] + centres[static_cast<size_t>(centre * head_dim + i)] +
                                 random.normal() * spread));
    }
  }
  return row;
}

struct Clusters {
  int32_t status = 0, num_clusters = 0;
  std::vector<uint16_t> sizes, order, centroids, value_sums;
  std::vector<float> variances, squares;
};

Clusters cluster(const Kernels& kernels, const Row& row, const ClusteringOptions& options, int32_t capacity,
                 const float* query_scale = nullptr) {
  const int64_t d = row.head_dim;
  const size_t guard = 64;
  Clusters result;
  result.sizes.assign(static_cast<size_t>(capacity) + guard, 7);
  result.order.assign(static_cast<size_t>(row.n) + guard, 7);
  result.centroids.assign(static_cast<size_t>(capacity * d) + guard, 7);
  result.value_sums.assign(static_cast<size_t>(capacity * d) + guard, 7);
  result.variances.assign(static_cast<size_t>(capacity) + guard, 7);
  result.squares.assign(static_cast<size_t>(d) + guard, 7);
  const size_t floats = static_cast<size_t>(kernels.cluster_scratch_floats(row.n, d, capacity));
  std::vector<float> scratch(floats + guard, 7.0f);
  RowClusters out = {-1, result.sizes.data(), result.order.data(), result.centroids.data(), result.value_sums.data(),
                     result.variances.data(), result.squares.data()};
  result.status = kernels.cluster_row(row.keys.data(), row.values.data(), row.n, d, query_scale, options, capacity,
                                      scratch.data(), out);
  result.num_clusters = out.num_clusters;
  for (size_t i = 0; i < guard; ++i) {
    CHECK(scratch[floats + i] == 7.0f);
    CHECK(result.sizes[static_cast<size_t>(capacity) + i] == 7 && result.order[static_cast<size_t>(row.n) + i] == 7);
    CHECK(result.centroids[static_cast<size_t>(capacity * d) + i] == 7 && result.variances[static_cast<size_t>(capacity) + i] == 7);
    CHECK(result.value_sums[static_cast<size_t>(capacity * d) + i] == 7 && result.squares[static_cast<size_t>(d) + i] == 7);
  }
  return result;
}

/// Partition, cap and ascending members; returns each cluster's members.
std::vector<std::vector<int64_t>> check_partition(const Row& row, const Clusters& clusters, int32_t cap) {
  CHECK(clusters.status == 0);
  std::vector<int> seen(static_cast<size_t>(row.n), 0);
  std::vector<std::vector<int64_t>> members;
  int64_t position = 0;
  for (int32_t c = 0; c < clusters.num_clusters; ++c) {
    const int64_t size = clusters.sizes[static_cast<size_t>(c)];
    CHECK(size >= 1 && size <= cap);
    members.emplace_back();
    for (int64_t i = 0; i < size; ++i) {
      CHECK(position < row.n);
      const int64_t token = clusters.order[static_cast<size_t>(position++)];
      CHECK(token < row.n);
      CHECK(i == 0 || token > members.back().back());
      ++seen[static_cast<size_t>(token)];
      members.back().push_back(token);
    }
  }
  CHECK(position == row.n);
  for (int count : seen) CHECK(count == 1);
  return members;
}

/// Centroids, value sums, variances and squares against float64.
void check_contents(const Row& row, const Clusters& clusters, const std::vector<std::vector<int64_t>>& members) {
  const int64_t d = row.head_dim;
  std::vector<double> squares(static_cast<size_t>(d), 0.0);
  double trace = 0;
  for (size_t c = 0; c < members.size(); ++c) {
    const double size = static_cast<double>(members[c].size());
    std::vector<double> mean(static_cast<size_t>(d), 0.0), values(static_cast<size_t>(d), 0.0);
    for (int64_t t : members[c]) {
      for (int64_t i = 0; i < d; ++i) {
        mean[static_cast<size_t>(i)] += half_value(row.keys[static_cast<size_t>(t * d + i)]) / size;
        values[static_cast<size_t>(i)] += half_value(row.values[static_cast<size_t>(t * d + i)]);
      }
    }
    double variance = 0;
    for (int64_t t : members[c]) {
      for (int64_t i = 0; i < d; ++i) {
        const double key = half_value(row.keys[static_cast<size_t>(t * d + i)]);
        const double square = std::pow(key - mean[static_cast<size_t>(i)], 2);
        variance += square / size;
        squares[static_cast<size_t>(i)] += square;
      }
    }
    trace += variance * size;
    CHECK_NEAR(clusters.variances[c], variance, 1e-5, 1e-4);
    for (int64_t i = 0; i < d; ++i) {
      const size_t at = c * static_cast<size_t>(d) + static_cast<size_t>(i);
      CHECK_NEAR(half_value(clusters.centroids[at]), mean[static_cast<size_t>(i)], 1e-4, 6e-4);
      const double clamped = std::max(-65504.0, std::min(65504.0, values[static_cast<size_t>(i)]));
      CHECK_NEAR(half_value(clusters.value_sums[at]), clamped, 1e-4, 6e-4);
    }
  }
  for (size_t i = 0; i < squares.size(); ++i) CHECK_NEAR(clusters.squares[i], squares[i], 1e-5 * trace + 1e-6, 0);
}

std::vector<double> clustering_space(const Row& row, const ClusteringOptions& options, const float* scale) {
  const int64_t d = row.head_dim;
  std::vector<double> points(static_cast<size_t>(row.n * d)), mean(static_cast<size_t>(d), 0.0);
  for (size_t i = 0; i < points.size(); ++i) mean[i % static_cast<size_t>(d)] += half_value(row.keys[i]) / static_cast<double>(row.n);
  for (int64_t t = 0; t < row.n; ++t) {
    double square = 0;
    for (int64_t i = 0; i < d; ++i) {
      const size_t at = static_cast<size_t>(t * d + i);
      points[at] = (half_value(row.keys[at]) - mean[static_cast<size_t>(i)]) * (scale == nullptr ? 1.0 : scale[i]);
      square += points[at] * points[at];
    }
    for (int64_t i = 0; options.spherical && i < d; ++i) points[static_cast<size_t>(t * d + i)] /= std::sqrt(square) + 1e-30;
  }
  return points;
}

/// What k-means minimises: the sum of squared distances to the cluster's mean (its direction where spherical).
double objective(const std::vector<double>& points, int64_t d, const std::vector<std::vector<int64_t>>& members,
                 bool spherical) {
  double total = 0;
  for (const std::vector<int64_t>& cluster : members) {
    std::vector<double> mean(static_cast<size_t>(d), 0.0);
    double square = 0;
    for (int64_t t : cluster) {
      for (int64_t i = 0; i < d; ++i) mean[static_cast<size_t>(i)] += points[static_cast<size_t>(t * d + i)] / static_cast<double>(cluster.size());
    }
    for (double x : mean) square += x * x;
    for (double& x : mean) x /= spherical ? std::sqrt(square) + 1e-30 : 1.0;
    for (int64_t t : cluster) {
      for (int64_t i = 0; i < d; ++i) {
        const double difference = points[static_cast<size_t>(t * d + i)] - mean[static_cast<size_t>(i)];
        total += difference * difference;
      }
    }
  }
  return total;
}

/// Lloyd's iterations in float64 from the middle token of k equal runs; empty clusters keep their centroid.
std::vector<std::vector<int64_t>> naive_k_means(const std::vector<double>& points, int64_t n, int64_t d, int64_t k,
                                                const ClusteringOptions& options) {
  std::vector<double> centroids;
  for (int64_t c = 0; c < k; ++c) {
    const int64_t token = (2 * c + 1) * n / (2 * k);
    centroids.insert(centroids.end(), points.begin() + token * d, points.begin() + (token + 1) * d);
  }
  std::vector<std::vector<int64_t>> members;
  for (int32_t iteration = 0; iteration < options.iterations; ++iteration) {
    members.assign(static_cast<size_t>(k), {});
    for (int64_t t = 0; t < n; ++t) {
      int64_t best = 0;
      double nearest = 1e300;
      for (int64_t c = 0; c < k; ++c) {
        double distance = 0;
        for (int64_t i = 0; i < d; ++i) {
          const double difference = points[static_cast<size_t>(t * d + i)] - centroids[static_cast<size_t>(c * d + i)];
          distance += difference * difference;
        }
        if (distance < nearest) {
          nearest = distance;
          best = c;
        }
      }
      members[static_cast<size_t>(best)].push_back(t);
    }
    for (int64_t c = 0; c < k; ++c) {
      const std::vector<int64_t>& cluster = members[static_cast<size_t>(c)];
      if (cluster.empty()) continue;
      double square = 0;
      for (int64_t i = 0; i < d; ++i) {
        double total = 0;
        for (int64_t t : cluster) total += points[static_cast<size_t>(t * d + i)];
        centroids[static_cast<size_t>(c * d + i)] = total / static_cast<double>(cluster.size());
        square += centroids[static_cast<size_t>(c * d + i)] * centroids[static_cast<size_t>(c * d + i)];
      }
      for (int64_t i = 0; options.spherical && i < d; ++i) centroids[static_cast<size_t>(c * d + i)] /= std::sqrt(square) + 1e-30;
    }
  }
  return members;
}

bool same(const Clusters& a, const Clusters& b) {
  return a.status == b.status && a.num_clusters == b.num_clusters && a.sizes == b.sizes && a.order == b.order &&
         a.centroids == b.centroids && a.value_sums == b.value_sums && a.variances == b.variances &&
         a.squares == b.squares;
}

}  // namespace

TEST(every_token_once_within_the_cap_with_right_contents) {
  for (const Kernels* kernels : levels()) {
    for (int64_t d : {16, 64, 80, 128}) {
      for (int64_t n : {1, 2, 9, 67, 500}) {
        for (bool spherical : {true, false}) {
          const Row row = mixture(31, n, d, 12, 0.4);
          const ClusteringOptions options = {spherical, 4, 16, 20};
          const Clusters clusters = cluster(*kernels, row, options, static_cast<int32_t>(n / 16 + n / 20 + 2));
          check_contents(row, clusters, check_partition(row, clusters, 20));
        }
      }
    }
  }
}

TEST(no_tokens_give_no_clusters) {
  for (const Kernels* kernels : levels()) {
    const Clusters clusters = cluster(*kernels, {0, 64, {}, {}}, {true, 5, 16, 32}, 4);
    CHECK(clusters.status == 0 && clusters.num_clusters == 0);
  }
}

TEST(fewer_tokens_than_one_cluster_holds_give_one_cluster) {
  for (const Kernels* kernels : levels()) {
    const Clusters clusters = cluster(*kernels, mixture(32, 7, 64, 3, 1), {true, 5, 16, 32}, 1);
    CHECK(clusters.status == 0 && clusters.num_clusters == 1 && clusters.sizes[0] == 7);
  }
}

TEST(identical_keys_are_cut_by_position) {
  for (const Kernels* kernels : levels()) {
    Row row = mixture(33, 1000, 64, 1, 0);
    for (bool spherical : {true, false}) {
      const Clusters clusters = cluster(*kernels, row, {spherical, 5, 16, 32}, 128);
      check_contents(row, clusters, check_partition(row, clusters, 32));
      CHECK(clusters.num_clusters == 32);
    }
  }
}

TEST(one_skewed_cluster_is_split_evenly_and_keeps_neighbours_together) {
  for (const Kernels* kernels : levels()) {
    // 900 of 1000 keys lie along one line, the rest far away: most clusters start inside the far group.
    Row row = mixture(34, 1000, 64, 40, 1);
    for (int64_t t = 0; t < 900; ++t) {
      for (int64_t i = 0; i < 64; ++i) row.keys[static_cast<size_t>(t * 64 + i)] = half_of(20 + (i == 3 ? 0.01 * static_cast<double>(t * 37 % 900) : 0));
    }
    const Clusters clusters = cluster(*kernels, row, {false, 1, 250, 32}, 64);
    const auto members = check_partition(row, clusters, 32);
    check_contents(row, clusters, members);
    int64_t smallest_on_line = 1000;
    for (const auto& cluster : members) {
      if (cluster.front() >= 900) continue;
      double low = 1e9, high = -1e9;
      int64_t on_line = 0;
      for (int64_t t : cluster) {
        if (t >= 900) continue;
        ++on_line;
        low = std::min(low, static_cast<double>(t * 37 % 900));
        high = std::max(high, static_cast<double>(t * 37 % 900));
      }
      if (on_line == static_cast<int64_t>(cluster.size())) {
        smallest_on_line = std::min(smallest_on_line, on_line);
        CHECK(high - low < 40);  // a run along the line, not a scatter
      }
    }
    CHECK(smallest_on_line >= 14);
  }
}

TEST(too_little_capacity_is_refused) {
  for (const Kernels* kernels : levels()) {
    const Row row = mixture(35, 400, 64, 4, 0.1);
    CHECK(cluster(*kernels, row, {true, 3, 16, 8}, 24).status == -1);   // before splits: 25 clusters
    CHECK(cluster(*kernels, row, {true, 3, 16, 8}, 45).status == -1);   // after: at least 50
    CHECK(cluster(*kernels, row, {true, 3, 16, 8}, 25 + 50).status == 0);
  }
}

TEST(the_same_input_gives_the_same_bytes) {
  for (const Kernels* kernels : levels()) {
    const Row row = mixture(36, 777, 64, 30, 0.5);
    const ClusteringOptions options = {true, 5, 16, 24};
    CHECK(same(cluster(*kernels, row, options, 200), cluster(*kernels, row, options, 200)));
  }
}

TEST(as_good_as_float64_k_means_at_every_level) {
  for (int64_t d : {64, 128}) {
    Random random(37);
    std::vector<float> scale;
    for (int64_t i = 0; i < d; ++i) scale.push_back(static_cast<float>(0.2 + 2 * random.uniform()));
    const Row row = mixture(38, 1000, d, 50, 0.7);
    for (bool spherical : {true, false}) {
      const float* query_scale = spherical ? nullptr : scale.data();
      const ClusteringOptions options = {spherical, 6, 16, 1000};
      const std::vector<double> points = clustering_space(row, options, query_scale);
      const double naive = objective(points, d, naive_k_means(points, row.n, d, 63, options), spherical);
      for (const Kernels* kernels : levels()) {
        const Clusters clusters = cluster(*kernels, row, options, 63, query_scale);
        const double found = objective(points, d, check_partition(row, clusters, 1000), spherical);
        CHECK(found <= naive * 1.02);
        const Clusters capped = cluster(*kernels, row, {spherical, 6, 16, 32}, 120, query_scale);
        CHECK(objective(points, d, check_partition(row, capped, 32), spherical) <= naive * 1.02);
      }
    }
  }
}

TEST(separate_groups_are_found_exactly) {
  for (const Kernels* kernels : levels()) {
    // 20 tight groups in turn: token t belongs to group t / 16, so each group holds one start.
    Row row = mixture(39, 320, 64, 1, 0.02);
    Random random(40);
    const std::vector<float> centres = random_floats(random, 20 * 64, 2);
    for (int64_t i = 0; i < 320 * 64; ++i) {
      const float centre = centres[static_cast<size_t>(i / 64 / 16 * 64 + i % 64)];
      row.keys[static_cast<size_t>(i)] = half_of(half_value(row.keys[static_cast<size_t>(i)]) + centre);
    }
    const Clusters clusters = cluster(*kernels, row, {true, 5, 16, 32}, 64);
    CHECK(clusters.num_clusters == 20);
    for (int64_t t = 0; t < 320; ++t) CHECK(clusters.order[static_cast<size_t>(t)] == t);
  }
}

TEST(euclidean_groups_on_one_ray_are_told_apart) {
  for (const Kernels* kernels : levels()) {
    Row row = mixture(42, 320, 64, 1, 0.02);  // token t in group t / 16, at distance 1 + t / 16 from the origin
    for (int64_t t = 0; t < 320; ++t) row.keys[static_cast<size_t>(t * 64 + 5)] = half_of(1.0 + static_cast<double>(t / 16));
    const Clusters clusters = cluster(*kernels, row, {false, 3, 16, 32}, 64);
    CHECK(clusters.num_clusters == 20);
    for (int64_t t = 0; t < 320; ++t) CHECK(clusters.order[static_cast<size_t>(t)] == t);
  }
}

TEST(ties_go_to_the_lowest_and_the_worst_fit_refills) {
  for (const Kernels* kernels : levels()) {
    // Three runs of 16, each with one start. Runs 0 and 1 are one key, so that start 1 stays empty; of run 2, token 35
    // lies farthest from its start (token 40).
    Row row = mixture(43, 48, 64, 1, 0);
    for (int64_t t = 32; t < 48; ++t) {
      row.keys[static_cast<size_t>(t * 64 + 1)] = half_of(30);
      row.keys[static_cast<size_t>(t * 64 + 2)] = half_of(t == 35 ? 20 : 0.01 * static_cast<double>(t));
    }
    for (bool spherical : {true, false}) {
      const Clusters clusters = cluster(*kernels, row, {spherical, 1, 16, 48}, 8);
      CHECK(clusters.num_clusters == 3);
      CHECK(clusters.sizes[0] == 32 && clusters.sizes[1] == 1 && clusters.sizes[2] == 15);
      CHECK(clusters.order[0] == 0 && clusters.order[32] == 35 && clusters.order[33] == 32);
    }
  }
}

TEST(retrieving_every_cluster_is_exact_attention) {
  for (const Kernels* kernels : levels()) {
    const int64_t n = 700, d = 64;
    const Row row = mixture(44, n, d, 30, 0.5);
    const Clusters clusters = cluster(*kernels, row, {true, 5, 16, 32}, 100);
    std::vector<uint16_t> keys, values;  // in cluster order, as a segment stores them
    for (int64_t i = 0; i < n; ++i) {
      const int64_t from = clusters.order[static_cast<size_t>(i)] * d;
      keys.insert(keys.end(), row.keys.begin() + from, row.keys.begin() + from + d);
      values.insert(values.end(), row.values.begin() + from, row.values.begin() + from + d);
    }
    std::vector<wavekv::KvRange> ranges;
    int64_t begin = 0;
    for (int32_t c = 0; c < clusters.num_clusters; ++c) {
      const int64_t size = clusters.sizes[static_cast<size_t>(c)];
      ranges.push_back(f16_range(keys.data() + begin * d, values.data() + begin * d, d, size));
      begin += size;
    }
    Random random(45);
    const std::vector<float> q = random_floats(random, 3 * d, 0.2);
    State state(3, d);
    kernels->attend_ranges(q.data(), 3, d, ranges.data(), clusters.num_clusters, state.view());
    for (int64_t a = 0; a < 3; ++a) {
      Reference reference;
      add_tokens(reference, q.data() + a * d, f16_range(row.keys.data(), row.values.data(), d, n), n, d);
      check_state(*kernels, state, a, d, reference, 1e-5);
    }
  }
}

TEST(value_sums_stay_finite) {
  for (const Kernels* kernels : levels()) {
    Row row = mixture(41, 40, 64, 1, 0.1);
    for (uint16_t& value : row.values) value = half_of(60000);
    row.values[0] = half_of(-60000);
    const Clusters clusters = cluster(*kernels, row, {true, 2, 16, 32}, 16);
    check_contents(row, clusters, check_partition(row, clusters, 32));
  }
}

TEST_MAIN()
