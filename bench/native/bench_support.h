#pragma once
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "huge_buffer.h"
#include "kernels.h"
#include "linear.h"
#include "thread_pool.h"

// What the native benchmarks share: clocks, medians, and data from fixed seeds.
namespace wavekv_bench {

/// CPU time of this thread: other work on the machine is not counted (what it takes from caches and memory is).
inline double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// CPU time of all threads; one that spins in wait for work counts too.
inline double process_cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

inline double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Timing {
  double cpu;   // of the calling thread
  double wall;
};

/// Medians of `runs` calls, after one that is not counted.
template <typename Body>
Timing median_timing(int runs, Body&& body) {
  std::vector<double> cpu, wall;
  body();
  for (int i = 0; i < runs; ++i) {
    const double cpu_start = cpu_seconds(), wall_start = wall_seconds();
    body();
    cpu.push_back(cpu_seconds() - cpu_start);
    wall.push_back(wall_seconds() - wall_start);
  }
  return {median(cpu), median(wall)};
}

/// Pseudo-random halves of magnitude below 2, in huge pages; std::free() them.
inline uint16_t* random_halves(int64_t n) {
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

inline std::vector<float> random_floats(int64_t n, float scale) {
  std::vector<float> x(static_cast<size_t>(n));
  uint32_t state = 54321;
  for (float& value : x) {
    state = state * 1664525u + 1013904223u;
    value = (static_cast<float>(state >> 8) / 8388608.0f - 1.0f) * scale;
  }
  return x;
}

/// Records with the scales of both vectors set to 1/64, on random bytes; std::free() them.
inline uint8_t* random_records(wavekv::KvType type, int64_t head_dim, int64_t num_tokens) {
  const int64_t stride = wavekv::kv_record_bytes(type, head_dim);
  uint8_t* records = reinterpret_cast<uint8_t*>(random_halves(num_tokens * stride / 2));
  const float scales[2] = {1.0f / 64, 1.0f / 64};
  for (int64_t t = 0; type == wavekv::KvType::kQ8 && t < num_tokens; ++t) {
    memcpy(records + t * stride + 2 * head_dim, scales, sizeof scales);
  }
  return records;
}

template <typename T>
void shuffle(std::vector<T>& items) {
  uint32_t state = 777;
  for (size_t i = items.size(); i > 1; --i) {
    state = state * 1664525u + 1013904223u;
    std::swap(items[i - 1], items[state % i]);
  }
}

struct State {
  std::vector<float> out, max, denominator;
  State(int64_t num_queries, int64_t head_dim)
      : out(static_cast<size_t>(num_queries * head_dim)),
        max(static_cast<size_t>(num_queries), wavekv::kNoMass),
        denominator(static_cast<size_t>(num_queries)) {}
  wavekv::AttentionState view() { return {out.data(), max.data(), denominator.data()}; }
};

/// Sum of the words: the plainest read of memory, in the widest loads there are. num_words is a multiple of 64.
#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static uint64_t sum_words(const uint64_t* p, int64_t num_words) {
  typedef uint64_t Words __attribute__((vector_size(64), aligned(8), may_alias));
  Words sums[8] = {};
  for (int64_t i = 0; i + 64 <= num_words; i += 64) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) sums[j] += *reinterpret_cast<const Words*>(p + i + j * 8);
  }
  uint64_t total = 0;
  for (const Words& sum : sums) {
    for (int j = 0; j < 8; ++j) total += sum[j];
  }
  return total;
}

/// Reads the buffer with all threads of the pool, each its own part.
inline void read_all(const wavekv::HugeBuffer& memory, wavekv::ThreadPool& pool) {
  const int64_t words = memory.size_bytes() / 8 / pool.num_threads();
  pool.run([&](int thread) {
    const uint64_t sum = sum_words(memory.as<uint64_t>() + thread * words, words);
    asm volatile("" : : "r"(sum));
  });
}

/// The file's bytes do not matter for speed, but NaN scales would: 0x11 everywhere is an ordinary number in f16.
inline std::shared_ptr<wavekv::PackedMatrix> weight_matrix(wavekv::GgmlType type, int64_t rows, int64_t cols,
                                                           wavekv::ThreadPool& pool) {
  const wavekv::GgmlTypeInfo& info = *wavekv::ggml_type_info(static_cast<uint32_t>(type));
  wavekv::HugeBuffer data(rows * cols / info.block_values * info.block_bytes);
  memset(data.data(), 0x11, static_cast<size_t>(data.size_bytes()));
  return wavekv::pack_matrix(type, data.data(), rows, cols, pool);
}

}  // namespace wavekv_bench
