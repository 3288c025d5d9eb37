#pragma once
#include <cmath>

#include "roofline_result.h"

// Attention of decode and prefill, at head dim 64. Operations of int8 records and of the meta index count twice: queries
// and weights have 16 bits there, two products of bytes each.
namespace wavekv_bench {

constexpr int64_t kHeadDim = 64;
constexpr int64_t kRangeTokens = 1024;     // a segment's
constexpr int64_t kRowClusters = 2048;     // a row's at 32K tokens
constexpr int64_t kSegmentClusters = 64;
constexpr double kIntegerProducts = 2;

struct AttentionBench {
  const wavekv::Kernels& kernels;

  void time_ranges(const char* kernel, const std::vector<wavekv::KvRange>& ranges, int64_t group) const {
    double tokens = 0;
    for (const wavekv::KvRange& range : ranges) tokens += static_cast<double>(range.num_tokens);
    const bool f16 = ranges[0].type == wavekv::KvType::kF16;
    const std::vector<float> q = random_floats(group * kHeadDim, 0.3f);
    State state(group, kHeadDim);
    const Timing timing = median_timing(7, [&] {
      kernels.attend_ranges(q.data(), group, kHeadDim, ranges.data(), static_cast<int64_t>(ranges.size()), state.view());
    });
    const double products = tokens * static_cast<double>(group * kHeadDim) * 4;
    const double record = static_cast<double>(wavekv::kv_record_bytes(ranges[0].type, kHeadDim));
    print_kernel({"decode", kernel, text(group) + " heads, ranges of " + text(ranges[0].num_tokens), 1, tokens * record,
                  f16 ? products : kIntegerProducts * products, f16 ? "f32" : "int8"},
                 timing);
  }

  void exact_and_gather(const uint8_t* memory, int64_t memory_bytes) const {
    const std::vector<uint16_t> centre(static_cast<size_t>(kHeadDim));
    const int64_t half_tokens = memory_bytes / (4 * kHeadDim);
    std::vector<wavekv::KvRange> tail;
    for (int64_t t = 0; t + kRangeTokens <= half_tokens; t += kRangeTokens) {
      const uint8_t* keys = memory + t * 2 * kHeadDim;
      tail.push_back({wavekv::KvType::kF16, keys, keys + memory_bytes / 2, 2 * kHeadDim, kRangeTokens, nullptr});
    }
    for (const int64_t group : {3, 7}) time_ranges("exact attention, f16 tail", tail, group);
    for (const wavekv::KvType type : {wavekv::KvType::kF16, wavekv::KvType::kQ8}) {
      const bool f16 = type == wavekv::KvType::kF16;
      const int64_t tokens = memory_bytes / wavekv::kv_record_bytes(type, kHeadDim);
      if (!f16) set_scales(const_cast<uint8_t*>(memory), tokens);
      for (const int64_t length : {kRangeTokens, int64_t{8}, int64_t{16}}) {
        std::vector<wavekv::KvRange> ranges;
        for (int64_t t = 0; t + length <= tokens; t += length) {
          ranges.push_back(wavekv::kv_records(type, memory, kHeadDim, t, length, centre.data()));
        }
        if (length < kRangeTokens) {
          shuffle(ranges);
          ranges.resize(ranges.size() / 4);
        }
        const std::string name = std::string(length == kRangeTokens ? "exact attention, " : "gather-attend, ") +
                                 (f16 ? "f16" : "q8") + " segments";
        for (const int64_t group : {3, 7}) time_ranges(name.c_str(), ranges, group);
      }
    }
  }

  static void set_scales(uint8_t* records, int64_t num_tokens) {
    const int64_t stride = wavekv::kv_record_bytes(wavekv::KvType::kQ8, kHeadDim);
    const float scales[2] = {1.0f / 64, 1.0f / 64};
    for (int64_t t = 0; t < num_tokens; ++t) memcpy(records + t * stride + 2 * kHeadDim, scales, sizeof scales);
  }

  /// A row's index of each segment lies elsewhere, as in a sequence: [segment, row]. Small arrays follow its vectors.
  struct MetaMemory {
    uint8_t* data;
    int64_t num_rows;

    static constexpr int64_t kVectors = kSegmentClusters * kHeadDim;
    static constexpr int64_t kIndexBytes = 2 * kVectors + kSegmentClusters * (3 * 4 + 2) + 2 * kHeadDim;

    uint8_t* at(int64_t segment, int64_t row) const { return data + (segment * num_rows + row) * kIndexBytes; }
    wavekv::MetaIndex index(int64_t segment, int64_t row) const {
      const int8_t* centroids = reinterpret_cast<const int8_t*>(at(segment, row));
      const float* scales = reinterpret_cast<const float*>(centroids + 2 * kVectors);
      const uint16_t* sizes = reinterpret_cast<const uint16_t*>(scales + 3 * kSegmentClusters);
      return {centroids, centroids + kVectors, scales, scales + kSegmentClusters, sizes + kSegmentClusters,
              sizes,     scales + 2 * kSegmentClusters, kSegmentClusters};
    }
    void fill() const {
      for (int64_t i = 0; i < num_rows * kRowClusters / kSegmentClusters; ++i) {
        float* scales = reinterpret_cast<float*>(at(0, i) + 2 * kVectors);
        uint16_t* sizes = reinterpret_cast<uint16_t*>(scales + 3 * kSegmentClusters);
        for (int64_t c = 0; c < kSegmentClusters; ++c) {
          scales[c] = scales[kSegmentClusters + c] = 1.0f / 64;
          scales[2 * kSegmentClusters + c] = 1.0f + static_cast<float>(c) / 32;
          sizes[c] = 16;
        }
        memset(sizes + kSegmentClusters, 0, 2 * kHeadDim);  // the centre
      }
    }
  };

  /// All rows one after another, so that each index comes from memory.
  void meta_index(uint8_t* data, int64_t memory_bytes) const {
    const int64_t n = kRowClusters, segments = n / kSegmentClusters;
    const MetaMemory memory{data, memory_bytes / (segments * MetaMemory::kIndexBytes)};
    memory.fill();
    for (const int64_t group : {3, 7}) score_and_choose(memory, group);
  }

  void score_and_choose(const MetaMemory& memory, int64_t group) const {
    const int64_t n = kRowClusters, segments = n / kSegmentClusters;
    const std::vector<float> q = random_floats(group * kHeadDim, 0.3f);
    const std::vector<float> query_variance(static_cast<size_t>(group), 0.2f);
    std::vector<float> log_mass(static_cast<size_t>(group * n)), mass(log_mass), share(static_cast<size_t>(n + 16));
    std::vector<float> priority(share);
    std::vector<uint32_t> chosen(static_cast<size_t>(n + 16));
    std::vector<wavekv::MetaIndex> indexes(static_cast<size_t>(segments));
    const auto score_row = [&](int64_t row) {
      for (int64_t s = 0; s < segments; ++s) indexes[static_cast<size_t>(s)] = memory.index(s, row);
      kernels.score_clusters(q.data(), group, kHeadDim, indexes.data(), segments, query_variance.data(),
                             log_mass.data(), n);
    };
    const auto choose = [&] {
      std::fill(share.begin(), share.end(), 0.0f);
      for (int64_t g = 0; g < group; ++g) {
        float top = 0, sum = 0;
        kernels.softmax_terms(log_mass.data() + g * n, n, mass.data() + g * n, &top, &sum);
        kernels.add_scaled(mass.data() + g * n, n, 1.0f / sum, share.data());
      }
      for (int64_t s = 0; s < segments; ++s) {
        const wavekv::MetaIndex& index = indexes[static_cast<size_t>(s)];
        kernels.expected_error(share.data() + s * kSegmentClusters, index.variances, index.sizes, kSegmentClusters,
                               priority.data() + s * kSegmentClusters);
      }
      kernels.select_largest(priority.data(), n, n / 20, chosen.data());
    };
    const std::string shape = text(group) + " heads, " + text(n) + " clusters";
    const double bytes = static_cast<double>(n * (kHeadDim + 4 + 2 + 4) + segments * 2 * kHeadDim);
    const double operations = kIntegerProducts * 2 * static_cast<double>(n * group * kHeadDim);
    const double rows = static_cast<double>(memory.num_rows);
    print_kernel({"decode", "centroid scoring", shape, 1, bytes, operations, "int8"}, median_timing(5, [&] {
                   for (int64_t row = 0; row < memory.num_rows; ++row) score_row(row);
                 }), rows);
    print_kernel({"decode", "centroid scoring and choice", shape, 1, bytes, operations, "int8"}, median_timing(5, [&] {
                   for (int64_t row = 0; row < memory.num_rows; ++row) {
                     score_row(row);
                     choose();
                   }
                 }), rows);
    estimate(memory, group, log_mass);
  }

  /// 23 % of a row's clusters, in ascending order as the choice gives them.
  void estimate(const MetaMemory& memory, int64_t group, const std::vector<float>& log_mass) const {
    const int64_t n = kRowClusters, num_rows = memory.num_rows;
    std::vector<uint32_t> all;
    for (int64_t c = 0; c < n; ++c) all.push_back(static_cast<uint32_t>(c));
    shuffle(all);
    all.resize(static_cast<size_t>(n * 23 / 100));
    std::sort(all.begin(), all.end());
    std::vector<wavekv::EstimatedCluster> taken;  // of every row, so that listing them is not timed
    for (int64_t row = 0; row < num_rows; ++row) {
      for (const uint32_t c : all) {
        const int8_t* sums = memory.index(c / kSegmentClusters, row).value_sums;
        taken.push_back({sums + c % kSegmentClusters * kHeadDim, 1.0f / 1024, c});
      }
    }
    State state(group, kHeadDim);
    const int64_t count = static_cast<int64_t>(all.size());
    const Timing timing = median_timing(5, [&] {
      for (int64_t row = 0; row < num_rows; ++row) {
        kernels.estimate_clusters(group, kHeadDim, taken.data() + row * count, count, log_mass.data(), n, state.view());
      }
    });
    print_kernel({"decode", "estimation", text(group) + " heads, " + text(count) + " of " + text(n) + " clusters", 1,
                  static_cast<double>(count) * (kHeadDim + static_cast<double>(sizeof(wavekv::EstimatedCluster))),
                  kIntegerProducts * 2 * static_cast<double>(count * group * kHeadDim), "int8"},
                 timing, static_cast<double>(num_rows));
  }

  void prefill_tiles(const uint8_t* memory) const {
    const std::vector<uint16_t> centre(static_cast<size_t>(kHeadDim));
    std::vector<float> scratch(static_cast<size_t>(kernels.tile_scratch_floats(kHeadDim, 64 * 7)));
    for (const wavekv::KvType type : {wavekv::KvType::kF16, wavekv::KvType::kQ8}) {
      if (type == wavekv::KvType::kQ8) set_scales(const_cast<uint8_t*>(memory), kRangeTokens);
      const wavekv::KvRange range = wavekv::kv_records(type, memory, kHeadDim, 0, kRangeTokens, centre.data());
      for (const int64_t group : {3, 7}) {
        const int64_t queries = 64 * group;
        const std::vector<float> q = random_floats(queries * kHeadDim, 0.3f);
        State state(queries, kHeadDim);
        const Timing timing = median_timing(15, [&] {
          kernels.attend_tile(q.data(), queries, kHeadDim, range, nullptr, scratch.data(), state.view());
        });
        print_kernel({"prefill", std::string("attention tile, ") + (type == wavekv::KvType::kF16 ? "f16" : "q8"),
                      text(queries) + " queries x " + text(kRangeTokens) + " keys", 1, 0,
                      (type == wavekv::KvType::kF16 ? 4.0 : kIntegerProducts * 4.0) *
                          static_cast<double>(queries * kRangeTokens * kHeadDim),
                      type == wavekv::KvType::kF16 ? "f32" : "int8"},
                     timing);
      }
    }
  }

  void run() const {
    const int64_t memory_bytes = int64_t{384} << 20;
    uint8_t* memory = reinterpret_cast<uint8_t*>(random_halves(memory_bytes / 2));
    prefill_tiles(memory);
    meta_index(memory, memory_bytes);
    std::free(memory);
    memory = reinterpret_cast<uint8_t*>(random_halves(memory_bytes / 2));
    exact_and_gather(memory, memory_bytes);
    std::free(memory);
  }
};

}  // namespace wavekv_bench
