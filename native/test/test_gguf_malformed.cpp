#include <functional>

#include "check.h"
#include "gguf_sample.h"

using namespace wavekv_test;

namespace {

struct Mutation {
  const char* what;
  std::function<void(SampleFile&)> spoil;
  const char* expected;  // part of the message
};

constexpr uint64_t kHuge = uint64_t{1} << 62;

void set_value(SampleFile& file, const char* key, uint32_t type, Bytes value) {
  SamplePair& pair = file.pair(key);
  pair.type = type;
  pair.value = std::move(value);
}

void set_alignment(SampleFile& file, uint32_t alignment) {
  set_value(file, "general.alignment", 4, bytes_of(alignment));
}

const std::vector<Mutation> kHeader = {
    {"wrong magic", [](SampleFile& f) { f.magic = "GGML"; }, "not a GGUF file: the magic is wrong at byte 0"},
    {"lower-case magic", [](SampleFile& f) { f.magic = "gguf"; }, "not a GGUF file: the magic is wrong at byte 0"},
    {"reversed magic", [](SampleFile& f) { f.magic = "FUGG"; }, "a big-endian GGUF file, which is not read, at byte 0"},
    {"big-endian version 3", [](SampleFile& f) { f.version = 0x03000000; },
     "a big-endian GGUF file, which is not read, by its version at byte 4"},
    {"big-endian version 2", [](SampleFile& f) { f.version = 0x02000000; }, "a big-endian GGUF file"},
    {"version 0", [](SampleFile& f) { f.version = 0; }, "GGUF version 0 is not read (2 and 3 are) at byte 4"},
    {"version 1", [](SampleFile& f) { f.version = 1; }, "GGUF version 1 is not read"},
    {"version 4", [](SampleFile& f) { f.version = 4; }, "GGUF version 4 is not read"},
    {"huge number of tensors", [](SampleFile& f) { f.num_tensors = kHuge; },
     "the number of tensors 4611686018427387904 is more than"},
    {"number of tensors -1", [](SampleFile& f) { f.num_tensors = UINT64_MAX; },
     "the number of tensors 18446744073709551615 is more than"},
    {"tensors that the file cannot hold", [](SampleFile& f) { f.num_tensors = 100; },
     "the number of tensors 100 is more than"},
    {"one tensor too many", [](SampleFile& f) { f.num_tensors = 5; }, "tensor name length"},
    {"huge number of pairs", [](SampleFile& f) { f.num_pairs = kHuge; },
     "the number of metadata pairs 4611686018427387904 is more than"},
    {"number of pairs -1", [](SampleFile& f) { f.num_pairs = UINT64_MAX; },
     "the number of metadata pairs 18446744073709551615 is more than"},
    {"pairs that the file cannot hold", [](SampleFile& f) { f.num_pairs = 1000; },
     "the number of metadata pairs 1000 is more than"},
    {"one pair too many", [](SampleFile& f) { f.num_pairs = 26; }, "the tensor name length"},
    {"one pair too few", [](SampleFile& f) { f.num_pairs = 24; }, "tensor 'tokenizer.ggml.tokens' has 9 dimensions"},
};

const std::vector<Mutation> kKeys = {
    {"empty key", [](SampleFile& f) { f.pairs[2].key = ""; }, "the key length 0 is outside 1..65535"},
    {"key too long", [](SampleFile& f) { f.pairs[2].key = std::string(65536, 'k'); },
     "the key length 65536 is outside 1..65535"},
    {"key that is not UTF-8", [](SampleFile& f) { f.pairs[2].key = "a.\xFF"; }, "invalid UTF-8 after the key length"},
    {"key with a cut character", [](SampleFile& f) { f.pairs[2].key = "a.\xE2\x82"; },
     "invalid UTF-8 after the key length"},
    {"key with an overlong character", [](SampleFile& f) { f.pairs[2].key = "a.\xC0\xAE"; },
     "invalid UTF-8 after the key length"},
    {"key with an overlong three-byte character", [](SampleFile& f) { f.pairs[2].key = "\xE0\x80\x80"; },
     "invalid UTF-8"},
    {"key with a surrogate", [](SampleFile& f) { f.pairs[2].key = "\xED\xA0\x80"; }, "invalid UTF-8"},
    {"key with an overlong four-byte character", [](SampleFile& f) { f.pairs[2].key = "\xF0\x80\x80\x80"; },
     "invalid UTF-8"},
    {"key past U+10FFFF", [](SampleFile& f) { f.pairs[2].key = "\xF4\x90\x80\x80"; }, "invalid UTF-8"},
    {"key with a lone continuation", [](SampleFile& f) { f.pairs[2].key = "\x80"; }, "invalid UTF-8"},
    {"key with a NUL", [](SampleFile& f) { f.pairs[2].key = std::string("a\0b", 3); },
     "a control character after the key length"},
    {"key with a line feed", [](SampleFile& f) { f.pairs[2].key = "a\nb"; },
     "a control character after the key length"},
    {"the same key twice", [](SampleFile& f) { f.pairs[3].key = "a.uint8"; },
     "key 'a.uint8' is there twice, again at byte"},
    {"a second alignment", [](SampleFile& f) { f.pairs[3] = f.pairs[1]; }, "key 'general.alignment' is there twice"},
};

const std::vector<Mutation> kValues = {
    {"value type 13", [](SampleFile& f) { f.pairs[2].type = 13; },
     "key 'a.uint8' has the unknown value type 13 at byte"},
    {"value type -1", [](SampleFile& f) { f.pairs[2].type = UINT32_MAX; }, "has the unknown value type 4294967295"},
    {"boolean 2", [](SampleFile& f) { f.pair("a.bool").value = {2}; },
     "key 'a.bool' has the boolean 2, not 0 or 1, at byte"},
    {"boolean 255 in an array", [](SampleFile& f) { f.pair("b.bool").value.back() = 255; },
     "key 'b.bool' has the boolean 255, not 0 or 1"},
    {"string as long as 2^62", [](SampleFile& f) { set_value(f, "a.bool", 8, bytes_of(kHuge)); },
     "the string length 4611686018427387904 is more than"},
    {"string length -1", [](SampleFile& f) { set_value(f, "a.bool", 8, bytes_of(UINT64_MAX)); },
     "the string length 18446744073709551615 is more than"},
    {"string past the end", [](SampleFile& f) { set_value(f, "a.bool", 8, bytes_of<uint64_t>(100000)); },
     "the string length 100000 is more than"},
    {"array of value type 13", [](SampleFile& f) { set_value(f, "b.int32", 9, array_of<int32_t>(13, {1})); },
     "key 'b.int32' is an array of the unknown value type 13"},
    {"array of arrays", [](SampleFile& f) { set_value(f, "b.int32", 9, array_of<int32_t>(9, {1})); },
     "key 'b.int32' is an array of arrays, which is not read, at byte"},
    {"huge byte array", [](SampleFile& f) { set_value(f, "b.uint8", 9, bytes_of<uint32_t>(0) + bytes_of(kHuge)); },
     "the array length 4611686018427387904 is more than"},
    {"array whose bytes overflow",
     [](SampleFile& f) { set_value(f, "b.int64", 9, bytes_of<uint32_t>(11) + bytes_of(kHuge * 2)); },
     "the array length 9223372036854775808 is more than"},
    {"float array of length -1",
     [](SampleFile& f) { set_value(f, "b.float32", 9, bytes_of<uint32_t>(6) + bytes_of(UINT64_MAX)); },
     "the array length 18446744073709551615 is more than"},
    {"double array past the end",
     [](SampleFile& f) { set_value(f, "b.float64", 9, bytes_of<uint32_t>(12) + bytes_of<uint64_t>(500)); },
     "the array length 500 is more than"},
    {"boolean array past the end",
     [](SampleFile& f) { set_value(f, "b.bool", 9, bytes_of<uint32_t>(7) + bytes_of<uint64_t>(9999)); },
     "the array length 9999 is more than"},
    {"string array past the end",
     [](SampleFile& f) { set_value(f, "tokenizer.ggml.tokens", 9, bytes_of<uint32_t>(8) + bytes_of<uint64_t>(500)); },
     "the array length 500 is more than"},
    {"a long string in an array",
     [](SampleFile& f) {
       set_value(f, "tokenizer.ggml.tokens", 9, bytes_of<uint32_t>(8) + bytes_of<uint64_t>(1) + bytes_of(kHuge));
     },
     "the string length 4611686018427387904 is more than"},
};

const std::vector<Mutation> kAlignment = {
    {"alignment 0", [](SampleFile& f) { set_alignment(f, 0); },
     "general.alignment 0 is not a power of two in 8..65536 at byte"},
    {"alignment 4", [](SampleFile& f) { set_alignment(f, 4); },
     "general.alignment 4 is not a power of two in 8..65536"},
    {"alignment 48", [](SampleFile& f) { set_alignment(f, 48); }, "general.alignment 48 is not a power of two"},
    {"alignment 131072", [](SampleFile& f) { set_alignment(f, 131072); },
     "general.alignment 131072 is not a power of two"},
    {"alignment as text", [](SampleFile& f) { set_value(f, "general.alignment", 8, text("64")); },
     "general.alignment is not an unsigned integer at byte"},
    {"signed alignment", [](SampleFile& f) { set_value(f, "general.alignment", 5, bytes_of<int32_t>(-64)); },
     "general.alignment is not an unsigned integer"},
    {"alignment as an array", [](SampleFile& f) { set_value(f, "general.alignment", 9, array_of<uint32_t>(4, {64})); },
     "general.alignment is not an unsigned integer"},
    {"alignment greater than the offsets'", [](SampleFile& f) { set_alignment(f, 128); },
     "tensor 'norm' has the offset 192, not a multiple of the alignment 128, at byte"},
};

const std::vector<Mutation> kTensors = {
    {"empty tensor name", [](SampleFile& f) { f.tensors[1].name = ""; }, "the tensor name length 0 is outside 1..64"},
    {"tensor name of 65 bytes", [](SampleFile& f) { f.tensors[1].name = std::string(65, 'n'); },
     "the tensor name length 65 is outside 1..64"},
    {"tensor name that is not UTF-8", [](SampleFile& f) { f.tensors[1].name = "n\xFE"; },
     "invalid UTF-8 after the tensor name length"},
    {"tensor name with an escape", [](SampleFile& f) { f.tensors[1].name = "\x1b[31m"; },
     "a control character after the tensor name length"},
    {"the same tensor twice", [](SampleFile& f) { f.tensors[1].name = "embedding"; },
     "tensor 'embedding' is there twice, again at byte"},
    {"no dimensions", [](SampleFile& f) { f.tensors[1].shape.clear(); },
     "tensor 'norm' has 0 dimensions, not 1..4, at byte"},
    {"five dimensions", [](SampleFile& f) { f.tensors[1].shape = {64, 1, 1, 1, 1}; },
     "tensor 'norm' has 5 dimensions, not 1..4"},
    {"-1 dimensions", [](SampleFile& f) { f.tensors[1].num_dimensions = UINT32_MAX; },
     "tensor 'norm' has 4294967295 dimensions"},
    {"dimension 0", [](SampleFile& f) { f.tensors[0].shape[1] = 0; },
     "tensor 'embedding' has dimension 1 of 0 at byte"},
    {"dimension 2^63", [](SampleFile& f) { f.tensors[0].shape[1] = kHuge * 2; },
     "tensor 'embedding' has dimension 1 of 9223372036854775808"},
    {"dimension -1", [](SampleFile& f) { f.tensors[0].shape[0] = UINT64_MAX; },
     "tensor 'embedding' has dimension 0 of 18446744073709551615"},
    {"product past 2^63", [](SampleFile& f) { f.tensors[3].shape = {1u << 31, 1u << 31, 2, 1}; },
     "tensor 'four' has more than 2^63 values at byte"},
    {"product that wraps to a small number",
     [](SampleFile& f) { f.tensors[3].shape = {uint64_t{1} << 32, uint64_t{1} << 32, 1, 1}; },
     "tensor 'four' has more than 2^63 values"},
    {"bytes past 2^63", [](SampleFile& f) { f.tensors[1].shape = {kHuge}; }, "tensor 'norm' has more than 2^63 bytes"},
    {"row that splits a block of 32", [](SampleFile& f) { f.tensors[0].shape = {48, 4}; },
     "tensor 'embedding' has rows of 48 values, not a multiple of the block of Q4_1, 32, at byte"},
    {"row that splits a block of 256", [](SampleFile& f) { f.tensors[2].shape = {128, 4}; },
     "tensor 'output' has rows of 128 values, not a multiple of the block of Q6_K, 256"},
    {"tensor type that is not read", [](SampleFile& f) { f.tensors[0].type = 16; },
     "tensor 'embedding' has type 16 (IQ2_XXS), which is not read, at byte"},
    {"withdrawn tensor type", [](SampleFile& f) { f.tensors[0].type = 4; }, "has type 4 (Q4_2), which is not read"},
    {"unknown tensor type", [](SampleFile& f) { f.tensors[0].type = 99; }, "has type 99 (unknown), which is not read"},
    {"tensor type -1", [](SampleFile& f) { f.tensors[0].type = UINT32_MAX; },
     "has type 4294967295 (unknown), which is not read"},
    {"offset that is not aligned", [](SampleFile& f) { f.tensors[1].offset = 200; },
     "tensor 'norm' has the offset 200, not a multiple of the alignment 64"},
    {"offset past the end", [](SampleFile& f) { f.tensors[1].offset = 1 << 20; },
     "tensor 'norm' of 256 bytes with the offset 1048576 leaves the data section of 944 bytes, by its offset at byte"},
    {"offset near 2^64", [](SampleFile& f) { f.tensors[1].offset = UINT64_MAX - 63; },
     "leaves the data section of 944 bytes"},
    {"offset at the end", [](SampleFile& f) { f.tensors[3].offset = 960; },
     "tensor 'four' of 48 bytes with the offset 960 leaves"},
    {"tensor larger than the file", [](SampleFile& f) { f.tensors[3].shape[3] = 3; },
     "tensor 'four' of 72 bytes with the offset 896 leaves"},
    {"type with more bytes a value", [](SampleFile& f) { f.tensors[3].type = 0; }, "tensor 'four' of 96 bytes"},
    {"two tensors at one offset", [](SampleFile& f) { f.tensors[1].offset = 0; },
     "tensor 'norm' overlaps tensor 'embedding', by its offset at byte"},
    {"tensor within the one before", [](SampleFile& f) { f.tensors[1].offset = 128; },
     "tensor 'norm' overlaps tensor 'embedding'"},
    {"tensor that runs into the next", [](SampleFile& f) { f.tensors[1].shape = {65}; },
     "tensor 'output' overlaps tensor 'norm'"},
    {"overlap out of order", [](SampleFile& f) { f.tensors[0].offset = 448; },
     "tensor 'output' overlaps tensor 'embedding'"},
    {"data of one byte too few", [](SampleFile& f) { f.data.pop_back(); }, "leaves the data section of 943 bytes"},
    {"no data", [](SampleFile& f) { f.data.clear(); }, "leaves the data section of 0 bytes"},
};

/// The byte that a message names, or -1.
int64_t named_byte(const std::string& message) {
  const size_t at = message.rfind(" at byte ");
  return at == std::string::npos ? -1 : std::stoll(message.substr(at + 9));
}

void check_all(const std::vector<Mutation>& mutations) {
  for (const Mutation& mutation : mutations) {
    SampleFile file = SampleFile::valid();
    mutation.spoil(file);
    const Bytes bytes = file.build();
    const std::string message = refusal_of(bytes);
    const int64_t byte = named_byte(message);
    const bool named =
        message.rfind("sample.gguf: ", 0) == 0 && byte >= 0 && byte <= static_cast<int64_t>(bytes.size());
    if (!named || message.find(mutation.expected) == std::string::npos) {
      fail(__FILE__, __LINE__,
           std::string(mutation.what) + ": got \"" + message + "\", expected \"" + mutation.expected + "\"");
    }
  }
}

}  // namespace

TEST(the_sample_is_valid) { CHECK(refusal_of(SampleFile::valid().build()).empty()); }

TEST(header) { check_all(kHeader); }
TEST(keys) { check_all(kKeys); }
TEST(values) { check_all(kValues); }
TEST(alignment) { check_all(kAlignment); }
TEST(tensors) { check_all(kTensors); }

TEST(every_truncation_is_refused) {
  const Bytes whole = SampleFile::valid().build();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string message = refusal_of(Bytes(whole.begin(), whole.begin() + static_cast<int64_t>(size)));
    if (message.empty() || named_byte(message) < 0 || named_byte(message) > static_cast<int64_t>(whole.size())) {
      fail(__FILE__, __LINE__, "cut to " + std::to_string(size) + " bytes: \"" + message + "\"");
    }
  }
}

TEST(truncations_say_what_is_missing) {
  const Bytes whole = SampleFile::valid().build();
  const auto cut = [&](int64_t size) { return refusal_of(Bytes(whole.begin(), whole.begin() + size)); };
  CHECK(cut(0) == "sample.gguf: the file is empty at byte 0");
  CHECK(cut(3) == "sample.gguf: the file ends within the magic: 4 bytes are needed, 3 remain at byte 0");
  CHECK(cut(7) == "sample.gguf: the file ends within the version: 4 bytes are needed, 3 remain at byte 4");
  CHECK(cut(23) == "sample.gguf: the file ends within its header of 24 bytes at byte 23");
  const int64_t data = static_cast<int64_t>(SampleFile::valid().data.size());
  CHECK(cut(static_cast<int64_t>(whole.size()) - data).find("leaves the data section of 0 bytes") != std::string::npos);
}

TEST(the_named_byte_is_the_spoilt_one) {
  SampleFile file = SampleFile::valid();
  const Bytes sound = file.build();
  file.pair("a.bool").value = {2};
  const Bytes spoilt = file.build();
  int64_t first = 0;
  while (sound[static_cast<size_t>(first)] == spoilt[static_cast<size_t>(first)]) ++first;
  CHECK(named_byte(refusal_of(spoilt)) == first);

  file = SampleFile::valid();
  file.tensors[2].offset = 128;
  const Bytes moved = file.build();
  first = 0;
  while (sound[static_cast<size_t>(first)] == moved[static_cast<size_t>(first)]) ++first;
  CHECK(named_byte(refusal_of(moved)) == first);
}

TEST(long_names_are_cut_in_messages_between_characters) {
  SampleFile file = SampleFile::valid();
  file.pairs[2].key = std::string(63, 'k') + "\xE2\x82\xAC" + std::string(1000, 'k');
  file.pairs[2].type = 13;
  CHECK(refusal_of(file.build()).find("key '" + std::string(63, 'k') + "...' has") != std::string::npos);
}

TEST_MAIN()
