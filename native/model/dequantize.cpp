#include <cstring>
#include <stdexcept>
#include <string>

#include "dequantize_float.h"
#include "ggml_types.h"

// Block layouts, all little endian, fields in order without padding. d and m are f16; "nibbles" holds value j in the
// low half of byte j and value j + 16 (or j + 32 in the K formats) in its high half.
//
//   Q8_0   d[2] int8[32]                                             x = d q
//   Q4_0   d[2] nibbles[16]                                          x = d (q - 8)
//   Q4_1   d[2] m[2] nibbles[16]                                     x = d q + m
//   Q5_0   d[2] high[4] nibbles[16]       bit j of high is q's 16    x = d (q - 16)
//   Q5_1   d[2] m[2] high[4] nibbles[16]                             x = d q + m
//   Q4_K   d[2] m[2] scales[12] nibbles[128]                         x = d s q - m t, s and t one pair a 32 values
//   Q5_K   d[2] m[2] scales[12] high[32] nibbles[128]                x = d s q - m t, bit g of high[j] for group g
//   Q6_K   low[128] high[64] int8 scales[16] d[2]                    x = d s (q - 32), s one a 16 values

namespace wavekv {
namespace {

float read_f16(const uint8_t* bytes) {
  uint16_t bits;
  memcpy(&bits, bytes, sizeof bits);
  return f16_to_float(bits);
}

void block_f32(const uint8_t* block, float* out) { memcpy(out, block, sizeof *out); }

void block_f16(const uint8_t* block, float* out) { *out = read_f16(block); }

void block_bf16(const uint8_t* block, float* out) {
  uint16_t bits;
  memcpy(&bits, block, sizeof bits);
  *out = bf16_to_float(bits);
}

void block_q8_0(const uint8_t* block, float* out) {
  const float d = read_f16(block);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(static_cast<int8_t>(block[2 + j]));
}

void block_q4_0(const uint8_t* block, float* out) {
  const float d = read_f16(block);
  for (int j = 0; j < 16; ++j) {
    const int byte = block[2 + j];
    out[j] = d * static_cast<float>((byte & 15) - 8);
    out[j + 16] = d * static_cast<float>((byte >> 4) - 8);
  }
}

void block_q4_1(const uint8_t* block, float* out) {
  const float d = read_f16(block), m = read_f16(block + 2);
  for (int j = 0; j < 16; ++j) {
    const int byte = block[4 + j];
    out[j] = d * static_cast<float>(byte & 15) + m;
    out[j + 16] = d * static_cast<float>(byte >> 4) + m;
  }
}

/// The 5-bit values of a Q5_0 or Q5_1 block, 0..31.
void unpack_5_bits(const uint8_t* high_bits, const uint8_t* nibbles, int* q) {
  uint32_t high;
  memcpy(&high, high_bits, sizeof high);
  for (int j = 0; j < 16; ++j) {
    q[j] = (nibbles[j] & 15) | static_cast<int>((high >> j) & 1u) << 4;
    q[j + 16] = (nibbles[j] >> 4) | static_cast<int>((high >> (j + 16)) & 1u) << 4;
  }
}

void block_q5_0(const uint8_t* block, float* out) {
  const float d = read_f16(block);
  int q[32];
  unpack_5_bits(block + 2, block + 6, q);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(q[j] - 16);
}

void block_q5_1(const uint8_t* block, float* out) {
  const float d = read_f16(block), m = read_f16(block + 2);
  int q[32];
  unpack_5_bits(block + 4, block + 8, q);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(q[j]) + m;
}

/// Scale and minimum (6 bits each) of the 8 groups of 32 values in a Q4_K or Q5_K block, from its 12 packed bytes:
/// bytes 0..3 hold the scales of groups 0..3 and bytes 4..7 their minima, in the low six bits; bytes 8..11 hold the low
/// nibbles of groups 4..7 (scale low, minimum high), whose top two bits are the top two bits of bytes 0..7.
void unpack_scales(const uint8_t* packed, int* scales, int* minima) {
  for (int g = 0; g < 4; ++g) {
    scales[g] = packed[g] & 63;
    minima[g] = packed[g + 4] & 63;
    scales[g + 4] = (packed[g + 8] & 15) | (packed[g] >> 6) << 4;
    minima[g + 4] = (packed[g + 8] >> 4) | (packed[g + 4] >> 6) << 4;
  }
}

/// Q4_K, and Q5_K where `high` is not null. Each run of 32 bytes holds two groups: low halves, then high halves.
void k_groups(const uint8_t* block, const uint8_t* high, const uint8_t* nibbles, float* out) {
  const float d = read_f16(block), m = read_f16(block + 2);
  int scales[8], minima[8];
  unpack_scales(block + 4, scales, minima);
  for (int g = 0; g < 8; ++g) {
    const float scale = d * static_cast<float>(scales[g]);
    const float minimum = m * static_cast<float>(minima[g]);
    const uint8_t* run = nibbles + (g / 2) * 32;
    for (int j = 0; j < 32; ++j) {
      int q = (g & 1) != 0 ? run[j] >> 4 : run[j] & 15;
      if (high != nullptr) q |= ((high[j] >> g) & 1) << 4;
      out[g * 32 + j] = scale * static_cast<float>(q) - minimum;
    }
  }
}

void block_q4_k(const uint8_t* block, float* out) { k_groups(block, nullptr, block + 16, out); }

void block_q5_k(const uint8_t* block, float* out) { k_groups(block, block + 16, block + 48, out); }

/// Two halves of 128 values, each of four runs of 32: the low halves of 64 bytes give runs 0 and 1, their high halves
/// runs 2 and 3; run r's top two bits are bits 2r and 2r + 1 of the 32 high bytes.
void block_q6_k(const uint8_t* block, float* out) {
  const float d = read_f16(block + 208);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = block + half * 64;
    const uint8_t* high = block + 128 + half * 32;
    const uint8_t* scales = block + 192 + half * 8;
    for (int run = 0; run < 4; ++run) {
      for (int j = 0; j < 32; ++j) {
        const int byte = low[(run & 1) * 32 + j];
        const int nibble = run < 2 ? byte & 15 : byte >> 4;
        const int q = (nibble | ((high[j] >> (2 * run)) & 3) << 4) - 32;
        const float scale = d * static_cast<float>(static_cast<int8_t>(scales[run * 2 + j / 16]));
        out[half * 128 + run * 32 + j] = scale * static_cast<float>(q);
      }
    }
  }
}

using BlockFunction = void (*)(const uint8_t* block, float* out);

BlockFunction block_function(GgmlType type) {
  switch (type) {
    case GgmlType::kF32: return block_f32;
    case GgmlType::kF16: return block_f16;
    case GgmlType::kBF16: return block_bf16;
    case GgmlType::kQ4_0: return block_q4_0;
    case GgmlType::kQ4_1: return block_q4_1;
    case GgmlType::kQ5_0: return block_q5_0;
    case GgmlType::kQ5_1: return block_q5_1;
    case GgmlType::kQ8_0: return block_q8_0;
    case GgmlType::kQ4_K: return block_q4_k;
    case GgmlType::kQ5_K: return block_q5_k;
    case GgmlType::kQ6_K: return block_q6_k;
  }
  return nullptr;
}

}  // namespace

void dequantize(GgmlType type, const uint8_t* data, int64_t count, float* out) {
  const GgmlTypeInfo* info = ggml_type_info(type);
  const BlockFunction block = block_function(type);
  if (info == nullptr || block == nullptr) {
    throw std::runtime_error("dequantize: tensor type " + std::to_string(static_cast<uint32_t>(type)) + " is not read");
  }
  if (count < 0 || count % info->block_values != 0) {
    throw std::runtime_error("dequantize: " + std::to_string(count) + " values are not a multiple of the block of " +
                             info->name + ", " + std::to_string(info->block_values));
  }
  const int64_t num_blocks = count / info->block_values;
  for (int64_t b = 0; b < num_blocks; ++b) block(data + b * info->block_bytes, out + b * info->block_values);
}

}  // namespace wavekv
