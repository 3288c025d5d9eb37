// Writing blocks into the panel layout of linear_kernels.h.
#include <cstring>

#include "packed_matrix.h"

namespace wavekv {
namespace {

constexpr int kGroups = 8;
constexpr int kGroupBytes = 64;
constexpr int64_t kPerSuper = kSuperBlockCols / kBlockCols;

/// groups[g][4 r + c] = value of row r, column 4 g + c.
void interleave(const SourceBlock* rows, uint8_t groups[kGroups][kGroupBytes]) {
  for (int g = 0; g < kGroups; ++g) {
    for (int r = 0; r < kPanelRows; ++r) memcpy(groups[g] + 4 * r, rows[r].q + 4 * g, 4);
  }
}

void write_quants(int bits, const uint8_t groups[kGroups][kGroupBytes], uint8_t* out) {
  if (bits == 8) {
    memcpy(out, groups, kGroups * kGroupBytes);
    return;
  }
  for (int g = 0; g < kGroups; g += 2) {
    for (int i = 0; i < kGroupBytes; ++i) {
      out[g / 2 * kGroupBytes + i] = static_cast<uint8_t>((groups[g][i] & 15) | (groups[g + 1][i] & 15) << 4);
    }
  }
  uint8_t* high = out + kGroups / 2 * kGroupBytes;
  const int high_bits = bits - 4, per_byte = high_bits == 1 ? 8 : 4;
  memset(high, 0, static_cast<size_t>(high_bits) * kGroupBytes);
  for (int g = 0; high_bits > 0 && g < kGroups; ++g) {
    uint8_t* plane = high + g / per_byte * kGroupBytes;
    const int shift = g % per_byte * high_bits;
    for (int i = 0; i < kGroupBytes; ++i) plane[i] = static_cast<uint8_t>(plane[i] | (groups[g][i] >> 4) << shift);
  }
}

void write_f16(uint8_t* out, int r, uint16_t bits) { memcpy(out + 2 * r, &bits, 2); }

void write_scales(const SourceBlock* rows, bool has_min, int64_t block, uint8_t* scales) {
  uint8_t* out = scales + block * kPanelRows * 2 * (has_min ? 2 : 1);
  for (int r = 0; r < kPanelRows; ++r) {
    write_f16(out, r, rows[r].scale);
    if (has_min) write_f16(out + 2 * kPanelRows, r, rows[r].min);
  }
}

/// `has_min`: s and m per block, d and dmin per 256 columns; otherwise two s per block and d.
void write_super_scales(const SourceBlock* rows, bool has_min, int64_t block, uint8_t* scales) {
  const int64_t header_bytes = kPanelRows * 2 * (has_min ? 2 : 1), own_bytes = kPanelRows * 2;
  uint8_t* header = scales + block / kPerSuper * (header_bytes + kPerSuper * own_bytes);
  uint8_t* own = header + header_bytes + block % kPerSuper * own_bytes;
  for (int r = 0; r < kPanelRows; ++r) {
    write_f16(header, r, rows[r].d);
    if (has_min) write_f16(header + 2 * kPanelRows, r, rows[r].dmin);
    own[r] = rows[r].s[0];
    own[kPanelRows + r] = has_min ? rows[r].m : rows[r].s[1];
  }
}

}  // namespace

void write_block(PackedFormat format, const SourceBlock* rows, int64_t block, uint8_t* quants, uint8_t* scales) {
  uint8_t groups[kGroups][kGroupBytes];
  interleave(rows, groups);
  int bits = 4;
  switch (format) {
    case PackedFormat::kQ5Zero:
    case PackedFormat::kQ5Min:
    case PackedFormat::kQ5Super: bits = 5; break;
    case PackedFormat::kQ6Super: bits = 6; break;
    case PackedFormat::kQ8Zero: bits = 8; break;
    default: break;
  }
  write_quants(bits, groups, quants + block * kPanelRows * kBlockCols * bits / 8);
  switch (format) {
    case PackedFormat::kQ4Super:
    case PackedFormat::kQ5Super: return write_super_scales(rows, true, block, scales);
    case PackedFormat::kQ6Super: return write_super_scales(rows, false, block, scales);
    case PackedFormat::kQ4Min:
    case PackedFormat::kQ5Min: return write_scales(rows, true, block, scales);
    default: return write_scales(rows, false, block, scales);
  }
}

}  // namespace wavekv
