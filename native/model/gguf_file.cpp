#include <stdexcept>

#include "gguf.h"
#include "gguf_cursor.h"
#include "gguf_mapping.h"

namespace wavekv {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& key, const std::string& reason) {
  throw std::runtime_error(path + ": key " + quoted(key) + " " + reason);
}

int64_t as_integer(const std::string& path, const std::string& key, const GgufValue& value) {
  if (const int64_t* number = std::get_if<int64_t>(&value)) return *number;
  const uint64_t* number = std::get_if<uint64_t>(&value);
  if (number == nullptr) fail(path, key, "is not an integer");
  if (*number > static_cast<uint64_t>(INT64_MAX)) fail(path, key, "is " + std::to_string(*number) + ", above 2^63 - 1");
  return static_cast<int64_t>(*number);
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : path_(path), mapping_(std::make_unique<GgufMapping>(path)) {
  contents_ = parse_gguf(mapping_->data(), mapping_->size_bytes(), path_);
}

GgufFile::~GgufFile() = default;

int64_t GgufFile::size_bytes() const { return mapping_->size_bytes(); }

const GgufTensor* GgufFile::find_tensor(const std::string& name) const {
  const auto found = contents_.tensor_index.find(name);
  return found == contents_.tensor_index.end() ? nullptr : &contents_.tensors[found->second];
}

const GgufValue* GgufFile::find(const std::string& key) const {
  const auto found = contents_.metadata_index.find(key);
  return found == contents_.metadata_index.end() ? nullptr : &contents_.metadata[found->second].second;
}

const GgufValue& GgufFile::required(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) fail(path_, key, "is missing");
  return *value;
}

int64_t GgufFile::integer(const std::string& key) const { return as_integer(path_, key, required(key)); }

int64_t GgufFile::integer_or(const std::string& key, int64_t fallback) const {
  const GgufValue* value = find(key);
  return value == nullptr ? fallback : as_integer(path_, key, *value);
}

double GgufFile::number_or(const std::string& key, double fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return fallback;
  if (const double* number = std::get_if<double>(value)) return *number;
  if (const uint64_t* number = std::get_if<uint64_t>(value)) return static_cast<double>(*number);
  if (const int64_t* number = std::get_if<int64_t>(value)) return static_cast<double>(*number);
  fail(path_, key, "is not a number");
}

std::string GgufFile::string(const std::string& key) const {
  const std::string* text = std::get_if<std::string>(&required(key));
  if (text == nullptr) fail(path_, key, "is not a string");
  return *text;
}

}  // namespace wavekv
