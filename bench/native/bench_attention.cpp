// Times the attention and clustering kernels on one thread: medians of short runs. Usage: bench_attention [level]
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench_support.h"
#include "kernels.h"

namespace {

using namespace wavekv_bench;
using wavekv::Kernels;
using wavekv::KvRange;

/// Median seconds of `runs` calls.
template <typename Body>
double median_seconds(int runs, Body&& body) {
  return median_timing(runs, body).cpu;
}

/// The ceiling: a plain sum over the bytes.
void bench_read(const uint16_t* x, int64_t n) {
  volatile uint64_t sink = 0;
  const double seconds =
      median_seconds(5, [&] { sink = sink + sum_words(reinterpret_cast<const uint64_t*>(x), n / 4); });
  std::printf("plain read       %6.2f GB/s\n", static_cast<double>(n) * 2 / seconds * 1e-9);
}

void bench_decode(const Kernels& kernels, wavekv::KvType type, int64_t head_dim, int64_t num_tokens) {
  uint8_t* records = random_records(type, head_dim, num_tokens);
  const std::vector<uint16_t> centre(static_cast<size_t>(head_dim));
  const int64_t stride = wavekv::kv_record_bytes(type, head_dim);
  for (int64_t length : {int64_t{2048}, int64_t{8}, int64_t{16}, num_tokens}) {  // in cache, scattered, one after another
    std::vector<KvRange> ranges;
    for (int64_t t = 0; t + length <= num_tokens; t += length) {
      ranges.push_back(wavekv::kv_records(type, records, head_dim, t, length, centre.data()));
    }
    shuffle(ranges);
    if (length <= 16) ranges.resize(ranges.size() / 4);
    if (length == 2048) ranges.resize(1);
    const double tokens = static_cast<double>(ranges.size()) * static_cast<double>(length);
    for (int64_t num_queries : {1, 3, 4, 7, 8, 16}) {
      const std::vector<float> q = random_floats(num_queries * head_dim, 0.3f);
      State attention(num_queries, head_dim);
      const double seconds = median_seconds(length == 2048 ? 51 : 5, [&] {
        kernels.attend_ranges(q.data(), num_queries, head_dim, ranges.data(), static_cast<int64_t>(ranges.size()),
                              attention.view());
      });
      std::printf("attend_ranges    %s d=%-3d queries=%-2d ranges of %-7d  %6.2f GB/s  %6.2f ns a token\n",
                  type == wavekv::KvType::kQ8 ? "q8 " : "f16", static_cast<int>(head_dim),
                  static_cast<int>(num_queries), static_cast<int>(length),
                  tokens * static_cast<double>(stride) / seconds * 1e-9, seconds / tokens * 1e9);
    }
  }
  std::free(records);
}

void bench_meta(const Kernels& kernels, int64_t head_dim, const int8_t* centroids, const int8_t* value_sums) {
  const int64_t n = 2048;
  const std::vector<uint16_t> sizes(static_cast<size_t>(n), 16), centre(static_cast<size_t>(head_dim));
  const std::vector<float> variances(static_cast<size_t>(n), 2.0f), scales(static_cast<size_t>(n), 1.0f / 64);
  std::vector<wavekv::EstimatedCluster> taken;
  for (int64_t c = 0; c < n; c += 4) taken.push_back({value_sums + c * head_dim, 1.0f / 1024, static_cast<uint32_t>(c)});
  for (int64_t num_queries : {3, 7}) {
    const std::vector<float> q = random_floats(num_queries * head_dim, 0.3f);
    const std::vector<float> query_variance(static_cast<size_t>(num_queries), 0.2f);
    std::vector<float> log_mass(static_cast<size_t>(num_queries * n)), share(static_cast<size_t>(n + 16));
    std::vector<uint32_t> chosen(static_cast<size_t>(n));
    State attention(num_queries, head_dim);
    const wavekv::MetaIndex index = {centroids,     value_sums,   scales.data(),    scales.data(),
                                     centre.data(), sizes.data(), variances.data(), n};
    const double score = median_seconds(31, [&] {
      kernels.score_clusters(q.data(), num_queries, head_dim, &index, 1, query_variance.data(), log_mass.data(), n);
    });
    const double estimate = median_seconds(31, [&] {
      kernels.estimate_clusters(num_queries, head_dim, taken.data(), static_cast<int64_t>(taken.size()), log_mass.data(),
                                n, attention.view());
    });
    float top = 0, sum = 0;
    kernels.softmax_terms(log_mass.data(), n, share.data(), &top, &sum);
    const double select = median_seconds(31, [&] { kernels.select_largest(share.data(), n, n / 20, chosen.data()); });
    std::printf("score_clusters   d=%-3d queries=%-2d  %6.2f ns a cluster; estimate_clusters %6.2f ns a taken one; "
                "select_largest %5.2f ns a cluster\n",
                static_cast<int>(head_dim), static_cast<int>(num_queries), score / static_cast<double>(n) * 1e9,
                estimate / static_cast<double>(taken.size()) * 1e9, select / static_cast<double>(n) * 1e9);
  }
}

void bench_prefill(const Kernels& kernels, int64_t head_dim, const uint16_t* keys) {
  using wavekv::KvType;
  const int64_t num_keys = 2048;
  std::vector<uint8_t> records(static_cast<size_t>(num_keys * wavekv::kv_record_bytes(KvType::kF16, head_dim)));
  for (KvType type : {KvType::kF16, KvType::kQ8}) {
    memcpy(records.data(), keys, records.size());
    for (int64_t t = 0; type == KvType::kQ8 && t < num_keys; ++t) {
      const float scales[2] = {0.01f, 0.02f};
      memcpy(records.data() + t * wavekv::kv_record_bytes(type, head_dim) + 2 * head_dim, scales, sizeof scales);
    }
    const KvRange range = wavekv::kv_records(type, records.data(), head_dim, 0, num_keys, keys);
    for (int64_t num_queries : {24, 192, 448, 1024}) {
      std::vector<float> scratch(static_cast<size_t>(kernels.tile_scratch_floats(head_dim, num_queries)));
      const std::vector<float> q = random_floats(num_queries * head_dim, 0.3f);
      State attention(num_queries, head_dim);
      const double seconds = median_seconds(9, [&] {
        kernels.attend_tile(q.data(), num_queries, head_dim, range, nullptr, scratch.data(), attention.view());
      });
      const double flops = 4.0 * static_cast<double>(num_queries * num_keys * head_dim);
      std::printf("attend_tile      d=%-3d %s queries=%-4d keys=%d  %6.1f GFLOP/s\n", static_cast<int>(head_dim),
                  type == KvType::kQ8 ? "int8" : "f16 ", static_cast<int>(num_queries), static_cast<int>(num_keys),
                  flops / seconds * 1e-9);
    }
  }
}

void bench_clustering(const Kernels& kernels, int64_t head_dim, const uint16_t* keys, const uint16_t* values) {
  for (int64_t n : {1024, 2048, 8192}) {
    const int32_t capacity = static_cast<int32_t>(n / 16 + n / 32 + 2);
    std::vector<uint16_t> sizes(static_cast<size_t>(capacity)), order(static_cast<size_t>(n));
    std::vector<uint16_t> centroids(static_cast<size_t>(capacity * head_dim)), sums(static_cast<size_t>(capacity * head_dim));
    std::vector<float> variances(static_cast<size_t>(capacity)), squares(static_cast<size_t>(head_dim));
    std::vector<float> scratch(static_cast<size_t>(kernels.cluster_scratch_floats(n, head_dim, capacity)));
    wavekv::RowClusters out = {0,          sizes.data(),     order.data(),     centroids.data(),
                               sums.data(), variances.data(), squares.data()};
    for (int32_t iterations : {1, 5}) {
      const double seconds = median_seconds(n > 4000 ? 3 : 9, [&] {
        kernels.cluster_row(keys, values, n, head_dim, nullptr, {true, iterations, 16, 32}, capacity, scratch.data(), out);
      });
      std::printf("cluster_row      d=%-3d n=%-5d iterations=%d  %7.3f ms\n", static_cast<int>(head_dim),
                  static_cast<int>(n), iterations, seconds * 1e3);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string wanted = argc > 1 ? argv[1] : "";
  const int64_t num_tokens = 1 << 20;
  for (wavekv::SimdLevel level : {wavekv::SimdLevel::kPortable, wavekv::SimdLevel::kAvx2, wavekv::SimdLevel::kAvx512}) {
    if (level > wavekv::detect_simd_level()) continue;
    const Kernels& kernels = wavekv::kernels_for(level);
    if (!wanted.empty() && wanted != kernels.name) continue;
    std::printf("level %s\n", kernels.name);
    for (int64_t head_dim : {64, 128}) {
      uint16_t* keys = random_halves(num_tokens * 64);  // 128 MB each: beyond the caches of one core
      uint16_t* values = random_halves(num_tokens * 64);
      bench_read(keys, num_tokens * 64);
      for (wavekv::KvType type : {wavekv::KvType::kF16, wavekv::KvType::kQ8}) {
        bench_decode(kernels, type, head_dim, num_tokens * 64 / head_dim);
      }
      bench_meta(kernels, head_dim, reinterpret_cast<const int8_t*>(keys), reinterpret_cast<const int8_t*>(values));
      bench_prefill(kernels, head_dim, keys);
      bench_clustering(kernels, head_dim, keys, values);
      std::free(keys);
      std::free(values);
    }
  }
  return 0;
}
