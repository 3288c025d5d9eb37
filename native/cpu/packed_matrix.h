#pragma once
#include <cstdint>
#include <utility>

#include "ggml_types.h"
#include "huge_buffer.h"
#include "linear_kernels.h"

namespace wavekv {

class PackedMatrix {
 public:
  PackedMatrix(PackedPanels panels, HugeBuffer memory) : panels_(panels), memory_(std::move(memory)) {}
  const PackedPanels& panels() const { return panels_; }
  int64_t size_bytes() const { return memory_.size_bytes(); }

 private:
  PackedPanels panels_;  // data points into memory_
  HugeBuffer memory_;    // [numPanels, panelBytes]
};

inline int64_t num_panels(const PackedPanels& panels) { return (panels.num_rows + kPanelRows - 1) / kPanelRows; }

/// The layout of a matrix of this type, data still null.
PackedPanels panel_layout(GgmlType type, int64_t num_rows, int64_t num_cols);

/// One row's next block of 32 columns, taken apart. Rows beyond the matrix stay all zero.
struct SourceBlock {
  uint8_t q[kBlockCols];       // unsigned values
  uint16_t scale, min;         // f16, as in the file (Zero and Min formats)
  uint16_t d, dmin;            // f16 (Super formats; the same for all blocks of 256 columns)
  uint8_t s[2], m;             // as in the file (Super formats)
};

/// Block `block` of a row in the file's layout.
void read_block(GgmlType type, const uint8_t* row, int64_t block, SourceBlock& out);

/// Writes 16 rows' block into a panel.
void write_block(PackedFormat format, const SourceBlock* rows, int64_t block, uint8_t* quants, uint8_t* scales);

}  // namespace wavekv
