#include "gguf_cursor.h"

#include <stdexcept>

namespace wavekv {
namespace {

constexpr size_t kMaxQuotedBytes = 64;

/// Length of the UTF-8 character at `at`, or 0 where there is none: no overlong forms, surrogates or values past
/// U+10FFFF.
size_t utf8_length(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint8_t first = byte(at), second = byte(at + 1);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(at + 1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && second < 0xA0;
    const bool surrogate = first == 0xED && second > 0x9F;
    return continues(at + 1) && continues(at + 2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && second < 0x90;
    const bool too_large = first == 0xF4 && second > 0x8F;
    return continues(at + 1) && continues(at + 2) && continues(at + 3) && !overlong && !too_large ? 4 : 0;
  }
  return 0;
}

bool is_control(char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7F; }

}  // namespace

std::string quoted(const std::string& text) {
  if (text.size() <= kMaxQuotedBytes) return "'" + text + "'";
  size_t end = kMaxQuotedBytes;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  return "'" + text.substr(0, end) + "...'";
}

void GgufCursor::fail(const std::string& what, int64_t at) const {
  throw std::runtime_error(path_ + ": " + what + " at byte " + std::to_string(at));
}

void GgufCursor::fail_truncated(int64_t count, const char* what) const {
  fail(std::string("the file ends within ") + what + ": " + std::to_string(count) + " bytes are needed, " +
           std::to_string(remaining()) + " remain",
       position_);
}

int64_t GgufCursor::read_count(const char* what, int64_t min_entry_bytes) {
  const int64_t at = position_;
  const uint64_t count = read<uint64_t>(what);
  if (count > static_cast<uint64_t>(remaining() / min_entry_bytes)) {
    fail(std::string("the ") + what + " " + std::to_string(count) + " is more than the " + std::to_string(remaining()) +
             " bytes that remain can hold",
         at);
  }
  return static_cast<int64_t>(count);
}

std::string GgufCursor::read_string(const char* what) {
  const int64_t length = read_count(what, 1);
  const uint8_t* start = take(length, what);
  return std::string(reinterpret_cast<const char*>(start), static_cast<size_t>(length));
}

std::string GgufCursor::read_name(const char* what, int64_t max_bytes) {
  const int64_t at = position_;
  const uint64_t length = read<uint64_t>(what);
  if (length < 1 || length > static_cast<uint64_t>(max_bytes)) {
    fail(std::string("the ") + what + " " + std::to_string(length) + " is outside 1.." + std::to_string(max_bytes), at);
  }
  const uint8_t* start = take(static_cast<int64_t>(length), what);
  std::string name(reinterpret_cast<const char*>(start), static_cast<size_t>(length));
  for (size_t i = 0; i < name.size();) {
    const size_t step = utf8_length(name, i);
    const int64_t where = at + 8 + static_cast<int64_t>(i);
    if (step == 0) fail(std::string("invalid UTF-8 after the ") + what, where);
    if (is_control(name[i])) fail(std::string("a control character after the ") + what, where);
    i += step;
  }
  return name;
}

}  // namespace wavekv
