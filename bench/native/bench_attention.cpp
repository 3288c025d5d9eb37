// Times the attention and clustering kernels on one thread: medians of short runs. Usage: bench_attention [level]
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels.h"

namespace {

using wavekv::AttentionState;
using wavekv::Kernels;
using wavekv::KvRange;

/// CPU time of this thread: other work on the machine is not counted (what it takes from caches and memory is).
double now_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Median seconds of `runs` calls.
template <typename Body>
double median_seconds(int runs, Body&& body) {
  std::vector<double> times;
  body();
  for (int i = 0; i < runs; ++i) {
    const double start = now_seconds();
    body();
    times.push_back(now_seconds() - start);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Pseudo-random halves of magnitude below 2, in huge pages.
uint16_t* random_halves(int64_t n) {
  const size_t bytes = (static_cast<size_t>(n) * 2 + (2u << 20) - 1) / (2u << 20) * (2u << 20);
  uint16_t* x = static_cast<uint16_t*>(std::aligned_alloc(2u << 20, bytes));
  madvise(x, bytes, MADV_HUGEPAGE);
  uint32_t state = 12345;
  for (int64_t i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;
    x[i] = static_cast<uint16_t>((state >> 16 & 0x83ffu) | (0x3400u + ((state >> 8 & 3u) << 10)));
  }
  return x;
}

std::vector<float> random_floats(int64_t n, float scale) {
  std::vector<float> x(static_cast<size_t>(n));
  uint32_t state = 54321;
  for (float& value : x) {
    state = state * 1664525u + 1013904223u;
    value = (static_cast<float>(state >> 8) / 8388608.0f - 1.0f) * scale;
  }
  return x;
}

struct State {
  std::vector<float> out, max, denominator;
  State(int64_t num_queries, int64_t head_dim)
      : out(static_cast<size_t>(num_queries * head_dim)),
        max(static_cast<size_t>(num_queries), wavekv::kNoMass),
        denominator(static_cast<size_t>(num_queries)) {}
  AttentionState view() { return {out.data(), max.data(), denominator.data()}; }
};

/// The ceiling: a plain sum over the bytes.
void bench_read(const uint16_t* x, int64_t n) {
  volatile uint64_t sink = 0;
  const double seconds = median_seconds(5, [&] {
    uint64_t total[8] = {};
    for (int64_t i = 0; i + 32 <= n; i += 32) {
      for (int64_t j = 0; j < 8; ++j) {
        uint64_t part;
        memcpy(&part, x + i + j * 4, 8);
        total[j] += part;
      }
    }
    for (uint64_t part : total) sink = sink + part;
  });
  std::printf("plain read       %6.2f GB/s\n", static_cast<double>(n) * 2 / seconds * 1e-9);
}

void bench_decode(const Kernels& kernels, int64_t head_dim, const uint16_t* keys, const uint16_t* values,
                  int64_t num_tokens) {
  for (int64_t length : {int64_t{2048}, int64_t{16}, num_tokens}) {  // in cache, scattered, one after another
    std::vector<KvRange> ranges;
    for (int64_t t = 0; t + length <= num_tokens; t += length) {
      ranges.push_back({keys + t * head_dim, values + t * head_dim, length});
    }
    uint32_t state = 777;
    for (size_t i = ranges.size(); i > 1; --i) {
      state = state * 1664525u + 1013904223u;
      std::swap(ranges[i - 1], ranges[state % i]);
    }
    if (length == 16) ranges.resize(ranges.size() / 4);
    if (length == 2048) ranges.resize(1);
    const double bytes = static_cast<double>(ranges.size()) * static_cast<double>(length * head_dim * 4);
    for (int64_t num_queries : {1, 3, 4, 7, 8, 16}) {
      const std::vector<float> q = random_floats(num_queries * head_dim, 0.3f);
      State attention(num_queries, head_dim);
      const double seconds = median_seconds(length == 2048 ? 51 : 5, [&] {
        kernels.attend_ranges(q.data(), num_queries, head_dim, ranges.data(), static_cast<int64_t>(ranges.size()),
                              attention.view());
      });
      std::printf("attend_ranges    d=%-3d queries=%-2d ranges of %-7d  %6.2f GB/s\n", static_cast<int>(head_dim),
                  static_cast<int>(num_queries), static_cast<int>(length), bytes / seconds * 1e-9);
    }
  }
}

void bench_meta(const Kernels& kernels, int64_t head_dim, const uint16_t* keys, const uint16_t* values) {
  const int64_t n = 2048;
  const std::vector<uint16_t> sizes(static_cast<size_t>(n), 16);
  const std::vector<float> variances(static_cast<size_t>(n), 2.0f);
  std::vector<uint8_t> take;
  for (int64_t c = 0; c < n; ++c) take.push_back(c % 4 == 0);
  for (int64_t num_queries : {3, 7}) {
    const std::vector<float> q = random_floats(num_queries * head_dim, 0.3f);
    const std::vector<float> query_variance(static_cast<size_t>(num_queries), 0.2f);
    std::vector<float> log_mass(static_cast<size_t>(num_queries * n));
    State attention(num_queries, head_dim);
    const wavekv::MetaIndex index = {keys, values, sizes.data(), variances.data(), n};
    const double score = median_seconds(31, [&] {
      kernels.score_clusters(q.data(), num_queries, head_dim, index, query_variance.data(), log_mass.data(), n);
    });
    const double estimate = median_seconds(31, [&] {
      kernels.estimate_clusters(num_queries, head_dim, index, take.data(), log_mass.data(), n, attention.view());
    });
    std::printf("score_clusters   d=%-3d queries=%-2d  %6.2f ns a cluster; estimate_clusters %6.2f ns a taken one\n",
                static_cast<int>(head_dim), static_cast<int>(num_queries), score / static_cast<double>(n) * 1e9,
                estimate / static_cast<double>(n / 4) * 1e9);
  }
}

void bench_prefill(const Kernels& kernels, int64_t head_dim, const uint16_t* keys, const uint16_t* values) {
  std::vector<float> scratch(static_cast<size_t>(kernels.tile_scratch_floats(head_dim)));
  for (int64_t num_queries : {24, 384, 1024}) {
    const int64_t num_keys = 2048;
    const std::vector<float> q = random_floats(num_queries * head_dim, 0.3f);
    State attention(num_queries, head_dim);
    const double seconds = median_seconds(7, [&] {
      kernels.attend_tile(q.data(), num_queries, head_dim, {keys, values, num_keys}, nullptr, scratch.data(),
                          attention.view());
    });
    const double flops = 4.0 * static_cast<double>(num_queries * num_keys * head_dim);
    std::printf("attend_tile      d=%-3d queries=%-4d keys=%d  %6.1f GFLOP/s\n", static_cast<int>(head_dim),
                static_cast<int>(num_queries), static_cast<int>(num_keys), flops / seconds * 1e-9);
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
      bench_decode(kernels, head_dim, keys, values, num_tokens * 64 / head_dim);
      bench_meta(kernels, head_dim, keys, values);
      bench_prefill(kernels, head_dim, keys, values);
      bench_clustering(kernels, head_dim, keys, values);
      std::free(keys);
      std::free(values);
    }
  }
  return 0;
}
