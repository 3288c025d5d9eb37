// Taking the file's blocks apart; their layouts are drawn in native/model/dequantize.cpp.
#include <cstring>

#include "packed_matrix.h"

namespace wavekv {
namespace {

uint16_t read_u16(const uint8_t* p) {
  uint16_t value;
  memcpy(&value, p, 2);
  return value;
}

void read_nibbles(const uint8_t* nibbles, uint8_t* q) {
  for (int j = 0; j < 16; ++j) {
    q[j] = nibbles[j] & 15;
    q[j + 16] = nibbles[j] >> 4;
  }
}

void add_fifth_bits(const uint8_t* bits, uint8_t* q) {
  uint32_t high;
  memcpy(&high, bits, 4);
  for (int j = 0; j < 32; ++j) q[j] = static_cast<uint8_t>(q[j] | ((high >> j) & 1u) << 4);
}

/// The 6-bit scale and minimum of group g of 8, from the 12 packed bytes of a Q4_K or Q5_K block.
void read_k_scales(const uint8_t* packed, int64_t g, SourceBlock& out) {
  if (g < 4) {
    out.s[0] = packed[g] & 63;
    out.m = packed[g + 4] & 63;
  } else {
    out.s[0] = static_cast<uint8_t>((packed[g + 4] & 15) | (packed[g - 4] >> 6) << 4);
    out.m = static_cast<uint8_t>((packed[g + 4] >> 4) | (packed[g] >> 6) << 4);
  }
}

/// Group g of a Q4_K block, or of a Q5_K block where `high` is not null.
void read_k_group(const uint8_t* block, const uint8_t* high, const uint8_t* nibbles, int64_t g, SourceBlock& out) {
  out.d = read_u16(block);
  out.dmin = read_u16(block + 2);
  read_k_scales(block + 4, g, out);
  const uint8_t* run = nibbles + g / 2 * 32;
  for (int j = 0; j < 32; ++j) {
    const int low = (g & 1) != 0 ? run[j] >> 4 : run[j] & 15;
    const int fifth = high != nullptr ? (high[j] >> g) & 1 : 0;
    out.q[j] = static_cast<uint8_t>(low | fifth << 4);
  }
}

void read_q6_k(const uint8_t* block, int64_t g, SourceBlock& out) {
  const int64_t half = g / 4, run = g % 4;
  const uint8_t* low = block + half * 64 + (run & 1) * 32;
  const uint8_t* high = block + 128 + half * 32;
  for (int j = 0; j < 32; ++j) {
    const int nibble = run < 2 ? low[j] & 15 : low[j] >> 4;
    out.q[j] = static_cast<uint8_t>(nibble | ((high[j] >> (2 * run)) & 3) << 4);
  }
  out.s[0] = block[192 + g * 2];
  out.s[1] = block[193 + g * 2];
  out.d = read_u16(block + 208);
}

}  // namespace

void read_block(GgmlType type, const uint8_t* row, int64_t block, SourceBlock& out) {
  const GgmlTypeInfo& info = *ggml_type_info(static_cast<uint32_t>(type));
  const int64_t blocks_each = info.block_values / kBlockCols;  // 1, or 8 in the K formats
  const uint8_t* p = row + block / blocks_each * info.block_bytes;
  const int64_t g = block % blocks_each;
  switch (type) {
    case GgmlType::kQ4_0:
      out.scale = read_u16(p);
      return read_nibbles(p + 2, out.q);
    case GgmlType::kQ4_1:
      out.scale = read_u16(p);
      out.min = read_u16(p + 2);
      return read_nibbles(p + 4, out.q);
    case GgmlType::kQ5_0:
      out.scale = read_u16(p);
      read_nibbles(p + 6, out.q);
      return add_fifth_bits(p + 2, out.q);
    case GgmlType::kQ5_1:
      out.scale = read_u16(p);
      out.min = read_u16(p + 2);
      read_nibbles(p + 8, out.q);
      return add_fifth_bits(p + 4, out.q);
    case GgmlType::kQ8_0:
      out.scale = read_u16(p);
      for (int j = 0; j < 32; ++j) out.q[j] = p[2 + j] ^ 0x80;  // q + 128
      return;
    case GgmlType::kQ4_K: return read_k_group(p, nullptr, p + 16, g, out);
    case GgmlType::kQ5_K: return read_k_group(p, p + 16, p + 48, g, out);
    case GgmlType::kQ6_K: return read_q6_k(p, g, out);
    default: return;  // floats have no blocks
  }
}

}  // namespace wavekv
