#pragma once
#include <cstdint>

#include "kernels.h"
#include "kv_geometry.h"
#include "segment.h"

namespace wavekv {

/// The tokens of a segment's row before clustering.
struct IndexSource {
  const uint16_t* keys;      // f16 [segmentTokens, headDim]
  const uint16_t* values;    // f16 [segmentTokens, headDim]
  const float* query_scale;  // f32 [headDim] of the query metric, or null
  int64_t sink_tokens;       // first tokens that are cluster 0 by themselves: 0 but in a sequence's first segment
};

/// Floats of scratch that build_index() needs.
int64_t index_scratch_floats(const KvGeometry& geometry, const Kernels& kernels);
/// Clusters one row and writes its records and meta index into the segment. Returns false, with the row's count 0, where
/// the clusters do not fit; nothing is thrown, for it runs on pool threads.
bool build_index(const KvGeometry& geometry, const Kernels& kernels, const IndexSource& source, int64_t row,
                 Segment& segment, float* scratch);

}  // namespace wavekv
