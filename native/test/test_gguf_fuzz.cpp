#include <chrono>
#include <cstdlib>
#include <new>

#include "check.h"
#include "gguf_sample.h"

// Random damage to a valid file: the reader refuses it or reads it, within bounded memory, and never leaves its bytes.
// Built with -fsanitize=address,undefined this proves the last part; the buffer is exactly as long as the file.

namespace {

size_t largest_allocation = 0;

}  // namespace

// Every allocation of the reader passes here, so that a length taken from the file without a check shows. Not inlined,
// so that the compiler sees a pair of new and delete, not of new and free.
__attribute__((noinline)) void* operator new(size_t size) {
  if (size > largest_allocation) largest_allocation = size;
  void* memory = size <= (size_t{1} << 30) ? std::malloc(size) : nullptr;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
__attribute__((noinline)) void operator delete(void* memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void* memory, size_t) noexcept { std::free(memory); }

using namespace wavekv_test;

namespace {

constexpr auto kDuration = std::chrono::seconds(2);

void flip_bits(Bytes& bytes, Random& random) {
  const int64_t flips = 1 + random.below(8);
  for (int64_t i = 0; i < flips; ++i) {
    bytes[static_cast<size_t>(random.below(static_cast<int64_t>(bytes.size())))] ^=
        static_cast<uint8_t>(1u << random.below(8));
  }
}

/// Overwrites 4 or 8 bytes with a number that likes to break size arithmetic.
void plant_number(Bytes& bytes, Random& random) {
  static const uint64_t kNumbers[] = {0,
                                      1,
                                      7,
                                      32,
                                      255,
                                      65535,
                                      65536,
                                      0x7FFFFFFF,
                                      0x80000000,
                                      0xFFFFFFFF,
                                      uint64_t{1} << 32,
                                      uint64_t{1} << 60,
                                      uint64_t{1} << 62,
                                      INT64_MAX,
                                      uint64_t{1} << 63,
                                      UINT64_MAX};
  const uint64_t number = kNumbers[random.below(16)] + static_cast<uint64_t>(random.below(3)) - 1;
  const int64_t width = random.below(2) == 0 ? 4 : 8;
  const int64_t at = random.below(static_cast<int64_t>(bytes.size()) - width + 1);
  memcpy(bytes.data() + at, &number, static_cast<size_t>(width));
}

void move_a_piece(Bytes& bytes, Random& random) {
  const int64_t size = static_cast<int64_t>(bytes.size());
  const int64_t length = 1 + random.below(32);
  const int64_t from = random.below(size - length), to = random.below(size - length);
  memmove(bytes.data() + to, bytes.data() + from, static_cast<size_t>(length));
}

/// Uses all that the reader vouches for. Returns the bytes read, so that nothing is optimised away.
int64_t read_everything(const Bytes& bytes) {
  const auto contents = wavekv::parse_gguf(bytes.data(), static_cast<int64_t>(bytes.size()), "sample.gguf");
  int64_t total = 0;
  for (const auto& tensor : contents.tensors) {
    CHECK(tensor.data >= bytes.data() && tensor.data + tensor.size_bytes <= bytes.data() + bytes.size());
    int64_t count = 1;
    for (const int64_t dimension : tensor.shape) count *= dimension;
    std::vector<float> values(static_cast<size_t>(count));
    wavekv::dequantize(tensor.type, tensor.data, count, values.data());
    total += tensor.size_bytes;
  }
  for (const auto& pair : contents.metadata)
    CHECK(contents.metadata[contents.metadata_index.at(pair.first)].first == pair.first);
  return total;
}

}  // namespace

TEST(random_damage_never_crashes_the_reader) {
  const Bytes sound = SampleFile::valid().build();
  // Dense damage needs a short target: half of the runs spoil only the part before the data section.
  Random random(20240501);
  int64_t runs = 0, read = 0;
  const auto end = std::chrono::steady_clock::now() + kDuration;
  while (std::chrono::steady_clock::now() < end) {
    Bytes bytes = sound;
    const int64_t kind = random.below(4);
    if (kind == 0) flip_bits(bytes, random);
    if (kind == 1) plant_number(bytes, random);
    if (kind == 2) move_a_piece(bytes, random);
    if (kind == 3) bytes.resize(static_cast<size_t>(random.below(static_cast<int64_t>(bytes.size()))));
    if (random.below(4) == 0 && bytes.size() > 64) flip_bits(bytes, random);
    bytes.shrink_to_fit();
    largest_allocation = 0;
    try {
      CHECK(read_everything(bytes) >= 0);
      ++read;
    } catch (const std::bad_alloc&) {
      fail(__FILE__, __LINE__,
           "run " + std::to_string(runs) + " asked for " + std::to_string(largest_allocation) + " bytes");
    } catch (const std::runtime_error& error) {
      if (std::string(error.what()).rfind("sample.gguf: ", 0) != 0) throw;
    }
    // f32 values of a Q4 tensor take 8 times its bytes; metadata at most 16 times theirs.
    CHECK(largest_allocation <= 16 * sound.size() + 4096);
    ++runs;
  }
  std::printf("%lld damaged files, %lld of them still readable\n", static_cast<long long>(runs),
              static_cast<long long>(read));
  CHECK(runs > 1000 && read > 100 && read < runs);
}

TEST_MAIN()
