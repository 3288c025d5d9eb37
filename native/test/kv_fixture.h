#pragma once
#include <cstring>
#include <memory>
#include <vector>

#include "block_cache.h"
#include "check.h"
#include "decode_attention.h"
#include "kernels.h"
#include "sequence.h"
#include "thread_pool.h"

// A small KV cache with clustered keys and a stand-in for the control plane's memory, for tests of what lies between the
// kernels and the model.
namespace wavekv_test {

inline wavekv::KvGeometry small_geometry(wavekv::KvType kv_type) {
  wavekv::KvGeometry g{};
  g.num_layers = 2;
  g.num_kv_heads = 2;
  g.group_size = 3;
  g.head_dim = 32;
  g.kv_type = kv_type;
  g.index.segment_tokens = 128;
  g.index.local_window = 40;
  g.index.clustering = {true, 4, 8, 32};
  g.max_clusters = wavekv::max_clusters_per_row(g.index);
  g.tail_capacity = 128 + 40 + 64;
  return g;
}

/// Regions in memory of its own. plan_in_place() does what the control plane does where everything lies in the fast tier.
class Regions {
 public:
  Regions(const wavekv::KvGeometry& g, int64_t max_rows, int64_t max_selected) : geometry_(g) {
    ingest_.resize(static_cast<size_t>(g.num_rows() * (1 + g.max_clusters)));
    request_.resize(static_cast<size_t>(max_rows * (1 + max_selected)));
    plan_.resize(static_cast<size_t>(max_rows * (4 + 16 * max_selected)));
    regions.ingest = ingest_.data();
    regions.request = request_.data();
    regions.request_stride = 1 + max_selected;
    regions.max_selected = max_selected;
    regions.plan = plan_.data();
    regions.plan_stride = 4 + 16 * max_selected;
    regions.max_rows = max_rows;
  }

  void plan_in_place(int64_t num_rows, const wavekv::DecodeAttention& attention) {
    for (int64_t r = 0; r < num_rows; ++r) {
      const uint32_t* request = request_.data() + r * regions.request_stride;
      uint32_t* plan = plan_.data() + r * regions.plan_stride;
      memset(plan, 0, 16);
      for (uint32_t i = 0; i < request[0]; ++i) {
        const int64_t cluster = request[1 + i] % geometry_.max_clusters;
        const int64_t row = request[1 + i] / geometry_.max_clusters % geometry_.num_rows();
        const uint32_t slot = static_cast<uint32_t>(request[1 + i] / geometry_.max_clusters / geometry_.num_rows());
        const wavekv::Segment* segment = attention.segment_in_slot(slot);
        uint32_t start = 0;
        for (int64_t c = 0; c < cluster; ++c) start += segment->sizes(row)[c];
        uint32_t* range = plan + 4 + 4 * plan[0]++;
        range[0] = wavekv::kRangeInPlace;
        range[1] = slot;
        range[2] = start;
        range[3] = segment->sizes(row)[cluster];
        plan[1] += range[3];
      }
    }
  }

  /// Copies the planned ranges into blocks 0, 1, ... of the cache and has the plan read them from there.
  void move_plan_to(wavekv::BlockCache& cache, int64_t num_rows, int64_t layer, const wavekv::DecodeAttention& attention) {
    int64_t block = 0;
    for (int64_t r = 0; r < num_rows; ++r) {
      uint32_t* plan = plan_.data() + r * regions.plan_stride;
      const std::vector<uint32_t> in_place(plan + 4, plan + 4 + 4 * plan[0]);
      const int64_t row = geometry_.row(layer, r % geometry_.num_kv_heads);
      plan[0] = 0;
      for (size_t i = 0; i < in_place.size(); i += 4) {
        for (uint32_t done = 0; done < in_place[i + 3]; done += wavekv::kBlockTokens) {
          const uint32_t left = in_place[i + 3] - done;
          const uint32_t count = left < wavekv::kBlockTokens ? left : wavekv::kBlockTokens;
          cache.fill(block, attention.segment_in_slot(in_place[i + 1])->range(row, in_place[i + 2] + done, count));
          uint32_t* range = plan + 4 + 4 * plan[0]++;
          range[0] = wavekv::kRangeCacheHit;
          range[1] = static_cast<uint32_t>(block++);
          range[2] = 0;
          range[3] = count;
        }
      }
    }
  }

  wavekv::ControlPlaneRegions regions;

 private:
  wavekv::KvGeometry geometry_;
  std::vector<uint16_t> ingest_;
  std::vector<uint32_t> request_, plan_;
};

/// Appends tokens whose keys gather round a few centres, as real keys do, and builds each segment that becomes ready.
inline void fill(wavekv::Sequence& sequence, int64_t num_tokens, uint64_t seed, Regions& regions,
                 const wavekv::Kernels& kernels, wavekv::ThreadPool& pool, int64_t& next_slot) {
  const wavekv::KvGeometry& g = sequence.geometry();
  Random random(seed);
  std::vector<float> centres(static_cast<size_t>(9 * g.head_dim)), key(static_cast<size_t>(g.head_dim)), value(key);
  for (float& x : centres) x = static_cast<float>(1.5 * random.normal());
  for (int64_t t = 0; t < num_tokens; ++t) {
    for (int64_t row = 0; row < g.num_rows(); ++row) {
      const int64_t centre = random.below(9);
      for (int64_t d = 0; d < g.head_dim; ++d) {
        key[static_cast<size_t>(d)] =
            centres[static_cast<size_t>(centre * g.head_dim + d)] + static_cast<float>(0.5 * random.normal());
        value[static_cast<size_t>(d)] = static_cast<float>(random.normal());
      }
      kernels.to_f16(key.data(), sequence.tail_keys(row) + sequence.tail_tokens() * g.head_dim, g.head_dim);
      kernels.to_f16(value.data(), sequence.tail_values(row) + sequence.tail_tokens() * g.head_dim, g.head_dim);
    }
    sequence.advance(1);
    while (sequence.segment_ready()) {
      sequence.attach(sequence.build_segment(next_slot++, regions.regions.ingest, kernels, pool));
    }
  }
}

}  // namespace wavekv_test
