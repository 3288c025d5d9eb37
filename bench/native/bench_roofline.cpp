// The machine's limits, each kernel's share of them, and attention alone over long contexts: a line of JSON a result.
//   bench_roofline [what: all | limits | linear | attention | others | long] [retrieval] [estimation] [min clusters]
//                  [variance term] [segment tokens] [local window] [sink tokens] [iterations] [cluster tokens]
//                  [cluster cap]
#include <cstdlib>
#include <exception>

#include "long_context.h"
#include "roofline_attention.h"
#include "roofline_limits.h"
#include "roofline_linear.h"
#include "roofline_others.h"

using namespace wavekv_bench;

namespace {

constexpr int64_t kLongTokens = int64_t{1} << 20;

/// Without arguments: the engine's defaults (src/engine/options.ts), which bench/roofline.mjs hands over.
LongContextOptions options_of(int argc, char** argv) {
  const double defaults[] = {0.05, 0.23, 48, 0.5, 1024, 256, 4, 5, 16, 32};
  const auto number = [&](int i) { return argc > 2 + i ? std::atof(argv[2 + i]) : defaults[i]; };
  LongContextOptions options;
  options.retrieval_budget = number(0);
  options.wave.estimation_budget = number(1);
  options.wave.min_clusters = static_cast<int64_t>(number(2));
  options.wave.variance_term = number(3);
  options.index.segment_tokens = static_cast<int64_t>(number(4));
  options.index.local_window = static_cast<int64_t>(number(5));
  options.index.sink_tokens = static_cast<int64_t>(number(6));
  options.index.clustering = {true, static_cast<int32_t>(number(7)), static_cast<int32_t>(number(8)),
                              static_cast<int32_t>(number(9))};
  return options;
}

void run(const std::string& what, const LongContextOptions& options) {
  const wavekv::SimdLevel level = wavekv::detect_simd_level();
  const wavekv::Kernels& kernels = wavekv::kernels_for(level);
  wavekv::ThreadPool one(1), two(std::min(2, wavekv::usable_cpus()));
  wavekv::HugeBuffer memory(kMemoryBytes);
  memset(memory.data(), 1, static_cast<size_t>(kMemoryBytes));
  const auto wanted = [&](const char* name) { return what == "all" || what == name; };
  // The limits several times: other work on the machine comes and goes.
  if (wanted("limits")) measure_limits(level, memory, one, two);
  if (wanted("linear")) LinearBench{kernels, one, two}.run();
  if (wanted("limits")) measure_limits(level, memory, one, two);
  if (wanted("attention")) AttentionBench{kernels}.run();
  if (wanted("others")) {
    time_clustering(kernels);
    time_sampling();
  }
  if (wanted("limits")) measure_limits(level, memory, one, two);
  if (wanted("long")) long_context(options, kLongTokens, memory, kernels, two);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc > 1 ? argv[1] : "all", options_of(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
