#include "gguf_parse.h"

namespace wavekv {
namespace {

/// Types of metadata values, by their number in the file.
enum class ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

constexpr int64_t kMinStringBytes = 8;  // an empty string is its length alone

bool read_bool(GgufCursor& cursor, const std::string& key) {
  const int64_t at = cursor.position();
  const uint8_t byte = cursor.read<uint8_t>("a metadata value");
  if (byte > 1) cursor.fail("key " + quoted(key) + " has the boolean " + std::to_string(byte) + ", not 0 or 1,", at);
  return byte == 1;
}

template <typename T>
GgufValue read_numbers(GgufCursor& cursor) {
  const int64_t count = cursor.read_count("array length", sizeof(T));
  std::vector<T> values(static_cast<size_t>(count));
  const uint8_t* source = cursor.take(count * static_cast<int64_t>(sizeof(T)), "an array");
  if (count > 0) memcpy(values.data(), source, values.size() * sizeof(T));
  return GgufValue(std::in_place_type<GgufArray>, std::move(values));
}

GgufValue read_bools(GgufCursor& cursor, const std::string& key) {
  const int64_t count = cursor.read_count("array length", 1);
  std::vector<bool> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = read_bool(cursor, key);
  return GgufValue(std::in_place_type<GgufArray>, std::move(values));
}

GgufValue read_strings(GgufCursor& cursor) {
  const int64_t count = cursor.read_count("array length", kMinStringBytes);
  // Grown by what is read, not reserved: a string object is four times as large as its least size on file.
  std::vector<std::string> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(cursor.read_string("string length"));
  return GgufValue(std::in_place_type<GgufArray>, std::move(values));
}

GgufValue read_array(GgufCursor& cursor, const std::string& key) {
  const int64_t at = cursor.position();
  const uint32_t type = cursor.read<uint32_t>("an array's value type");
  switch (static_cast<ValueType>(type)) {
    case ValueType::kUint8: return read_numbers<uint8_t>(cursor);
    case ValueType::kInt8: return read_numbers<int8_t>(cursor);
    case ValueType::kUint16: return read_numbers<uint16_t>(cursor);
    case ValueType::kInt16: return read_numbers<int16_t>(cursor);
    case ValueType::kUint32: return read_numbers<uint32_t>(cursor);
    case ValueType::kInt32: return read_numbers<int32_t>(cursor);
    case ValueType::kUint64: return read_numbers<uint64_t>(cursor);
    case ValueType::kInt64: return read_numbers<int64_t>(cursor);
    case ValueType::kFloat32: return read_numbers<float>(cursor);
    case ValueType::kFloat64: return read_numbers<double>(cursor);
    case ValueType::kBool: return read_bools(cursor, key);
    case ValueType::kString: return read_strings(cursor);
    case ValueType::kArray: cursor.fail("key " + quoted(key) + " is an array of arrays, which is not read,", at);
  }
  cursor.fail("key " + quoted(key) + " is an array of the unknown value type " + std::to_string(type), at);
}

template <typename T, typename Wide>
GgufValue read_number(GgufCursor& cursor) {
  return GgufValue(std::in_place_type<Wide>, cursor.read<T>("a metadata value"));
}

GgufValue read_value(GgufCursor& cursor, const std::string& key) {
  const int64_t at = cursor.position();
  const uint32_t type = cursor.read<uint32_t>("a value type");
  switch (static_cast<ValueType>(type)) {
    case ValueType::kUint8: return read_number<uint8_t, uint64_t>(cursor);
    case ValueType::kInt8: return read_number<int8_t, int64_t>(cursor);
    case ValueType::kUint16: return read_number<uint16_t, uint64_t>(cursor);
    case ValueType::kInt16: return read_number<int16_t, int64_t>(cursor);
    case ValueType::kUint32: return read_number<uint32_t, uint64_t>(cursor);
    case ValueType::kInt32: return read_number<int32_t, int64_t>(cursor);
    case ValueType::kUint64: return read_number<uint64_t, uint64_t>(cursor);
    case ValueType::kInt64: return read_number<int64_t, int64_t>(cursor);
    case ValueType::kFloat32: return read_number<float, double>(cursor);
    case ValueType::kFloat64: return read_number<double, double>(cursor);
    case ValueType::kBool: return GgufValue(std::in_place_type<bool>, read_bool(cursor, key));
    case ValueType::kString: return GgufValue(std::in_place_type<std::string>, cursor.read_string("string length"));
    case ValueType::kArray: return read_array(cursor, key);
  }
  cursor.fail("key " + quoted(key) + " has the unknown value type " + std::to_string(type), at);
}

int64_t checked_alignment(const GgufCursor& cursor, const GgufValue& value, int64_t at) {
  const uint64_t* alignment = std::get_if<uint64_t>(&value);
  if (alignment == nullptr) cursor.fail("general.alignment is not an unsigned integer", at);
  const bool power_of_two = (*alignment & (*alignment - 1)) == 0;
  if (*alignment < kMinAlignment || *alignment > kMaxAlignment || !power_of_two) {
    cursor.fail("general.alignment " + std::to_string(*alignment) + " is not a power of two in " +
                    std::to_string(kMinAlignment) + ".." + std::to_string(kMaxAlignment),
                at);
  }
  return static_cast<int64_t>(*alignment);
}

}  // namespace

void parse_metadata(GgufCursor& cursor, int64_t count, GgufContents& contents) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t key_at = cursor.position();
    std::string key = cursor.read_name("key length", kMaxKeyBytes);
    if (!contents.metadata_index.emplace(key, contents.metadata.size()).second) {
      cursor.fail("key " + quoted(key) + " is there twice, again", key_at);
    }
    const int64_t value_at = cursor.position();
    GgufValue value = read_value(cursor, key);
    if (key == "general.alignment") contents.alignment = checked_alignment(cursor, value, value_at);
    contents.metadata.emplace_back(std::move(key), std::move(value));
  }
}

}  // namespace wavekv
