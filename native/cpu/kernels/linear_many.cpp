// Many tokens: two panels at a time are unpacked to bytes and f32 scales, then swept by tiles of tokens. One kernel for
// all formats; the order of a token's additions is that of linear_few.cpp.
#include "linear_formats.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

#if defined(__AVX512VNNI__)
constexpr int kTile = 6;  // 2 panels x 6 tokens: 24 accumulators of 32 registers
#else
constexpr int kTile = 2;
#endif
constexpr int kPair = 2;
constexpr int kGroupBytes = static_cast<int>(kPanelRows) * 4;
constexpr int kBlockBytes = kGroups * kGroupBytes;

/// A panel unpacked: bytes [numBlocks, 8, 64], scales [numBlocks, halves, 16], mins [numBlocks, 16].
struct Unpacked {
  const uint8_t* bytes;
  const float* scales;
  const float* mins;
};

template <class F>
Unpacked unpack_panel(const PackedPanels& weights, int64_t panel, uint8_t* scratch) {
  const int64_t num_blocks = weights.num_cols / kBlockCols;
  const uint8_t* quants = weights.data + panel * weights.panel_bytes;
  const uint8_t* scales = quants + weights.scales_offset;
  uint8_t* bytes = scratch;
  float* out_scales = reinterpret_cast<float*>(scratch + num_blocks * kBlockBytes);
  float* out_mins = out_scales + num_blocks * kPanelRows;
  for (int64_t b = 0; b < num_blocks; ++b) {
    const BlockScales<F> block = read_scales<F>(scales, b);
    for (int half = 0; half < F::kHalves; ++half) {
      store_rows(out_scales + (b * F::kHalves + half) * kPanelRows, block.scale[half]);
    }
    if constexpr (F::kMin) store_rows(out_mins + b * kPanelRows, block.min);
    if constexpr (F::kBits < 8) {
      for_groups<0, kGroups>([&](auto index) __attribute__((always_inline)) {
        constexpr int J = decltype(index)::value;
        store_bytes(bytes + b * kBlockBytes + J * kGroupBytes, unpack_group<F, J>(quants + b * F::kQuantBytes));
      });
    }
  }
  return {F::kBits < 8 ? bytes : quants, out_scales, out_mins};
}

/// P panels x T tokens.
template <int kBits, bool kMin, int kHalves, int P, int T>
void many_tile(const Unpacked* panels, int64_t num_blocks, int zero_shift, const LinearInputs& in, Rows* out) {
  constexpr int kWidth = kGroups / kHalves;
  Rows acc[T][P];
  for (int t = 0; t < T; ++t) {
    for (int p = 0; p < P; ++p) acc[t][p] = broadcast_rows(0.0f);
  }
  for (int64_t b = 0; b < num_blocks; ++b) {
    for (int half = 0; half < kHalves; ++half) {
      Ints sums[T][P];
      for (int t = 0; t < T; ++t) {
        Ints start = zero_ints();
        if constexpr (!kMin) {
          const int64_t at = t * in.block_stride + b;
          const int32_t sum = kHalves == 1 ? in.negative_sums[at] : in.negative_halves[2 * at + half];
          start = shifted_start(sum, zero_shift);
        }
        for (int p = 0; p < P; ++p) sums[t][p] = start;
      }
      const int8_t* q = in.q + b * kBlockCols + half * kWidth * 4;
      const int64_t bytes_at = b * kBlockBytes + half * kWidth * kGroupBytes;
#pragma GCC unroll 8
      for (int j = 0; j < kWidth; ++j) {
        Bytes w[P];
        for (int p = 0; p < P; ++p) w[p] = load_bytes(panels[p].bytes + bytes_at + j * kGroupBytes);
        for (int t = 0; t < T; ++t) {
          const Inputs4 x = load_inputs(q + t * in.q_stride + 4 * j);
          for (int p = 0; p < P; ++p) sums[t][p] = dot<kBits>(sums[t][p], w[p], x);
        }
      }
      Rows scale[P];
      for (int p = 0; p < P; ++p) scale[p] = load_rows(panels[p].scales + (b * kHalves + half) * kPanelRows);
      for (int t = 0; t < T; ++t) {
        for (int p = 0; p < P; ++p) {
          acc[t][p] = fma(to_float(sums[t][p]), scale[p] * in.scales[t * in.block_stride + b], acc[t][p]);
        }
      }
    }
    if constexpr (kMin) {
      for (int p = 0; p < P; ++p) {
        const Rows min = load_rows(panels[p].mins + b * kPanelRows);
        for (int t = 0; t < T; ++t) acc[t][p] = fma(min, in.scaled_sums[t * in.block_stride + b], acc[t][p]);
      }
    }
  }
  for (int t = 0; t < T; ++t) {
    for (int p = 0; p < P; ++p) out[t * P + p] = acc[t][p];
  }
}

template <int kBits, bool kMin, int kHalves, int P, int T>
void run_tile(int64_t count, const Unpacked* panels, int64_t num_blocks, int zero_shift, const LinearInputs& in, Rows* out) {
  if (count == T) return many_tile<kBits, kMin, kHalves, P, T>(panels, num_blocks, zero_shift, in, out);
  if constexpr (T > 1) run_tile<kBits, kMin, kHalves, P, T - 1>(count, panels, num_blocks, zero_shift, in, out);
}

template <class F, int P>
void many_group(const PackedPanels& weights, int64_t panel, const LinearInputs& inputs, const LinearOutputs& outputs,
                uint8_t* scratch) {
  constexpr int kDotBits = F::kBits <= 6 ? 6 : 8;
  const int64_t num_blocks = weights.num_cols / kBlockCols;
  Unpacked panels[P];
  for (int p = 0; p < P; ++p) {
    panels[p] = unpack_panel<F>(weights, panel + p, scratch + p * (many_scratch_bytes(weights.num_cols) / kPair));
  }
  for (int64_t first = 0; first < inputs.num_tokens; first += kTile) {
    const LinearInputs in = from_token(inputs, first);
    const int64_t count = in.num_tokens < kTile ? in.num_tokens : kTile;
    Rows results[kTile * P];
    run_tile<kDotBits, F::kMin, F::kHalves, P, kTile>(count, panels, num_blocks, F::kZeroShift, in, results);
    for (int64_t t = 0; t < count; ++t) {
      for (int p = 0; p < P; ++p) write_rows(outputs, weights.num_rows, panel + p, first + t, results[t * P + p]);
    }
  }
}

template <class F>
void many_panels(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
                 const LinearOutputs& outputs, uint8_t* scratch) {
  int64_t panel = begin;
  for (; panel + kPair <= end; panel += kPair) many_group<F, kPair>(weights, panel, inputs, outputs, scratch);
  if (panel < end) many_group<F, 1>(weights, panel, inputs, outputs, scratch);
}

}  // namespace

int64_t many_scratch_bytes(int64_t num_cols) {
  const int64_t num_blocks = num_cols / kBlockCols;
  return kPair * num_blocks * (kBlockBytes + 2 * kPanelRows * static_cast<int64_t>(sizeof(float)));
}

void many_quantized(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
                    const LinearOutputs& outputs, uint8_t* scratch) {
  switch (weights.format) {
    case PackedFormat::kQ4Zero: return many_panels<Q4Zero>(weights, begin, end, inputs, outputs, scratch);
    case PackedFormat::kQ4Min: return many_panels<Q4Min>(weights, begin, end, inputs, outputs, scratch);
    case PackedFormat::kQ5Zero: return many_panels<Q5Zero>(weights, begin, end, inputs, outputs, scratch);
    case PackedFormat::kQ5Min: return many_panels<Q5Min>(weights, begin, end, inputs, outputs, scratch);
    case PackedFormat::kQ8Zero: return many_panels<Q8Zero>(weights, begin, end, inputs, outputs, scratch);
    case PackedFormat::kQ4Super: return many_panels<Q4Super>(weights, begin, end, inputs, outputs, scratch);
    case PackedFormat::kQ5Super: return many_panels<Q5Super>(weights, begin, end, inputs, outputs, scratch);
    case PackedFormat::kQ6Super: return many_panels<Q6Super>(weights, begin, end, inputs, outputs, scratch);
    default: return float_panels(weights, begin, end, inputs, outputs);
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
