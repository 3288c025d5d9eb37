#include "huge_buffer.h"

#include <sys/mman.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace wavekv {
namespace {
constexpr int64_t kHugePageBytes = int64_t{2} << 20;
}

HugeBuffer::HugeBuffer(int64_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes <= 0) {
    size_bytes_ = 0;
    return;
  }
  void* memory = mmap(nullptr, static_cast<size_t>(size_bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("cannot allocate " + std::to_string(size_bytes) + " bytes");
  if (size_bytes >= kHugePageBytes) madvise(memory, static_cast<size_t>(size_bytes), MADV_HUGEPAGE);
  data_ = static_cast<uint8_t*>(memory);
}

HugeBuffer::~HugeBuffer() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(size_bytes_));
}

HugeBuffer::HugeBuffer(HugeBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}

HugeBuffer& HugeBuffer::operator=(HugeBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

}  // namespace wavekv
