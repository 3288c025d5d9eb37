#include <cstring>
#include <limits>

#include "check.h"
#include "dequantize_golden.h"
#include "ggml_types.h"

using namespace wavekv;
using wavekv_test::Random;

namespace {

using Bytes = std::vector<uint8_t>;

const GgmlType kTypes[] = {GgmlType::kF32,  GgmlType::kF16,  GgmlType::kBF16, GgmlType::kQ4_0,
                           GgmlType::kQ4_1, GgmlType::kQ5_0, GgmlType::kQ5_1, GgmlType::kQ8_0,
                           GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ6_K};

std::vector<float> run(GgmlType type, const Bytes& bytes, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  dequantize(type, bytes.data(), count, out.data());
  return out;
}

// --- A second implementation, one value at a time out of single bits, in double: slow, and written from the layout
// only.

int bit(const uint8_t* bytes, int index) { return (bytes[index / 8] >> (index % 8)) & 1; }

int field(const uint8_t* bytes, int first_bit, int num_bits) {
  int value = 0;
  for (int i = num_bits - 1; i >= 0; --i) value = value * 2 + bit(bytes, first_bit + i);
  return value;
}

double half(const uint8_t* bytes) {
  const double sign = bit(bytes, 15) != 0 ? -1.0 : 1.0;
  const int exponent = field(bytes, 10, 5), mantissa = field(bytes, 0, 10);
  if (exponent == 31) return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

int nibble(const uint8_t* nibbles, int value_index) {  // blocks of 32: 16 low halves, then 16 high halves
  return field(nibbles, (value_index % 16) * 8 + (value_index < 16 ? 0 : 4), 4);
}

int signed_byte(uint8_t byte) { return byte < 128 ? byte : static_cast<int>(byte) - 256; }

double k_value(const uint8_t* block, const uint8_t* high, const uint8_t* nibbles, int i) {
  const int group = i / 32, within = i % 32;
  const uint8_t* packed = block + 4;
  int scale, minimum;
  if (group < 4) {
    scale = field(packed, 8 * group, 6);
    minimum = field(packed, 8 * (group + 4), 6);
  } else {
    scale = field(packed, 8 * (group + 4), 4) + 16 * field(packed, 8 * (group - 4) + 6, 2);
    minimum = field(packed, 8 * (group + 4) + 4, 4) + 16 * field(packed, 8 * group + 6, 2);
  }
  int q = field(nibbles, 8 * (32 * (group / 2) + within) + 4 * (group % 2), 4);
  if (high != nullptr) q += 16 * bit(high, 8 * within + group);
  return half(block) * scale * q - half(block + 2) * minimum;
}

double q6_value(const uint8_t* block, int i) {
  const int part = i / 128, run_index = i % 128 / 32, within = i % 32;
  const int low_byte = 64 * part + 32 * (run_index % 2) + within;
  const int low = field(block, 8 * low_byte + (run_index >= 2 ? 4 : 0), 4);
  const int high = field(block, 8 * (128 + 32 * part + within) + 2 * run_index, 2);
  return half(block + 208) * signed_byte(block[192 + i / 16]) * (low + 16 * high - 32);
}

double value_by_bits(GgmlType type, const uint8_t* block, int i) {
  switch (type) {
    case GgmlType::kF32: {
      const int exponent = field(block, 23, 8), mantissa = field(block, 0, 23);
      const double magnitude =
          exponent == 0 ? std::ldexp(mantissa, -149) : std::ldexp(8388608 + mantissa, exponent - 150);
      return bit(block, 31) != 0 ? -magnitude : magnitude;
    }
    case GgmlType::kF16: return half(block);
    case GgmlType::kBF16: {
      const int exponent = field(block, 7, 8), mantissa = field(block, 0, 7);
      const double magnitude = exponent == 0 ? std::ldexp(mantissa, -133) : std::ldexp(128 + mantissa, exponent - 134);
      return bit(block, 15) != 0 ? -magnitude : magnitude;
    }
    case GgmlType::kQ8_0: return half(block) * signed_byte(block[2 + i]);
    case GgmlType::kQ4_0: return half(block) * (nibble(block + 2, i) - 8);
    case GgmlType::kQ4_1: return half(block) * nibble(block + 4, i) + half(block + 2);
    case GgmlType::kQ5_0: return half(block) * (nibble(block + 6, i) + 16 * bit(block + 2, i) - 16);
    case GgmlType::kQ5_1: return half(block) * (nibble(block + 8, i) + 16 * bit(block + 4, i)) + half(block + 2);
    case GgmlType::kQ4_K: return k_value(block, nullptr, block + 16, i);
    case GgmlType::kQ5_K: return k_value(block, block + 16, block + 48, i);
    case GgmlType::kQ6_K: return q6_value(block, i);
  }
  return std::nan("");
}

/// Random bytes whose f16 scales, bf16 and f32 values are finite: the top exponent bit is cleared.
Bytes random_blocks(GgmlType type, int64_t num_blocks, Random& random) {
  const int64_t size = ggml_type_info(type)->block_bytes;
  Bytes bytes(static_cast<size_t>(num_blocks * size));
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random.next() >> 32);
  for (int64_t b = 0; b < num_blocks; ++b) {
    uint8_t* block = bytes.data() + b * size;
    if (type == GgmlType::kF32)
      block[3] &= 0xBF;
    else if (type == GgmlType::kQ6_K)
      block[209] &= 0xBF;
    else
      block[1] &= 0xBF, block[3 % size] &= 0xBF;
  }
  return bytes;
}

Bytes from_hex(const std::string& hex) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Bytes block_of(std::initializer_list<uint8_t> head, int fill_count, uint8_t fill) {
  Bytes bytes(head);
  bytes.insert(bytes.end(), static_cast<size_t>(fill_count), fill);
  return bytes;
}

std::string refusal(GgmlType type, int64_t count) {
  float out[256];
  const Bytes bytes(512, 0);
  try {
    dequantize(type, bytes.data(), count, out);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST(golden_blocks_of_the_reference_reader) {
  const auto golden = wavekv_test::golden_blocks();
  CHECK(golden.size() == sizeof kTypes / sizeof kTypes[0]);
  for (const auto& blocks : golden) {
    const Bytes bytes = from_hex(blocks.bytes);
    const GgmlTypeInfo* info = ggml_type_info(blocks.type);
    CHECK(static_cast<int64_t>(bytes.size()) * info->block_values ==
          static_cast<int64_t>(blocks.values.size()) * info->block_bytes);
    const std::vector<float> out = run(blocks.type, bytes, static_cast<int64_t>(blocks.values.size()));
    for (size_t i = 0; i < out.size(); ++i) CHECK_NEAR(out[i], blocks.values[i], 0.0, 1e-6);
  }
}

TEST(every_type_equals_the_bit_by_bit_reading_at_any_alignment) {
  Random random(11);
  for (const GgmlType type : kTypes) {
    const GgmlTypeInfo* info = ggml_type_info(type);
    const int64_t num_blocks = info->block_values == 1 ? 4096 : 64;
    const Bytes bytes = random_blocks(type, num_blocks, random);
    for (int shift = 0; shift < 4; ++shift) {
      Bytes moved(static_cast<size_t>(shift), 0xFF);
      moved.insert(moved.end(), bytes.begin(), bytes.end());
      std::vector<float> out(static_cast<size_t>(num_blocks * info->block_values));
      dequantize(type, moved.data() + shift, num_blocks * info->block_values, out.data());
      for (int64_t b = 0; b < num_blocks; ++b) {
        const uint8_t* block = bytes.data() + b * info->block_bytes;
        // Rounding of the two products: relative to the block's largest value.
        double largest = 0;
        for (int i = 0; i < info->block_values; ++i)
          largest = std::max(largest, std::fabs(value_by_bits(type, block, i)));
        for (int i = 0; i < info->block_values; ++i) {
          const double exact = value_by_bits(type, block, i);
          CHECK_NEAR(out[static_cast<size_t>(b * info->block_values + i)], exact, 1e-6 * largest, 1e-6);
        }
      }
    }
  }
}

TEST(every_half_is_exact) {
  Bytes bytes(65536 * 2);
  for (uint32_t i = 0; i < 65536; ++i) {
    bytes[2 * i] = static_cast<uint8_t>(i);
    bytes[2 * i + 1] = static_cast<uint8_t>(i >> 8);
  }
  const std::vector<float> out = run(GgmlType::kF16, bytes, 65536);
  for (size_t i = 0; i < 65536; ++i) {
    const double exact = half(bytes.data() + 2 * i);
    if (std::isnan(exact))
      CHECK(std::isnan(out[i]));
    else
      CHECK(static_cast<double>(out[i]) == exact && std::signbit(out[i]) == std::signbit(exact));
  }
}

// Computed by hand from the layouts. 0x3C00 is 1, 0x4000 is 2, 0xBC00 is -1, 0x3800 is 0.5 in f16.

TEST(q8_0_by_hand) {
  Bytes block = block_of({0x00, 0x38}, 32, 0);
  block[2] = 127, block[3] = 0x80, block[33] = 0xFF;
  const auto out = run(GgmlType::kQ8_0, block, 32);
  CHECK(out[0] == 63.5f && out[1] == -64.0f && out[2] == 0.0f && out[31] == -0.5f);
}

TEST(q4_0_by_hand) {
  Bytes block = block_of({0x00, 0x40}, 16, 0x88);
  block[2] = 0xF0, block[17] = 0x19;
  const auto out = run(GgmlType::kQ4_0, block, 32);
  CHECK(out[0] == -16.0f && out[16] == 14.0f && out[1] == 0.0f && out[15] == 2.0f && out[31] == -14.0f);
}

TEST(q4_1_by_hand) {
  Bytes block = block_of({0x00, 0x40, 0x00, 0xBC}, 16, 0x00);
  block[4] = 0xF3;
  const auto out = run(GgmlType::kQ4_1, block, 32);
  CHECK(out[0] == 5.0f && out[16] == 29.0f && out[1] == -1.0f && out[31] == -1.0f);
}

TEST(q5_0_by_hand) {
  // High bits of values 0, 9 and 31 are set.
  Bytes block = block_of({0x00, 0x3C, 0x01, 0x02, 0x00, 0x80}, 16, 0x00);
  block[6] = 0x2F, block[15] = 0x04, block[21] = 0xA0;
  const auto out = run(GgmlType::kQ5_0, block, 32);
  CHECK(out[0] == 15.0f && out[16] == -14.0f && out[9] == 4.0f && out[31] == 10.0f && out[1] == -16.0f);
}

TEST(q5_1_by_hand) {
  Bytes block = block_of({0x00, 0x38, 0x00, 0x40, 0x02, 0x00, 0x01, 0x00}, 16, 0x00);
  block[8] = 0x50, block[9] = 0x01;
  const auto out = run(GgmlType::kQ5_1, block, 32);
  CHECK(out[0] == 2.0f && out[1] == 10.5f && out[16] == 12.5f && out[31] == 2.0f);
}

TEST(q4_k_by_hand) {
  // Group 0: scale 3, minimum 5. Group 5: scale 4 + 16 * 1 = 20, minimum 2 + 16 * 3 = 50, with its top bits in bytes 1
  // and 5.
  Bytes block = block_of({0x00, 0x3C, 0x00, 0x38}, 12 + 128, 0x00);
  uint8_t* packed = block.data() + 4;
  packed[0] = 3, packed[4] = 5, packed[1] = 0x40, packed[5] = 0xC0, packed[9] = 0x24;
  block[16] = 0x07;            // group 0, value 0
  block[16 + 64 + 31] = 0xB0;  // group 5 (high half of run 2), value 31
  const auto out = run(GgmlType::kQ4_K, block, 256);
  CHECK(out[0] == 3 * 7 - 2.5f && out[1] == -2.5f && out[32] == 0.0f);
  CHECK(out[5 * 32] == -25.0f && out[5 * 32 + 31] == 20 * 11 - 25.0f);
}

TEST(q5_k_by_hand) {
  Bytes block = block_of({0x00, 0x3C, 0x00, 0x3C}, 12 + 32 + 128, 0x00);
  block[4 + 3] = 2;            // scale of group 3
  block[16 + 10] = 0x08;       // value 10 of group 3 has its high bit
  block[48 + 32 + 10] = 0x60;  // its low bits: high half of run 1
  const auto out = run(GgmlType::kQ5_K, block, 256);
  CHECK(out[3 * 32 + 10] == 2.0f * (16 + 6) && out[2 * 32 + 10] == 0.0f && out[3 * 32 + 11] == 0.0f);
}

TEST(q6_k_by_hand) {
  Bytes block(210, 0);
  block[208] = 0x00, block[209] = 0x3C;
  block[192 + 8 + 4] = 0x03;   // second half, run 2: scale 3 of its first 16 values, 192..207
  block[192 + 8 + 5] = 0xFE;   // and -2 of its last 16, 208..223
  block[64 + 3] = 0x90;        // value 195: low four bits 9
  block[128 + 32 + 3] = 0x30;  // and high two bits 3
  const auto out = run(GgmlType::kQ6_K, block, 256);
  CHECK(out[195] == 3.0f * (9 + 48 - 32) && out[196] == 3.0f * -32);
  CHECK(out[208] == -2.0f * -32 && out[223] == 64.0f && out[224] == 0.0f && out[191] == 0.0f);
}

TEST(block_sizes_and_names) {
  const struct {
    uint32_t number;
    const char* name;
    int64_t values, bytes;
  } expected[] = {{0, "F32", 1, 4},       {1, "F16", 1, 2},       {30, "BF16", 1, 2},    {2, "Q4_0", 32, 18},
                  {3, "Q4_1", 32, 20},    {6, "Q5_0", 32, 22},    {7, "Q5_1", 32, 24},   {8, "Q8_0", 32, 34},
                  {12, "Q4_K", 256, 144}, {13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210}};
  for (const auto& type : expected) {
    const GgmlTypeInfo* info = ggml_type_info(type.number);
    CHECK(info != nullptr && std::string(info->name) == type.name);
    CHECK(info->block_values == type.values && info->block_bytes == type.bytes);
    CHECK(std::string(ggml_type_name(type.number)) == type.name);
  }
  for (const uint32_t number : {4u, 5u, 9u, 10u, 15u, 16u, 29u, 31u, 41u, 42u, 0xFFFFFFFFu}) {
    CHECK(ggml_type_info(number) == nullptr);
  }
  CHECK(std::string(ggml_type_name(10)) == "Q2_K" && std::string(ggml_type_name(39)) == "MXFP4");
  CHECK(ggml_type_name(42) == nullptr && ggml_type_name(0xFFFFFFFFu) == nullptr);
}

TEST(bad_counts_and_types_are_refused) {
  CHECK(refusal(GgmlType::kQ4_0, 33).find("33 values are not a multiple of the block of Q4_0, 32") !=
        std::string::npos);
  CHECK(refusal(GgmlType::kQ6_K, 128).find("Q6_K, 256") != std::string::npos);
  CHECK(refusal(GgmlType::kF32, -1).find("-1 values") != std::string::npos);
  CHECK(refusal(static_cast<GgmlType>(10), 256).find("type 10 is not read") != std::string::npos);
  CHECK(refusal(GgmlType::kQ8_0, 0).empty());
}

TEST_MAIN()
