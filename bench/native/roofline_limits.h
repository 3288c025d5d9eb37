#pragma once
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "roofline_result.h"

// What the machine can do: reads of memory, and multiply-adds on registers alone.
namespace wavekv_bench {

constexpr int64_t kMemoryBytes = int64_t{512} << 20;  // beyond any cache
constexpr int64_t kPeakRounds = 1 << 20;
constexpr int kChains = 12;  // independent sums, more than the latency of a multiply-add needs

/// Each returns the operations done: 2 a multiply-add.
inline double f32_portable() {
  typedef float Lanes __attribute__((vector_size(16)));
  Lanes sums[kChains] = {}, x = {1, 1, 1, 1}, y = {1, 1, 1, 1};
  for (int64_t i = 0; i < kPeakRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      sums[c] += x * y;
      asm volatile("" : "+x"(sums[c]), "+x"(x));
    }
  }
  return 2.0 * 4 * kChains * kPeakRounds;
}

#if defined(__x86_64__)

__attribute__((target("avx2,fma"))) inline double f32_avx2() {
  __m256 sums[kChains] = {}, x = _mm256_set1_ps(1), y = x;
  for (int64_t i = 0; i < kPeakRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      sums[c] = _mm256_fmadd_ps(x, y, sums[c]);
      asm volatile("" : "+x"(sums[c]));
    }
  }
  return 2.0 * 8 * kChains * kPeakRounds;
}

__attribute__((target("avx512f"))) inline double f32_avx512() {
  __m512 sums[kChains] = {}, x = _mm512_set1_ps(1), y = x;
  for (int64_t i = 0; i < kPeakRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      sums[c] = _mm512_fmadd_ps(x, y, sums[c]);
      asm volatile("" : "+v"(sums[c]));
    }
  }
  return 2.0 * 16 * kChains * kPeakRounds;
}

/// Without VNNI: bytes to pairs of 16 bits, pairs to 32 bits, and an addition.
__attribute__((target("avx2"))) inline double int8_avx2() {
  __m256i sums[kChains] = {}, x = _mm256_set1_epi8(1);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < kPeakRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      asm volatile("" : "+x"(x));
      sums[c] = _mm256_add_epi32(sums[c], _mm256_madd_epi16(_mm256_maddubs_epi16(x, x), ones));
      asm volatile("" : "+x"(sums[c]));
    }
  }
  return 2.0 * 32 * kChains * kPeakRounds;
}

__attribute__((target("avx512f,avx512vnni"))) inline double int8_avx512() {
  __m512i sums[kChains] = {}, x = _mm512_set1_epi8(1);
  for (int64_t i = 0; i < kPeakRounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) {
      sums[c] = _mm512_dpbusd_epi32(sums[c], x, x);
      asm volatile("" : "+v"(sums[c]));
    }
  }
  return 2.0 * 64 * kChains * kPeakRounds;
}

#endif

inline double f32_peak(wavekv::SimdLevel level) {
#if defined(__x86_64__)
  if (level == wavekv::SimdLevel::kAvx512) return f32_avx512();
  if (level == wavekv::SimdLevel::kAvx2) return f32_avx2();
#endif
  (void)level;
  return f32_portable();
}

/// The portable level has no products of bytes: its integers go no faster than its floats.
inline double int8_peak(wavekv::SimdLevel level) {
#if defined(__x86_64__)
  if (level == wavekv::SimdLevel::kAvx512) return int8_avx512();
  if (level == wavekv::SimdLevel::kAvx2) return int8_avx2();
#endif
  return f32_peak(level);
}

/// Operations a second of one thread.
template <typename Loop>
double operation_rate(Loop&& loop) {
  double operations = 0;
  const Timing timing = median_timing(9, [&] { operations = loop(); });
  return operations / timing.cpu;
}

inline void measure_limits(wavekv::SimdLevel level, const wavekv::HugeBuffer& memory, wavekv::ThreadPool& one,
                           wavekv::ThreadPool& two) {
  const double bytes = static_cast<double>(memory.size_bytes());
  print_limit("read1", bytes / median_timing(9, [&] { read_all(memory, one); }).cpu);
  print_limit("read2", bytes / median_timing(15, [&] { read_all(memory, two); }).wall);
  print_limit("f32", operation_rate([&] { return f32_peak(level); }));
  print_limit("int8", operation_rate([&] { return int8_peak(level); }));
}

}  // namespace wavekv_bench
