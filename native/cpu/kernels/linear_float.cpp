// Weights kept as F32, F16 or BF16: f32 multiply-adds, even and odd columns summed apart.
#include "linear_formats.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTile = 8;
#else
constexpr int kTile = 2;
#endif

struct F32Weights {
  static constexpr int kBytes = 4;
  static Rows read(const uint8_t* p) { return load_rows(reinterpret_cast<const float*>(p)); }
};
struct F16Weights {
  static constexpr int kBytes = 2;
  static Rows read(const uint8_t* p) { return load_rows_f16(reinterpret_cast<const uint16_t*>(p)); }
};
struct BF16Weights {
  static constexpr int kBytes = 2;
  static Rows read(const uint8_t* p) { return load_rows_bf16(reinterpret_cast<const uint16_t*>(p)); }
};

template <class W, int T>
void float_tile(const uint8_t* panel, int64_t num_cols, const LinearInputs& in, Rows* out) {
  constexpr int64_t kColumnBytes = kPanelRows * W::kBytes;
  Rows even[T], odd[T];
  for (int t = 0; t < T; ++t) even[t] = odd[t] = broadcast_rows(0.0f);
  for (int64_t c = 0; c < num_cols; c += 2) {
    const Rows w0 = W::read(panel + c * kColumnBytes), w1 = W::read(panel + (c + 1) * kColumnBytes);
    for (int t = 0; t < T; ++t) {
      const float* x = in.x + t * in.x_stride + c;
      even[t] = fma(w0, x[0], even[t]);
      odd[t] = fma(w1, x[1], odd[t]);
    }
  }
  for (int t = 0; t < T; ++t) out[t] = even[t] + odd[t];
}

template <class W, int T>
void run_tile(int64_t count, const uint8_t* panel, int64_t num_cols, const LinearInputs& in, Rows* out) {
  if (count == T) return float_tile<W, T>(panel, num_cols, in, out);
  if constexpr (T > 1) run_tile<W, T - 1>(count, panel, num_cols, in, out);
}

template <class W>
void panels_of(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
               const LinearOutputs& outputs) {
  for (int64_t panel = begin; panel < end; ++panel) {
    const uint8_t* data = weights.data + panel * weights.panel_bytes;
    for (int64_t first = 0; first < inputs.num_tokens; first += kTile) {
      const LinearInputs in = from_token(inputs, first);
      const int64_t count = in.num_tokens < kTile ? in.num_tokens : kTile;
      Rows results[kTile];
      run_tile<W, kTile>(count, data, weights.num_cols, in, results);
      for (int64_t t = 0; t < count; ++t) write_rows(outputs, weights.num_rows, panel, first + t, results[t]);
    }
  }
}

}  // namespace

void float_panels(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
                  const LinearOutputs& outputs) {
  switch (weights.format) {
    case PackedFormat::kF32: return panels_of<F32Weights>(weights, begin, end, inputs, outputs);
    case PackedFormat::kF16: return panels_of<F16Weights>(weights, begin, end, inputs, outputs);
    default: return panels_of<BF16Weights>(weights, begin, end, inputs, outputs);
  }
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
