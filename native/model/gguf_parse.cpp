#include "gguf_parse.h"

namespace wavekv {
namespace {

constexpr int64_t kHeaderBytes = 4 + 4 + 8 + 8;  // magic, version, number of tensors, number of metadata pairs

void check_magic(GgufCursor& cursor) {
  const uint8_t* magic = cursor.take(4, "the magic");
  if (memcmp(magic, "GGUF", 4) == 0) return;
  if (memcmp(magic, "FUGG", 4) == 0) cursor.fail("a big-endian GGUF file, which is not read,", 0);
  cursor.fail("not a GGUF file: the magic is wrong", 0);
}

uint32_t read_version(GgufCursor& cursor) {
  const int64_t at = cursor.position();
  const uint32_t version = cursor.read<uint32_t>("the version");
  if (version == 2 || version == 3) return version;
  // A big-endian file has its magic as text, so that only its version tells.
  const uint32_t swapped = __builtin_bswap32(version);
  if (swapped >= 1 && swapped <= 3) cursor.fail("a big-endian GGUF file, which is not read, by its version", at);
  cursor.fail("GGUF version " + std::to_string(version) + " is not read (2 and 3 are)", at);
}

}  // namespace

GgufContents parse_gguf(const uint8_t* bytes, int64_t size_bytes, const std::string& path) {
  GgufCursor cursor(bytes, size_bytes, path);
  if (size_bytes == 0) cursor.fail("the file is empty", 0);
  check_magic(cursor);
  GgufContents contents;
  contents.version = read_version(cursor);
  if (size_bytes < kHeaderBytes) {
    cursor.fail("the file ends within its header of " + std::to_string(kHeaderBytes) + " bytes", size_bytes);
  }
  const int64_t num_tensors = cursor.read_count("number of tensors", kMinTensorBytes);
  const int64_t num_pairs = cursor.read_count("number of metadata pairs", kMinMetadataBytes);
  parse_metadata(cursor, num_pairs, contents);
  parse_tensors(cursor, bytes, num_tensors, contents);
  return contents;
}

}  // namespace wavekv
