#include "index_build.h"

#include <cstring>
#include <vector>

namespace wavekv {
namespace {

constexpr int64_t kAlignFloats = 16;

int64_t aligned(int64_t floats) { return (floats + kAlignFloats - 1) / kAlignFloats * kAlignFloats; }

/// One row under construction.
struct RowBuild {
  const KvGeometry& geometry;
  const Kernels& kernels;
  const IndexSource& source;
  int64_t row;
  Segment& segment;
  uint16_t* centroids;   // f16 [maxClusters, headDim], plain means
  uint16_t* value_sums;  // f16 [maxClusters, headDim]
  std::vector<float> centre, vector;  // [headDim]

  int64_t dim() const { return geometry.head_dim; }
  void write_centre();
  void index_sink();
  float write_vector(const uint16_t* x, bool centred, int8_t* out);
  void write_meta_index();
  void write_records();
};

void RowBuild::write_centre() {
  centre.assign(static_cast<size_t>(dim()), 0.0f);
  vector.resize(static_cast<size_t>(dim()));
  const int64_t first = source.sink_tokens, last = geometry.index.segment_tokens;
  for (int64_t t = first; t < last; ++t) {
    kernels.from_f16(source.keys + t * dim(), vector.data(), dim());
    for (size_t d = 0; d < centre.size(); ++d) centre[d] += vector[d];
  }
  for (float& x : centre) x /= static_cast<float>(last - first);
  kernels.to_f16(centre.data(), segment.centre(row), dim());
  kernels.from_f16(segment.centre(row), centre.data(), dim());  // as readers see it
}

/// The first tokens as cluster 0.
void RowBuild::index_sink() {
  const int64_t count = source.sink_tokens;
  std::vector<float> mean(centre.size()), sum(centre.size());
  for (int64_t t = 0; t < count; ++t) {
    segment.order(row)[t] = static_cast<uint16_t>(t);
    kernels.from_f16(source.keys + t * dim(), vector.data(), dim());
    for (size_t d = 0; d < mean.size(); ++d) mean[d] += vector[d] / static_cast<float>(count);
    kernels.from_f16(source.values + t * dim(), vector.data(), dim());
    for (size_t d = 0; d < sum.size(); ++d) sum[d] += vector[d];
  }
  kernels.to_f16(mean.data(), centroids, dim());
  kernels.to_f16(sum.data(), value_sums, dim());
  segment.sizes(row)[0] = static_cast<uint16_t>(count);
  segment.variances(row)[0] = 0;
}

/// Returns the vector's scale.
float RowBuild::write_vector(const uint16_t* x, bool centred, int8_t* out) {
  kernels.from_f16(x, vector.data(), dim());
  for (size_t d = 0; centred && d < vector.size(); ++d) vector[d] -= centre[d];
  return kernels.to_i8(vector.data(), out, dim());
}

void RowBuild::write_meta_index() {
  for (int64_t c = 0; c < segment.count(row); ++c) {
    segment.centroid_scales(row)[c] = write_vector(centroids + c * dim(), true, segment.centroids(row) + c * dim());
    segment.value_scales(row)[c] = write_vector(value_sums + c * dim(), false, segment.value_sums(row) + c * dim());
  }
}

void RowBuild::write_records() {
  const size_t vector_bytes = static_cast<size_t>(dim()) * 2;
  for (int64_t i = 0; i < geometry.index.segment_tokens; ++i) {
    const int64_t token = segment.order(row)[i];
    uint8_t* record = segment.records(row) + i * geometry.record_bytes();
    const uint16_t* key = source.keys + token * dim();
    const uint16_t* value = source.values + token * dim();
    if (geometry.kv_type == KvType::kF16) {
      memcpy(record, key, vector_bytes);
      memcpy(record + vector_bytes, value, vector_bytes);
      continue;
    }
    int8_t* bytes = reinterpret_cast<int8_t*>(record);
    const float scales[2] = {write_vector(key, true, bytes), write_vector(value, false, bytes + dim())};
    memcpy(record + 2 * dim(), scales, sizeof scales);
  }
}

}  // namespace

int64_t index_scratch_floats(const KvGeometry& g, const Kernels& kernels) {
  return aligned(kernels.cluster_scratch_floats(g.index.segment_tokens, g.head_dim, g.max_clusters)) +
         aligned(g.max_clusters * g.head_dim);
}

bool build_index(const KvGeometry& geometry, const Kernels& kernels, const IndexSource& source, int64_t row,
                 Segment& segment, float* scratch) {
  const IndexOptions& options = geometry.index;
  const int64_t dim = geometry.head_dim, sink = source.sink_tokens, first_cluster = sink > 0 ? 1 : 0;
  uint16_t* centroids = reinterpret_cast<uint16_t*>(
      scratch + aligned(kernels.cluster_scratch_floats(options.segment_tokens, dim, geometry.max_clusters)));
  uint16_t* value_sums = centroids + geometry.max_clusters * dim;
  uint16_t* order = segment.order(row);
  RowClusters clusters{0,
                       segment.sizes(row) + first_cluster,
                       order + sink,
                       centroids + first_cluster * dim,
                       value_sums + first_cluster * dim,
                       segment.variances(row) + first_cluster,
                       segment.squares(row)};
  const int64_t n = options.segment_tokens - sink;
  segment.count(row) = 0;
  if (kernels.cluster_row(source.keys + sink * dim, source.values + sink * dim, n, dim, source.query_scale,
                          options.clustering, static_cast<int32_t>(geometry.max_clusters - first_cluster), scratch,
                          clusters) != 0) {
    return false;
  }
  segment.count(row) = static_cast<uint16_t>(clusters.num_clusters + first_cluster);
  for (int64_t i = 0; i < n; ++i) order[sink + i] = static_cast<uint16_t>(order[sink + i] + sink);
  RowBuild build{geometry, kernels, source, row, segment, centroids, value_sums, {}, {}};
  build.write_centre();
  if (sink > 0) build.index_sink();
  build.write_meta_index();
  build.write_records();
  return true;
}

}  // namespace wavekv
