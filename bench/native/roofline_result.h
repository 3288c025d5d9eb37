#pragma once
#include <cstdint>
#include <cstdio>
#include <string>

#include "bench_support.h"

namespace wavekv_bench {

/// One kernel's row: what it had to do at least, and the time it took.
struct KernelResult {
  const char* phase;    // decode, prefill, index build
  std::string kernel;
  std::string shape;
  int threads;
  double bytes;         // read from memory; 0 where the data stay in the caches
  double operations;    // multiplications and additions
  const char* peak;     // int8 or f32: which of the limits bounds the operations
};

inline void print_limit(const char* name, double value) {
  std::printf("{\"kind\":\"limit\",\"name\":\"%s\",\"value\":%.6g}\n", name, value);
  std::fflush(stdout);
}

/// A line of JSON. calls: how many of the result's kernels the timing covers.
inline void print_kernel(const KernelResult& r, Timing timing, double calls = 1) {
  std::printf(
      "{\"kind\":\"kernel\",\"phase\":\"%s\",\"kernel\":\"%s\",\"shape\":\"%s\",\"threads\":%d,\"bytes\":%.6g,"
      "\"operations\":%.6g,\"peak\":\"%s\",\"cpuSeconds\":%.6g,\"wallSeconds\":%.6g}\n",
      r.phase, r.kernel.c_str(), r.shape.c_str(), r.threads, r.bytes, r.operations, r.peak, timing.cpu / calls,
      timing.wall / calls);
  std::fflush(stdout);
}

inline std::string text(int64_t n) { return std::to_string(n); }

}  // namespace wavekv_bench
