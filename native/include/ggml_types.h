#pragma once
#include <cstdint>

namespace wavekv {

/// Tensor types of GGUF files, by their number in the file.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

struct GgmlTypeInfo {
  const char* name;
  int64_t block_values;  // values in one block; a row's length is a multiple of it
  int64_t block_bytes;
};

/// nullptr for a type that this program does not read.
const GgmlTypeInfo* ggml_type_info(uint32_t type);
inline const GgmlTypeInfo* ggml_type_info(GgmlType type) { return ggml_type_info(static_cast<uint32_t>(type)); }

/// The format's name of any type number, read by this program or not (for messages); nullptr for an unknown number.
const char* ggml_type_name(uint32_t type);

/// Dequantises `count` values (a multiple of the type's block) from `data` (any alignment) to f32. The reference that
/// every faster path is checked against. Throws std::runtime_error for a type that is not read or a bad count.
void dequantize(GgmlType type, const uint8_t* data, int64_t count, float* out);

}  // namespace wavekv
