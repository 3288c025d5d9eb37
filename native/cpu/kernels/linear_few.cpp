// A few tokens: each panel streams from memory once, its groups unpacked in registers and multiplied with all tokens.
#include "linear_formats.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

#if defined(__AVX512VNNI__)
constexpr int kFewTile = 4;
#else
constexpr int kFewTile = 2;
#endif

// How far ahead of its use a panel is fetched: hardware prefetch stops at each page. Measured: 1 token, 25-35 % faster.
constexpr int kPrefetchBytes = 8192;

/// Adds to sums[t]: the inner products of the block's groups [Begin, End).
template <class F, int T, int Begin, int End>
inline __attribute__((always_inline)) void add_groups(const uint8_t* quants, const int8_t* q, int64_t q_stride, Ints* sums) {
  for_groups<Begin, End>([&](auto index) __attribute__((always_inline)) {
    constexpr int J = decltype(index)::value;
    const Bytes w = unpack_group<F, J>(quants);
    for (int t = 0; t < T; ++t) sums[t] = dot<F::kBits>(sums[t], w, load_inputs(q + t * q_stride + 4 * J));
  });
}

template <class F, int T>
void few_tile(const uint8_t* quants, const uint8_t* scales, int64_t num_blocks, const LinearInputs& in, Rows* out) {
  Rows acc[T];
  for (int t = 0; t < T; ++t) acc[t] = broadcast_rows(0.0f);
  for (int64_t b = 0; b < num_blocks; ++b) {
    for (int line = 0; line < F::kQuantBytes; line += 64) __builtin_prefetch(quants + kPrefetchBytes + line);
    const BlockScales<F> block = read_scales<F>(scales, b);
    const int8_t* q = in.q + b * kBlockCols;
    for_groups<0, F::kHalves>([&](auto index) __attribute__((always_inline)) {
      constexpr int kHalf = decltype(index)::value;
      constexpr int kWidth = kGroups / F::kHalves;
      const int32_t* starts = F::kHalves == 1 ? in.negative_sums + b : in.negative_halves + 2 * b + kHalf;
      const int64_t starts_stride = in.block_stride * F::kHalves;
      Ints sums[T];
      for (int t = 0; t < T; ++t) sums[t] = F::kMin ? zero_ints() : shifted_start(starts[t * starts_stride], F::kZeroShift);
      add_groups<F, T, kHalf * kWidth, (kHalf + 1) * kWidth>(quants, q, in.q_stride, sums);
      for (int t = 0; t < T; ++t) {
        acc[t] = fma(to_float(sums[t]), block.scale[kHalf] * in.scales[t * in.block_stride + b], acc[t]);
      }
    });
    if constexpr (F::kMin) {
      for (int t = 0; t < T; ++t) acc[t] = fma(block.min, in.scaled_sums[t * in.block_stride + b], acc[t]);
    }
    quants += F::kQuantBytes;
  }
  for (int t = 0; t < T; ++t) out[t] = acc[t];
}

template <class F>
void few_panels(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
                const LinearOutputs& outputs) {
  const int64_t num_blocks = weights.num_cols / kBlockCols;
  for (int64_t panel = begin; panel < end; ++panel) {
    const uint8_t* quants = weights.data + panel * weights.panel_bytes;
    const uint8_t* scales = quants + weights.scales_offset;
    for (int64_t first = 0; first < inputs.num_tokens; first += kFewTile) {
      const LinearInputs in = from_token(inputs, first);
      Rows results[kFewTile];
      const int64_t count = in.num_tokens < kFewTile ? in.num_tokens : kFewTile;
      switch (count) {
        case 1: few_tile<F, 1>(quants, scales, num_blocks, in, results); break;
        case 2: few_tile<F, 2>(quants, scales, num_blocks, in, results); break;
#if defined(__AVX512VNNI__)
        case 3: few_tile<F, 3>(quants, scales, num_blocks, in, results); break;
        default: few_tile<F, 4>(quants, scales, num_blocks, in, results); break;
#endif
      }
      for (int64_t t = 0; t < count; ++t) write_rows(outputs, weights.num_rows, panel, first + t, results[t]);
    }
  }
}

}  // namespace

void few_quantized(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
                   const LinearOutputs& outputs) {
  switch (weights.format) {
    case PackedFormat::kQ4Zero: return few_panels<Q4Zero>(weights, begin, end, inputs, outputs);
    case PackedFormat::kQ4Min: return few_panels<Q4Min>(weights, begin, end, inputs, outputs);
    case PackedFormat::kQ5Zero: return few_panels<Q5Zero>(weights, begin, end, inputs, outputs);
    case PackedFormat::kQ5Min: return few_panels<Q5Min>(weights, begin, end, inputs, outputs);
    case PackedFormat::kQ8Zero: return few_panels<Q8Zero>(weights, begin, end, inputs, outputs);
    case PackedFormat::kQ4Super: return few_panels<Q4Super>(weights, begin, end, inputs, outputs);
    case PackedFormat::kQ5Super: return few_panels<Q5Super>(weights, begin, end, inputs, outputs);
    case PackedFormat::kQ6Super: return few_panels<Q6Super>(weights, begin, end, inputs, outputs);
    default: return float_panels(weights, begin, end, inputs, outputs);
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
