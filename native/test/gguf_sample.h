#pragma once
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "gguf.h"

// A small GGUF file as data, so that a test can spoil one part of it and write the rest as it was.
namespace wavekv_test {

using Bytes = std::vector<uint8_t>;

template <typename T>
Bytes bytes_of(T value) {
  Bytes out(sizeof value);
  memcpy(out.data(), &value, sizeof value);
  return out;
}

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Bytes text(const std::string& s) { return bytes_of<uint64_t>(s.size()) + Bytes(s.begin(), s.end()); }

template <typename T>
Bytes array_of(uint32_t type, const std::vector<T>& values) {
  Bytes out = bytes_of(type) + bytes_of<uint64_t>(values.size());
  for (const T value : values) out = out + bytes_of(value);
  return out;
}

inline Bytes array_of_texts(const std::vector<std::string>& values) {
  Bytes out = bytes_of<uint32_t>(8) + bytes_of<uint64_t>(values.size());
  for (const std::string& value : values) out = out + text(value);
  return out;
}

struct SamplePair {
  std::string key;
  uint32_t type;
  Bytes value;
};

struct SampleTensor {
  std::string name;
  std::vector<uint64_t> shape;
  uint32_t type;
  uint64_t offset;
  std::optional<uint32_t> num_dimensions;  // where it is not the shape's
};

struct SampleFile {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> num_tensors, num_pairs;  // where they are not the true ones
  size_t alignment = 64;                           // of the data section; general.alignment says the same
  Bytes data;
  std::vector<SamplePair> pairs;
  std::vector<SampleTensor> tensors;

  /// Every value type once alone and once as an array; four tensors, the last of which ends with the file.
  static SampleFile valid() {
    SampleFile file;
    file.pairs = {
        {"general.architecture", 8, text("llama")},
        {"general.alignment", 4, bytes_of<uint32_t>(64)},
        {"a.uint8", 0, bytes_of<uint8_t>(200)},
        {"a.int8", 1, bytes_of<int8_t>(-100)},
        {"a.uint16", 2, bytes_of<uint16_t>(60000)},
        {"a.int16", 3, bytes_of<int16_t>(-30000)},
        {"a.int32", 5, bytes_of<int32_t>(-2000000000)},
        {"a.float32", 6, bytes_of<float>(1.5f)},
        {"a.bool", 7, bytes_of<uint8_t>(1)},
        {"a.uint64", 10, bytes_of<uint64_t>(UINT64_MAX)},
        {"a.int64", 11, bytes_of<int64_t>(INT64_MIN)},
        {"a.float64", 12, bytes_of<double>(-0.1)},
        {"b.uint8", 9, array_of<uint8_t>(0, {1, 255})},
        {"b.int8", 9, array_of<int8_t>(1, {-1, 127})},
        {"b.uint16", 9, array_of<uint16_t>(2, {1, 65535})},
        {"b.int16", 9, array_of<int16_t>(3, {-32768})},
        {"b.uint32", 9, array_of<uint32_t>(4, {7, 4000000000u})},
        {"b.int32", 9, array_of<int32_t>(5, {-7, 8, 9})},
        {"b.float32", 9, array_of<float>(6, {0.25f, -2.0f})},
        {"b.bool", 9, array_of<uint8_t>(7, {1, 0, 1})},
        {"b.uint64", 9, array_of<uint64_t>(10, {1, UINT64_MAX})},
        {"b.int64", 9, array_of<int64_t>(11, {-1})},
        {"b.float64", 9, array_of<double>(12, {0.1})},
        {"b.empty", 9, array_of<int32_t>(5, {})},
        {"tokenizer.ggml.tokens", 9, array_of_texts({"<s>", "", "\xFF\xC3", "\xE2\x82\xAC"})},
    };
    file.tensors = {
        {"embedding", {64, 4}, 3, 0, {}},     // Q4_1: 4 rows of 2 blocks of 20 bytes
        {"norm", {64}, 0, 192, {}},           // F32: 256 bytes
        {"output", {256, 2}, 14, 448, {}},    // Q6_K: 2 blocks of 210 bytes
        {"four", {3, 2, 2, 2}, 30, 896, {}},  // BF16: 48 bytes
    };
    for (size_t i = 0; i < 896 + 48; ++i) file.data.push_back(static_cast<uint8_t>(i * 37 % 251));
    return file;
  }

  SamplePair& pair(const std::string& key) {
    for (SamplePair& each : pairs) {
      if (each.key == key) return each;
    }
    throw std::runtime_error("the sample has no key " + key);
  }

  Bytes build() const {
    Bytes out(magic.begin(), magic.end());
    out = out + bytes_of(version) + bytes_of<uint64_t>(num_tensors.value_or(tensors.size())) +
          bytes_of<uint64_t>(num_pairs.value_or(pairs.size()));
    for (const SamplePair& each : pairs) out = out + text(each.key) + bytes_of(each.type) + each.value;
    for (const SampleTensor& each : tensors) {
      out = out + text(each.name) +
            bytes_of<uint32_t>(each.num_dimensions.value_or(static_cast<uint32_t>(each.shape.size())));
      for (const uint64_t dimension : each.shape) out = out + bytes_of(dimension);
      out = out + bytes_of(each.type) + bytes_of(each.offset);
    }
    while (out.size() % alignment != 0) out.push_back(0);
    return out + data;
  }
};

/// The message that the reader refuses `bytes` with, or "" where it reads them.
inline std::string refusal_of(const Bytes& bytes) {
  try {
    wavekv::parse_gguf(bytes.data(), static_cast<int64_t>(bytes.size()), "sample.gguf");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace wavekv_test
