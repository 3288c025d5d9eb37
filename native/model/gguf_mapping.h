#pragma once
#include <cstdint>
#include <string>

namespace wavekv {

/// A regular file mapped read-only. Throws std::runtime_error "<path>: <reason>" where it cannot be; an empty file has
/// no bytes to map and gives data() == nullptr.
class GgufMapping {
 public:
  explicit GgufMapping(const std::string& path);
  ~GgufMapping();
  GgufMapping(const GgufMapping&) = delete;
  GgufMapping& operator=(const GgufMapping&) = delete;

  const uint8_t* data() const { return data_; }
  int64_t size_bytes() const { return size_bytes_; }

 private:
  const uint8_t* data_ = nullptr;
  int64_t size_bytes_ = 0;
};

}  // namespace wavekv
