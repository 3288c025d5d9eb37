#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "check.h"
#include "gguf.h"
#include "gguf_sample.h"

using namespace wavekv;
using namespace wavekv_test;

namespace {

/// A file in the system's folder for temporary files, removed with the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const Bytes& bytes) {
    const char* folder = std::getenv("TMPDIR");
    path_ = std::string(folder != nullptr ? folder : "/tmp") + "/wavekv-test-XXXXXX";
    const int descriptor = mkstemp(path_.data());
    if (descriptor < 0) throw std::runtime_error("no temporary file");
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    close(descriptor);
    if (written != static_cast<ssize_t>(bytes.size())) throw std::runtime_error("the temporary file is short");
  }
  ~TemporaryFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

template <typename T>
bool is(const GgufFile& file, const char* key, T expected) {
  const GgufValue* value = file.find(key);
  const T* held = value != nullptr ? std::get_if<T>(value) : nullptr;
  return held != nullptr && *held == expected;
}

template <typename T>
bool is_array(const GgufFile& file, const char* key, const std::vector<T>& expected) {
  const GgufValue* value = file.find(key);
  const GgufArray* array = value != nullptr ? std::get_if<GgufArray>(value) : nullptr;
  const auto* held = array != nullptr ? std::get_if<std::vector<T>>(array) : nullptr;
  return held != nullptr && *held == expected;
}

template <typename Body>
std::string thrown(Body body) {
  try {
    body();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

std::string open_refusal(const std::string& path) {
  return thrown([&] { GgufFile file(path); });
}

bool contains(const std::string& message, const std::string& part) { return message.find(part) != std::string::npos; }

}  // namespace

TEST(every_metadata_type) {
  const TemporaryFile temporary(SampleFile::valid().build());
  const GgufFile file(temporary.path());
  CHECK(file.version() == 3 && file.alignment() == 64 && file.path() == temporary.path());
  CHECK(file.metadata().size() == 25 && file.metadata()[2].first == "a.uint8");
  CHECK(is<std::string>(file, "general.architecture", "llama"));
  CHECK(is<uint64_t>(file, "a.uint8", 200) && is<int64_t>(file, "a.int8", -100));
  CHECK(is<uint64_t>(file, "a.uint16", 60000) && is<int64_t>(file, "a.int16", -30000));
  CHECK(is<uint64_t>(file, "general.alignment", 64) && is<int64_t>(file, "a.int32", -2000000000));
  CHECK(is<uint64_t>(file, "a.uint64", UINT64_MAX) && is<int64_t>(file, "a.int64", INT64_MIN));
  CHECK(is<double>(file, "a.float32", 1.5) && is<double>(file, "a.float64", -0.1) && is<bool>(file, "a.bool", true));
}

TEST(every_array_type) {
  const TemporaryFile temporary(SampleFile::valid().build());
  const GgufFile file(temporary.path());
  CHECK(is_array<uint8_t>(file, "b.uint8", {1, 255}) && is_array<int8_t>(file, "b.int8", {-1, 127}));
  CHECK(is_array<uint16_t>(file, "b.uint16", {1, 65535}) && is_array<int16_t>(file, "b.int16", {-32768}));
  CHECK(is_array<uint32_t>(file, "b.uint32", {7, 4000000000u}) && is_array<int32_t>(file, "b.int32", {-7, 8, 9}));
  CHECK(is_array<uint64_t>(file, "b.uint64", {1, UINT64_MAX}) && is_array<int64_t>(file, "b.int64", {-1}));
  CHECK(is_array<float>(file, "b.float32", {0.25f, -2.0f}) && is_array<double>(file, "b.float64", {0.1}));
  CHECK(is_array<bool>(file, "b.bool", {true, false, true}) && is_array<int32_t>(file, "b.empty", {}));
  CHECK(is_array<std::string>(file, "tokenizer.ggml.tokens", {"<s>", "", "\xFF\xC3", "\xE2\x82\xAC"}));
}

TEST(tensors_point_at_their_bytes) {
  const SampleFile sample = SampleFile::valid();
  const Bytes bytes = sample.build();
  const TemporaryFile temporary(bytes);
  const GgufFile file(temporary.path());
  CHECK(file.size_bytes() == static_cast<int64_t>(bytes.size()) && file.tensors().size() == 4);
  const int64_t expected_sizes[] = {160, 256, 420, 48};
  for (size_t i = 0; i < 4; ++i) {
    const GgufTensor& tensor = file.tensors()[i];
    CHECK(tensor.name == sample.tensors[i].name && file.find_tensor(tensor.name) == &tensor);
    CHECK(tensor.shape == std::vector<int64_t>(sample.tensors[i].shape.begin(), sample.tensors[i].shape.end()));
    CHECK(static_cast<uint32_t>(tensor.type) == sample.tensors[i].type && tensor.size_bytes == expected_sizes[i]);
    CHECK(memcmp(tensor.data, sample.data.data() + sample.tensors[i].offset, static_cast<size_t>(tensor.size_bytes)) ==
          0);
  }
  CHECK(file.find_tensor("absent") == nullptr && file.find("absent") == nullptr);
}

TEST(typed_look_ups) {
  const TemporaryFile temporary(SampleFile::valid().build());
  const GgufFile file(temporary.path());
  CHECK(file.integer("a.uint8") == 200 && file.integer("a.int64") == INT64_MIN);
  CHECK(file.integer_or("a.int16", 5) == -30000 && file.integer_or("absent", 5) == 5);
  CHECK(file.number_or("a.float32", 0) == 1.5 && file.number_or("a.int8", 0) == -100 &&
        file.number_or("absent", 2.5) == 2.5);
  CHECK(file.string("general.architecture") == "llama");
  CHECK(thrown([&] { file.integer("absent"); }) == temporary.path() + ": key 'absent' is missing");
  CHECK(contains(thrown([&] { file.integer("a.uint64"); }), "18446744073709551615, above 2^63 - 1"));
  CHECK(contains(thrown([&] { file.integer("a.float32"); }), "'a.float32' is not an integer"));
  CHECK(contains(thrown([&] { file.integer_or("a.bool", 1); }), "is not an integer"));
  CHECK(contains(thrown([&] { file.number_or("general.architecture", 1); }), "is not a number"));
  CHECK(contains(thrown([&] { file.string("a.int8"); }), "is not a string"));
  CHECK(contains(thrown([&] { file.string("absent"); }), "is missing"));
}

TEST(other_valid_forms_are_read) {
  SampleFile version2 = SampleFile::valid();
  version2.version = 2;
  CHECK(refusal_of(version2.build()).empty());

  SampleFile default_alignment = SampleFile::valid();
  default_alignment.pairs.erase(default_alignment.pairs.begin() + 1);
  default_alignment.alignment = 32;
  CHECK(refusal_of(default_alignment.build()).empty());

  SampleFile out_of_order = SampleFile::valid();
  std::swap(out_of_order.tensors[0], out_of_order.tensors[2]);
  CHECK(refusal_of(out_of_order.build()).empty());

  SampleFile no_tensors = SampleFile::valid();
  no_tensors.tensors.clear();
  no_tensors.alignment = 1;  // the file ends with its metadata, before a data section would start
  no_tensors.data.clear();
  CHECK(refusal_of(no_tensors.build()).empty());

  SampleFile empty;
  empty.alignment = 1;
  CHECK(refusal_of(empty.build()).empty());

  SampleFile longest = SampleFile::valid();
  longest.pairs.push_back({std::string(65535, 'k'), 7, bytes_of<uint8_t>(0)});
  longest.tensors[0].name = std::string(64, 'n');
  CHECK(refusal_of(longest.build()).empty());

  SampleFile trailing = SampleFile::valid();
  trailing.data.push_back(0);
  CHECK(refusal_of(trailing.build()).empty());
}

TEST(files_that_cannot_be_opened) {
  CHECK(open_refusal("/nonexistent/model.gguf") ==
        "/nonexistent/model.gguf: cannot be opened: No such file or directory");
  CHECK(contains(open_refusal("/tmp"), "/tmp: is not a regular file"));
  CHECK(contains(open_refusal("/dev/null"), "is not a regular file"));
  CHECK(contains(open_refusal(std::string("/dev/null\0.gguf", 15)), "holds a NUL character"));
  const TemporaryFile empty{Bytes{}};
  CHECK(open_refusal(empty.path()) == empty.path() + ": the file is empty at byte 0");
  const std::string pipe = empty.path() + "-pipe";
  CHECK(mkfifo(pipe.c_str(), 0600) == 0);
  const std::string message = open_refusal(pipe);
  unlink(pipe.c_str());
  CHECK(contains(message, "is not a regular file"));
}

TEST(a_refused_file_is_unmapped_and_named) {
  Bytes bytes = SampleFile::valid().build();
  bytes.pop_back();
  const TemporaryFile temporary(bytes);
  for (int i = 0; i < 100; ++i) {
    const std::string message = open_refusal(temporary.path());
    CHECK(message.rfind(temporary.path() + ": tensor 'four' of 48 bytes", 0) == 0);
  }
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  CHECK(maps != nullptr);
  char line[4096];
  bool mapped = false;
  while (std::fgets(line, sizeof line, maps) != nullptr) mapped = mapped || contains(line, temporary.path());
  std::fclose(maps);
  CHECK(!mapped);
}

TEST_MAIN()
