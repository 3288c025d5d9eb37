#pragma once
#include <cstdint>
#include <cstring>
#include <string>

namespace wavekv {

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF files are read in place: the host must be little endian"
#endif

/// A position in a file's bytes that cannot leave them: every read checks what remains first.
class GgufCursor {
 public:
  GgufCursor(const uint8_t* bytes, int64_t size_bytes, const std::string& path)
      : bytes_(bytes), size_bytes_(size_bytes), path_(path) {}

  int64_t position() const { return position_; }
  int64_t remaining() const { return size_bytes_ - position_; }
  int64_t size_bytes() const { return size_bytes_; }

  /// Throws std::runtime_error "<path>: <what> at byte <at>".
  [[noreturn]] void fail(const std::string& what, int64_t at) const;

  /// One little-endian value of any alignment; `what` names it where the file ends too soon.
  template <typename T>
  T read(const char* what) {
    T value;
    memcpy(&value, take(sizeof(T), what), sizeof(T));
    return value;
  }

  /// The next `count` bytes (count >= 0), which stay valid as long as the file's bytes.
  const uint8_t* take(int64_t count, const char* what) {
    if (count > remaining()) fail_truncated(count, what);
    const uint8_t* start = bytes_ + position_;
    position_ += count;
    return start;
  }

  /// A count of entries that take at least `min_entry_bytes` each, so that it is bounded by what remains of the file.
  int64_t read_count(const char* what, int64_t min_entry_bytes);

  /// A string of any bytes: u64 length, then the bytes.
  std::string read_string(const char* what);

  /// A key or a tensor's name: 1..max_bytes bytes of UTF-8 without control characters.
  std::string read_name(const char* what, int64_t max_bytes);

 private:
  [[noreturn]] void fail_truncated(int64_t count, const char* what) const;

  const uint8_t* bytes_;
  int64_t size_bytes_;
  int64_t position_ = 0;
  const std::string& path_;
};

/// 'text' for a message, cut to 64 bytes (never inside a character of valid UTF-8).
std::string quoted(const std::string& text);

}  // namespace wavekv
