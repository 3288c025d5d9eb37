#pragma once
#include <cstdint>

namespace wavekv {

constexpr int64_t kPanelRows = 16;
constexpr int64_t kBlockCols = 32;       // columns that share an activation scale
constexpr int64_t kSuperBlockCols = 256;  // columns that share d (and dmin) in the K formats

/// How the quantised values and their scales lie in a panel. "Zero": w = scale * (q - zero point). "Min": w = scale * q
/// + min. "Super": scale = d * s with d (and dmin) f16 per 256 columns and s (and m) one byte; min = -dmin * m.
enum class PackedFormat : int {
  kQ4Zero,   // Q4_0
  kQ4Min,    // Q4_1
  kQ5Zero,   // Q5_0
  kQ5Min,    // Q5_1
  kQ8Zero,   // Q8_0
  kQ4Super,  // Q4_K
  kQ5Super,  // Q5_K
  kQ6Super,  // Q6_K: signed s, one a 16 columns
  kF32,
  kF16,
  kBF16,
};
constexpr int kNumPackedFormats = 11;

/// Panels of 16 rows, one after the other, each 64-byte aligned. Group g of a block is its columns 4g .. 4g + 3; byte
/// 4r + c of a 64-byte group is row r, column c.
///
///   quants  per block of 32 columns
///     4 bits: 4 x 64 B, low nibbles group 2i, high nibbles group 2i + 1
///     5 bits: the same, then 64 B whose bit g is the fifth bit of group g
///     6 bits: the same, then 2 x 64 B whose bits 2i, 2i + 1 are the top bits of group i (first) or 4 + i (second)
///     8 bits: 8 x 64 B
///     floats: 32 x 16 values, the 16 rows of a column side by side
///   scales (from scales_offset on; none for floats)
///     Zero, Min: per block f16 scale[16], then f16 min[16]
///     Q4Super, Q5Super: per 256 columns f16 d[16] dmin[16], then per block uint8 s[16] m[16]
///     Q6Super: per 256 columns f16 d[16], then per block int8 s[2][16]
struct PackedPanels {
  const uint8_t* data;  // [numPanels, panelBytes]
  int64_t panel_bytes;
  int64_t scales_offset;
  int64_t num_rows;  // the last panel is padded with zeros
  int64_t num_cols;
  PackedFormat format;
};

/// Quantised inputs: x = scales * q. All arrays are [numTokens, ...] with the strides given, in elements.
struct LinearInputs {
  const int8_t* q;                 // [numTokens, numCols], -127..127
  const float* scales;             // [numTokens, numBlocks]
  const float* scaled_sums;        // [numTokens, numBlocks]: scale * sum of q
  const int32_t* negative_sums;    // [numTokens, numBlocks]: -sum of q
  const int32_t* negative_halves;  // [numTokens, 2 * numBlocks]: the same per 16 columns
  const float* x;                  // [numTokens, numCols], as given
  int64_t q_stride;
  int64_t block_stride;  // of scales and sums; negative_halves has twice that
  int64_t x_stride;
  int64_t num_tokens;
};

struct LinearOutputs {
  float* y;  // [numTokens, numRows]
  int64_t stride;
  const float* bias;  // [numRows] or null
  bool accumulate;
};

/// Where quantize_row writes one token's inputs.
struct QuantizedRow {
  int8_t* q;                 // [numCols]
  float* scales;             // [numBlocks]
  float* scaled_sums;        // [numBlocks]
  int32_t* negative_sums;    // [numBlocks]
  int32_t* negative_halves;  // [2 * numBlocks]
};

/// Linear-layer kernels of one SIMD level. A token's result has the same bits from `few` and `many`, whatever runs beside
/// it.
struct LinearKernels {
  /// scale = max |x| / 127 per block of 32, q = round(x / scale). A block whose largest value is below 1e-30 becomes zero;
  /// one with a NaN or an infinity gives NaN.
  void (*quantize_row)(const float* x, int64_t num_cols, QuantizedRow out);
  /// Panels [begin, end) times all tokens, weights unpacked as they stream by: quickest for up to few_tokens tokens.
  void (*few)(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
              const LinearOutputs& outputs);
  /// The same for many tokens: two panels at a time are unpacked to bytes and f32 scales in `scratch`, then swept by all
  /// tokens. scratch: 64-byte aligned, many_scratch_bytes(numCols) bytes, owned by the calling thread.
  void (*many)(const PackedPanels& weights, int64_t begin, int64_t end, const LinearInputs& inputs,
               const LinearOutputs& outputs, uint8_t* scratch);
  int64_t (*many_scratch_bytes)(int64_t num_cols);
  int64_t few_tokens;
};

namespace portable { extern const LinearKernels kLinearKernels; }
namespace avx2 { extern const LinearKernels kLinearKernels; }
namespace avx512 { extern const LinearKernels kLinearKernels; }

}  // namespace wavekv
