#include "gguf_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace wavekv {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw std::runtime_error(path + ": " + reason);
}

/// Closes on every way out of the constructor; a mapping outlives its descriptor.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

}  // namespace

GgufMapping::GgufMapping(const std::string& path) {
  // The system would stop at the NUL and open another file than the one named.
  if (path.find('\0') != std::string::npos) fail(path.substr(0, path.find('\0')), "the path holds a NUL character");
  // Non-blocking, since opening a pipe would otherwise wait for a writer.
  const Descriptor descriptor{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (descriptor.number < 0) fail(path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat status{};
  if (fstat(descriptor.number, &status) != 0) fail(path, std::string("cannot be examined: ") + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(path, "is not a regular file");
  if (status.st_size == 0) return;
  void* address = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, descriptor.number, 0);
  if (address == MAP_FAILED) {
    fail(path, "cannot be mapped (" + std::to_string(status.st_size) + " bytes): " + std::strerror(errno));
  }
  data_ = static_cast<const uint8_t*>(address);
  size_bytes_ = status.st_size;
}

GgufMapping::~GgufMapping() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(size_bytes_));
}

}  // namespace wavekv
