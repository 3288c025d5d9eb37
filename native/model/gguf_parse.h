#pragma once
#include "gguf.h"
#include "gguf_cursor.h"

namespace wavekv {

/// Smallest sizes on file, in bytes: what bounds a count by the bytes that remain.
constexpr int64_t kMinMetadataBytes = 8 + 1 + 4 + 1;  // key length, key, value type, value
constexpr int64_t kMinTensorBytes =
    8 + 1 + 4 + 8 + 4 + 8;  // name length, name, dimensions, one dimension, type, offset

constexpr int64_t kMaxKeyBytes = 65535;
constexpr int64_t kMaxTensorNameBytes = 64;
constexpr uint32_t kMaxDimensions = 4;
constexpr uint64_t kMinAlignment = 8;
constexpr uint64_t kMaxAlignment = 65536;

/// Reads `count` key-value pairs into contents.metadata, with contents.alignment where the file sets it.
void parse_metadata(GgufCursor& cursor, int64_t count, GgufContents& contents);

/// Reads `count` tensor infos and places them in the data section that follows.
void parse_tensors(GgufCursor& cursor, const uint8_t* bytes, int64_t count, GgufContents& contents);

}  // namespace wavekv
