// Repacking a weight matrix of the file into panels of 16 rows.
#include <cstring>
#include <stdexcept>
#include <string>

#include "linear.h"
#include "packed_matrix.h"

namespace wavekv {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;  // bounds every product below; no tensor comes near it

struct FormatBytes {
  PackedFormat format;
  int64_t quant_bytes;  // of 16 rows x 32 columns
  int64_t scale_bytes;  // of 16 rows, per scale_cols columns
  int64_t scale_cols;
};

FormatBytes format_of(GgmlType type) {
  switch (type) {
    case GgmlType::kQ4_0: return {PackedFormat::kQ4Zero, 256, 32, kBlockCols};
    case GgmlType::kQ4_1: return {PackedFormat::kQ4Min, 256, 64, kBlockCols};
    case GgmlType::kQ5_0: return {PackedFormat::kQ5Zero, 320, 32, kBlockCols};
    case GgmlType::kQ5_1: return {PackedFormat::kQ5Min, 320, 64, kBlockCols};
    case GgmlType::kQ8_0: return {PackedFormat::kQ8Zero, 512, 32, kBlockCols};
    case GgmlType::kQ4_K: return {PackedFormat::kQ4Super, 256, 64 + 8 * 32, kSuperBlockCols};
    case GgmlType::kQ5_K: return {PackedFormat::kQ5Super, 320, 64 + 8 * 32, kSuperBlockCols};
    case GgmlType::kQ6_K: return {PackedFormat::kQ6Super, 384, 32 + 8 * 32, kSuperBlockCols};
    case GgmlType::kF32: return {PackedFormat::kF32, 2048, 0, kBlockCols};
    case GgmlType::kF16: return {PackedFormat::kF16, 1024, 0, kBlockCols};
    case GgmlType::kBF16: return {PackedFormat::kBF16, 1024, 0, kBlockCols};
  }
  throw std::runtime_error("pack_matrix: tensor type " + std::to_string(static_cast<uint32_t>(type)) + " is not read");
}

bool is_float(PackedFormat format) {
  return format == PackedFormat::kF32 || format == PackedFormat::kF16 || format == PackedFormat::kBF16;
}

/// rows: the first of `count` rows in the file, row_bytes apart.
void pack_quantised_panel(GgmlType type, const PackedPanels& layout, const uint8_t* rows, int64_t row_bytes,
                          int64_t count, uint8_t* panel) {
  SourceBlock blocks[kPanelRows];
  memset(blocks, 0, sizeof blocks);
  for (int64_t b = 0; b < layout.num_cols / kBlockCols; ++b) {
    for (int64_t r = 0; r < count; ++r) read_block(type, rows + r * row_bytes, b, blocks[r]);
    write_block(layout.format, blocks, b, panel, panel + layout.scales_offset);
  }
}

void pack_float_panel(const PackedPanels& layout, const uint8_t* rows, int64_t row_bytes, int64_t count,
                      uint8_t* panel) {
  const int64_t value_bytes = row_bytes / layout.num_cols;
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t c = 0; c < layout.num_cols; ++c) {
      memcpy(panel + (c * kPanelRows + r) * value_bytes, rows + r * row_bytes + c * value_bytes,
             static_cast<size_t>(value_bytes));
    }
  }
}

}  // namespace

PackedPanels panel_layout(GgmlType type, int64_t num_rows, int64_t num_cols) {
  const FormatBytes bytes = format_of(type);
  const GgmlTypeInfo& info = *ggml_type_info(static_cast<uint32_t>(type));
  const int64_t multiple = info.block_values > kBlockCols ? info.block_values : kBlockCols;
  if (num_rows <= 0 || num_cols <= 0 || num_cols % multiple != 0 || num_rows > kMaxElements / num_cols) {
    throw std::runtime_error("pack_matrix: " + std::to_string(num_rows) + " rows of " + std::to_string(num_cols) +
                             " columns; " + info.name + " needs a multiple of " + std::to_string(multiple) + " columns");
  }
  PackedPanels panels{};
  panels.format = bytes.format;
  panels.num_rows = num_rows;
  panels.num_cols = num_cols;
  panels.scales_offset = num_cols / kBlockCols * bytes.quant_bytes;
  const int64_t used = panels.scales_offset + num_cols / bytes.scale_cols * bytes.scale_bytes;
  panels.panel_bytes = (used + 63) / 64 * 64;
  return panels;
}

std::shared_ptr<PackedMatrix> pack_matrix(GgmlType type, const uint8_t* data, int64_t num_rows, int64_t num_cols,
                                          ThreadPool& pool) {
  PackedPanels layout = panel_layout(type, num_rows, num_cols);
  const GgmlTypeInfo& info = *ggml_type_info(static_cast<uint32_t>(type));
  const int64_t row_bytes = num_cols / info.block_values * info.block_bytes;
  HugeBuffer memory(num_panels(layout) * layout.panel_bytes);
  layout.data = memory.data();
  pool.parallel_for(num_panels(layout), 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t row = panel * kPanelRows;
      const int64_t count = num_rows - row < kPanelRows ? num_rows - row : kPanelRows;
      uint8_t* out = memory.data() + panel * layout.panel_bytes;
      if (is_float(layout.format)) {
        pack_float_panel(layout, data + row * row_bytes, row_bytes, count, out);
      } else {
        pack_quantised_panel(type, layout, data + row * row_bytes, row_bytes, count, out);
      }
    }
  });
  return std::make_shared<PackedMatrix>(layout, std::move(memory));
}

int64_t packed_rows(const PackedMatrix& matrix) { return matrix.panels().num_rows; }
int64_t packed_cols(const PackedMatrix& matrix) { return matrix.panels().num_cols; }
int64_t packed_bytes(const PackedMatrix& matrix) { return matrix.size_bytes(); }

}  // namespace wavekv
