#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "ggml_types.h"

namespace wavekv {

using GgufArray = std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
                               std::vector<uint32_t>, std::vector<int32_t>, std::vector<uint64_t>, std::vector<int64_t>,
                               std::vector<float>, std::vector<double>, std::vector<bool>, std::vector<std::string>>;
/// Unsigned integers of every width are uint64_t, signed ones int64_t, f32 and f64 double. Strings are bytes, UTF-8 in
/// a sound file but not checked: vocabularies hold single bytes.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray>;

struct GgufTensor {
  std::string name;  // UTF-8, 1..64 bytes
  GgmlType type;
  std::vector<int64_t> shape;  // 1..4 dimensions in GGUF order: shape[0] is the contiguous dimension (columns)
  const uint8_t* data;         // into the mapping; size_bytes bytes are inside the file
  int64_t size_bytes;
};

/// What a GGUF file says. Tensor data are not copied: they point into the bytes that were parsed.
struct GgufContents {
  uint32_t version = 0;     // 2 or 3
  int64_t alignment = 32;   // bytes, a power of two: every tensor starts at a multiple of it in the data section
  int64_t data_offset = 0;  // bytes from the file's start to the data section
  std::vector<std::pair<std::string, GgufValue>> metadata;  // in the file's order
  std::unordered_map<std::string, size_t> metadata_index;   // key -> index into metadata
  std::vector<GgufTensor> tensors;                          // in the file's order
  std::unordered_map<std::string, size_t> tensor_index;     // name -> index into tensors
};

/// Parses a whole file held at `bytes`. Everything is validated: each count, length, offset and product is checked
/// against `size_bytes` before use, so that what is allocated is at most a small multiple of the file's size; duplicate
/// keys or tensors and tensors that overlap are refused. Throws std::runtime_error "<path>: <what> at byte <offset>".
GgufContents parse_gguf(const uint8_t* bytes, int64_t size_bytes, const std::string& path);

class GgufMapping;

/// A GGUF file (version 2 or 3, little endian), memory-mapped read-only and validated by parse_gguf in the constructor.
/// Throws std::runtime_error with the reason and, past opening, the byte offset. The mapping lives as long as the
/// object. A file that is truncated by somebody else while it is mapped is outside what can be checked.
class GgufFile {
 public:
  explicit GgufFile(const std::string& path);
  ~GgufFile();
  GgufFile(const GgufFile&) = delete;
  GgufFile& operator=(const GgufFile&) = delete;

  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return contents_.metadata; }
  const std::vector<GgufTensor>& tensors() const { return contents_.tensors; }
  /// nullptr where absent.
  const GgufTensor* find_tensor(const std::string& name) const;
  const GgufValue* find(const std::string& key) const;

  // Typed look-ups: throw where the key is absent (no fallback given) or of another type.
  int64_t integer(const std::string& key) const;
  int64_t integer_or(const std::string& key, int64_t fallback) const;
  double number_or(const std::string& key, double fallback) const;  // integers count as numbers
  std::string string(const std::string& key) const;

  uint32_t version() const { return contents_.version; }
  int64_t alignment() const { return contents_.alignment; }
  const std::string& path() const { return path_; }
  int64_t size_bytes() const;

 private:
  const GgufValue& required(const std::string& key) const;

  std::string path_;
  std::unique_ptr<GgufMapping> mapping_;
  GgufContents contents_;
};

}  // namespace wavekv
