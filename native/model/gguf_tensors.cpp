#include <algorithm>

#include "gguf_parse.h"

namespace wavekv {
namespace {

/// Where a tensor lies, beside contents.tensors until the data section's start is known.
struct Placement {
  uint64_t offset;   // bytes from the data section's start
  int64_t field_at;  // where the file says so, for messages
  size_t tensor_index;
};

std::vector<int64_t> read_shape(GgufCursor& cursor, const std::string& name) {
  const int64_t at = cursor.position();
  const uint32_t dimensions = cursor.read<uint32_t>("a tensor's number of dimensions");
  if (dimensions < 1 || dimensions > kMaxDimensions) {
    cursor.fail("tensor " + quoted(name) + " has " + std::to_string(dimensions) + " dimensions, not 1.." +
                    std::to_string(kMaxDimensions) + ",",
                at);
  }
  std::vector<int64_t> shape;
  int64_t values = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const int64_t dimension_at = cursor.position();
    const uint64_t dimension = cursor.read<uint64_t>("a tensor's dimensions");
    if (dimension < 1 || dimension > static_cast<uint64_t>(INT64_MAX)) {
      cursor.fail("tensor " + quoted(name) + " has dimension " + std::to_string(i) + " of " + std::to_string(dimension),
                  dimension_at);
    }
    shape.push_back(static_cast<int64_t>(dimension));
    if (__builtin_mul_overflow(values, shape.back(), &values)) {
      cursor.fail("tensor " + quoted(name) + " has more than 2^63 values", dimension_at);
    }
  }
  return shape;
}

const GgmlTypeInfo& read_type(GgufCursor& cursor, GgufTensor& tensor) {
  const int64_t at = cursor.position();
  const uint32_t number = cursor.read<uint32_t>("a tensor's type");
  const GgmlTypeInfo* info = ggml_type_info(number);
  if (info == nullptr) {
    const char* type_name = ggml_type_name(number);
    cursor.fail("tensor " + quoted(tensor.name) + " has type " + std::to_string(number) + " (" +
                    (type_name != nullptr ? type_name : "unknown") + "), which is not read,",
                at);
  }
  tensor.type = static_cast<GgmlType>(number);
  return *info;
}

int64_t tensor_bytes(const GgufCursor& cursor, const GgufTensor& tensor, const GgmlTypeInfo& info, int64_t at) {
  if (tensor.shape[0] % info.block_values != 0) {
    cursor.fail("tensor " + quoted(tensor.name) + " has rows of " + std::to_string(tensor.shape[0]) +
                    " values, not a multiple of the block of " + info.name + ", " + std::to_string(info.block_values) +
                    ",",
                at);
  }
  int64_t values = 1;  // read_shape has refused a product that overflows
  for (const int64_t dimension : tensor.shape) values *= dimension;
  int64_t size_bytes = 0;
  if (__builtin_mul_overflow(values / info.block_values, info.block_bytes, &size_bytes)) {
    cursor.fail("tensor " + quoted(tensor.name) + " has more than 2^63 bytes", at);
  }
  return size_bytes;
}

Placement read_tensor(GgufCursor& cursor, GgufContents& contents) {
  const int64_t at = cursor.position();
  GgufTensor tensor{};
  tensor.name = cursor.read_name("tensor name length", kMaxTensorNameBytes);
  if (!contents.tensor_index.emplace(tensor.name, contents.tensors.size()).second) {
    cursor.fail("tensor " + quoted(tensor.name) + " is there twice, again", at);
  }
  tensor.shape = read_shape(cursor, tensor.name);
  const GgmlTypeInfo& info = read_type(cursor, tensor);
  tensor.size_bytes = tensor_bytes(cursor, tensor, info, at);
  const int64_t field_at = cursor.position();
  const uint64_t offset = cursor.read<uint64_t>("a tensor's offset");
  if (offset % static_cast<uint64_t>(contents.alignment) != 0) {
    cursor.fail("tensor " + quoted(tensor.name) + " has the offset " + std::to_string(offset) +
                    ", not a multiple of the alignment " + std::to_string(contents.alignment) + ",",
                field_at);
  }
  contents.tensors.push_back(std::move(tensor));
  return {offset, field_at, contents.tensors.size() - 1};
}

void check_inside(const GgufCursor& cursor, const GgufTensor& tensor, const Placement& placement, int64_t data_bytes) {
  const uint64_t available = static_cast<uint64_t>(data_bytes);
  if (placement.offset <= available && static_cast<uint64_t>(tensor.size_bytes) <= available - placement.offset) return;
  cursor.fail("tensor " + quoted(tensor.name) + " of " + std::to_string(tensor.size_bytes) + " bytes with the offset " +
                  std::to_string(placement.offset) + " leaves the data section of " + std::to_string(data_bytes) +
                  " bytes, by its offset",
              placement.field_at);
}

/// Placements are inside the data section already, so the sums cannot overflow.
void check_overlaps(const GgufCursor& cursor, const GgufContents& contents, std::vector<Placement> placements) {
  std::sort(placements.begin(), placements.end(), [](const Placement& a, const Placement& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.tensor_index < b.tensor_index;
  });
  for (size_t i = 1; i < placements.size(); ++i) {
    const GgufTensor& before = contents.tensors[placements[i - 1].tensor_index];
    const GgufTensor& tensor = contents.tensors[placements[i].tensor_index];
    const uint64_t end = placements[i - 1].offset + static_cast<uint64_t>(before.size_bytes);
    if (placements[i].offset < end) {
      cursor.fail("tensor " + quoted(tensor.name) + " overlaps tensor " + quoted(before.name) + ", by its offset",
                  placements[i].field_at);
    }
  }
}

}  // namespace

void parse_tensors(GgufCursor& cursor, const uint8_t* bytes, int64_t count, GgufContents& contents) {
  std::vector<Placement> placements;
  for (int64_t i = 0; i < count; ++i) placements.push_back(read_tensor(cursor, contents));

  const int64_t infos_end = cursor.position();
  contents.data_offset = (infos_end + contents.alignment - 1) / contents.alignment * contents.alignment;
  if (count == 0) return;  // a vocabulary-only file may end before the data section would start
  const int64_t data_bytes = cursor.size_bytes() - contents.data_offset;
  if (data_bytes < 0) cursor.fail("the file ends before the data section", infos_end);
  for (const Placement& placement : placements) {
    GgufTensor& tensor = contents.tensors[placement.tensor_index];
    check_inside(cursor, tensor, placement, data_bytes);
    tensor.data = bytes + contents.data_offset + static_cast<int64_t>(placement.offset);
  }
  check_overlaps(cursor, contents, std::move(placements));
}

}  // namespace wavekv
