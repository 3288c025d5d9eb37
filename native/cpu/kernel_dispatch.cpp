#include <stdexcept>
#include <string>

#include "kernels.h"

namespace wavekv {

SimdLevel detect_simd_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx512) return SimdLevel::kAvx512;
  if (avx2) return SimdLevel::kAvx2;
#endif
  return SimdLevel::kPortable;
}

const Kernels& kernels_for(SimdLevel level) {
  if (level > detect_simd_level()) {
    throw std::runtime_error("this CPU does not run the SIMD level asked for (level " +
                             std::to_string(static_cast<int>(level)) + ")");
  }
#if defined(__x86_64__)
  if (level == SimdLevel::kAvx512) return avx512::kKernels;
  if (level == SimdLevel::kAvx2) return avx2::kKernels;
#endif
  return portable::kKernels;
}

}  // namespace wavekv
