// The plain float reference as a program.
//   float_forward MODEL TOKENS FIRST OUT [threads]
// TOKENS: int32 token ids. OUT: f32 [numTokens - FIRST, vocabSize], the logits of positions FIRST and later.
#include "float_forward.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

using namespace wavekv_reference;

namespace {

std::vector<int32_t> read_tokens(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) throw std::runtime_error("cannot read " + path);
  std::vector<int32_t> tokens(static_cast<size_t>(in.tellg()) / sizeof(int32_t));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(tokens.data()), static_cast<std::streamsize>(tokens.size() * sizeof(int32_t)));
  return tokens;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: float_forward MODEL TOKENS FIRST OUT [threads]\n");
    return 2;
  }
  try {
    const std::vector<int32_t> tokens = read_tokens(argv[2]);
    const int64_t first = std::atoll(argv[3]);
    if (first < 0 || first >= static_cast<int64_t>(tokens.size())) {
      throw std::runtime_error("FIRST is outside the " + std::to_string(tokens.size()) + " tokens");
    }
    const int default_threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    FloatForward forward(argv[1], argc > 5 ? std::max(1, std::atoi(argv[5])) : default_threads);
    const Floats logits = forward.run(tokens, first);
    std::ofstream out(argv[4], std::ios::binary);
    out.write(reinterpret_cast<const char*>(logits.data()),
              static_cast<std::streamsize>(logits.size() * sizeof(float)));
    if (!out.flush()) throw std::runtime_error(std::string("cannot write ") + argv[4]);
    printf("%zu tokens, vocabulary %lld\n", tokens.size(), static_cast<long long>(forward.vocab_size()));
  } catch (const std::exception& error) {
    fprintf(stderr, "float_forward: %s\n", error.what());
    return 1;
  }
  return 0;
}
