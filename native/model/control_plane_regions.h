#pragma once
#include <cstdint>

namespace wavekv {

/// Where the WASM control plane keeps what both sides touch. The memory never grows, so the pointers stay valid; the
/// layouts are drawn in assembly/layout.ts.
struct ControlPlaneRegions {
  uint16_t* ingest = nullptr;   // numClusters u16 [row], then sizes u16 [row, maxClusters]
  uint32_t* request = nullptr;  // [batch row, 1 + maxSelected]: numSelected, cluster handles
  int64_t request_stride = 0;   // u32 words a row
  int64_t max_selected = 0;
  const uint32_t* plan = nullptr;  // [batch row, 4 + 4 * maxRanges]: numRanges, numTokens, numHits, numMisses, ranges
  int64_t plan_stride = 0;         // u32 words a row
  int64_t max_rows = 0;            // batch rows: sequences x KV heads
  const uint32_t* admissions = nullptr;  // [entry, 9]: handle, slot, row, start, count, blocks[4]
};

constexpr uint32_t kRangeInPlace = 0, kRangeCacheHit = 1, kRangeMiss = 2;
constexpr int64_t kBlockTokens = 8;

}  // namespace wavekv
