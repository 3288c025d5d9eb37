// The choice of clusters: priorities, and the indices of the largest of them.
#include "attention_kernels.h"
#include "vec_ops.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

WAVEKV_INLINE uint32_t lanes_greater(const float* x, int64_t i, int64_t n, Vec bound) {
  const uint32_t mask = greater_mask(load(x + i), bound);
  return n - i >= kLanes ? mask : mask & ((1u << (n - i)) - 1u);
}

int64_t count_greater(const float* x, int64_t n, float bound) {
  const Vec b = broadcast(bound);
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kLanes) count += __builtin_popcount(lanes_greater(x, i, n, b));
  return count;
}

float from_bits(int32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

/// A bound that exactly k elements exceed, or the k-th largest element where its equals make that impossible. Found by
/// halving: floats from 0 on are ordered as their bits are.
float bound_of_largest(const float* x, int64_t n, int64_t k) {
  int32_t low = -1, high = 0x7f7fffff;  // fewer than k elements exceed `high`, more exceed `low`
  while (high - low > 1) {
    const int32_t middle = low + (high - low) / 2;
    const int64_t count = count_greater(x, n, from_bits(middle));
    if (count == k) return from_bits(middle);
    if (count < k) {
      high = middle;
    } else {
      low = middle;
    }
  }
  return from_bits(high);
}

}  // namespace

void expected_error(const float* share, const float* variances, const uint16_t* sizes, int64_t n, float* priority) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(priority + i, load(share + i) * square_root(load(variances + i)) / load_u16(sizes + i));
  }
  for (; i < n; ++i) priority[i] = share[i] * sqrt_one(variances[i]) / static_cast<float>(sizes[i]);
}

int64_t select_largest(const float* x, int64_t n, int64_t k, uint32_t* out) {
  const int64_t allowed = count_greater(x, n, -0.5f);
  if (k > allowed) k = allowed;
  if (k <= 0) return 0;
  const float bound = bound_of_largest(x, n, k);
  int64_t ties = k - count_greater(x, n, bound);
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kLanes) {
    uint32_t above = lanes_greater(x, i, n, broadcast(bound));
    uint32_t equal = ties > 0 ? ~greater_mask(broadcast(bound), load(x + i)) & ~above : 0;
    if (n - i < kLanes) equal &= (1u << (n - i)) - 1u;
    equal &= (1u << kLanes) - 1u;
    for (; equal != 0 && ties > 0; equal &= equal - 1, --ties) above |= equal & (~equal + 1);
    for (; above != 0; above &= above - 1) out[count++] = static_cast<uint32_t>(i + __builtin_ctz(above));
  }
  return count;
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
