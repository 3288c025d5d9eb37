#pragma once
// Reading one block of a panel: its eight groups of bytes and its scales, for every quantised format.
#include "linear_rows.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr int kGroups = static_cast<int>(kBlockCols) / 4;
constexpr int kF16Bytes = static_cast<int>(kPanelRows) * 2;

/// Bits of a value, zero point as a power of two (kNoZero: the format has a minimum in its place), whether scales are
/// f16 or d * s, and scales a block.
template <int kBitsOf, int kZeroShiftOf, bool kSuperOf, int kHalvesOf>
struct Format {
  static constexpr int kBits = kBitsOf;
  static constexpr int kZeroShift = kZeroShiftOf;
  static constexpr bool kMin = kZeroShiftOf < 0;
  static constexpr bool kSuper = kSuperOf;
  static constexpr int kHalves = kHalvesOf;
  static constexpr int kQuantBytes = static_cast<int>(kPanelRows * kBlockCols) * kBitsOf / 8;
  static constexpr int kScaleBytes =
      kSuperOf ? static_cast<int>(kPanelRows) * (kMin ? 2 : kHalvesOf) : kF16Bytes * (kMin ? 2 : 1);
  static constexpr int kHeaderBytes = kSuperOf ? kF16Bytes * (kMin ? 2 : 1) : 0;
};
constexpr int kNoZero = -1;
using Q4Zero = Format<4, 3, false, 1>;
using Q4Min = Format<4, kNoZero, false, 1>;
using Q5Zero = Format<5, 4, false, 1>;
using Q5Min = Format<5, kNoZero, false, 1>;
using Q8Zero = Format<8, 7, false, 1>;
using Q4Super = Format<4, kNoZero, true, 1>;
using Q5Super = Format<5, kNoZero, true, 1>;
using Q6Super = Format<6, 5, true, 2>;

/// Group J (columns 4J .. 4J + 3) of the block at `quants`, unsigned.
template <class F, int J>
inline Bytes unpack_group(const uint8_t* quants) {
  if constexpr (F::kBits == 8) {
    return load_bytes(quants + 64 * J);
  } else {
    const Bytes pair = load_bytes(quants + 64 * (J / 2));
    const Bytes q = J % 2 == 0 ? low_nibbles(pair) : high_nibbles(pair);
    if constexpr (F::kBits == 5) return with_high<J, 16>(q, load_bytes(quants + 256));
    if constexpr (F::kBits == 6) return with_high<2 * (J % 4), 48>(q, load_bytes(quants + 256 + 64 * (J / 4)));
    return q;
  }
}

/// Calls body(GroupIndex<J>) for J = Begin .. End - 1, unrolled.
template <int J>
struct GroupIndex {
  static constexpr int value = J;
};
template <int Begin, int End, class Body>
inline __attribute__((always_inline)) void for_groups(Body&& body) {
  if constexpr (Begin < End) {
    body(GroupIndex<Begin>{});
    for_groups<Begin + 1, End>(body);
  }
}

template <class F>
struct BlockScales {
  Rows scale[F::kHalves];
  Rows min;  // set where F::kMin
};

template <class F>
inline BlockScales<F> read_scales(const uint8_t* scales, int64_t block) {
  BlockScales<F> out;
  if constexpr (F::kSuper) {
    constexpr int64_t kPerSuper = kSuperBlockCols / kBlockCols;
    const uint8_t* header = scales + block / kPerSuper * (F::kHeaderBytes + kPerSuper * F::kScaleBytes);
    const uint8_t* own = header + F::kHeaderBytes + block % kPerSuper * F::kScaleBytes;
    const Rows d = load_rows_f16(reinterpret_cast<const uint16_t*>(header));
    if constexpr (F::kMin) {
      out.scale[0] = d * load_rows_u8(own);
      const Rows dmin = load_rows_f16(reinterpret_cast<const uint16_t*>(header + kF16Bytes));
      out.min = dmin * -1.0f * load_rows_u8(own + kPanelRows);
    } else {
      for (int half = 0; half < F::kHalves; ++half) out.scale[half] = d * load_rows_i8(own + half * kPanelRows);
    }
  } else {
    const uint8_t* own = scales + block * F::kScaleBytes;
    out.scale[0] = load_rows_f16(reinterpret_cast<const uint16_t*>(own));
    if constexpr (F::kMin) out.min = load_rows_f16(reinterpret_cast<const uint16_t*>(own + kF16Bytes));
  }
  return out;
}

/// The inputs from token `first` on.
inline LinearInputs from_token(LinearInputs inputs, int64_t first) {
  inputs.q += first * inputs.q_stride;
  inputs.scales += first * inputs.block_stride;
  inputs.scaled_sums += first * inputs.block_stride;
  inputs.negative_sums += first * inputs.block_stride;
  inputs.negative_halves += first * inputs.block_stride * 2;
  inputs.x += first * inputs.x_stride;
  inputs.num_tokens -= first;
  return inputs;
}

/// Writes 16 results of token t, of which the matrix may have fewer.
inline void write_rows(const LinearOutputs& outputs, int64_t num_rows, int64_t panel, int64_t t, Rows result) {
  const int64_t row = panel * kPanelRows;
  float* y = outputs.y + t * outputs.stride + row;
  if (row + kPanelRows <= num_rows) {
    if (outputs.bias != nullptr) result = result + load_rows(outputs.bias + row);
    if (outputs.accumulate) result = result + load_rows(y);
    store_rows(y, result);
    return;
  }
  float values[kPanelRows];
  store_rows(values, result);
  for (int64_t r = 0; r < num_rows - row; ++r) {
    float value = values[r];
    if (outputs.bias != nullptr) value += outputs.bias[row + r];
    y[r] = outputs.accumulate ? value + y[r] : value;
  }
}

}  // namespace

// Shared between the kernel files of a level.
void few_quantized(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
                   const LinearOutputs& outputs);
void many_quantized(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
                    const LinearOutputs& outputs, uint8_t* scratch);
int64_t many_scratch_bytes(int64_t num_cols);
/// F32, F16 and BF16, any number of tokens.
void float_panels(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
                  const LinearOutputs& outputs);

}  // namespace WAVEKV_ISA
}  // namespace wavekv
