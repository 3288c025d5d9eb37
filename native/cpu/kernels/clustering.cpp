// K-means of one row of a segment: centred keys, uniformly spaced start, size cap, deterministic.
//
//   scratch, f32 and int32, each part aligned to 64 bytes; k = capacity, p = k rounded up to whole panels of 64
//   | points [n, headDim] | panels [p / 64, headDim, 64] | centroids [k, headDim] | bias [p] | half_norms [n] |
//   | score [n] | label [n] | members [n] | counts [k + 1] | sort keys, u64 [n] |
#include "clustering_kernels.h"

#include "clustering_assign.h"
#include "clustering_output.h"
#include "clustering_split.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

struct Workspace {
  float* points;      // [n, headDim]: keys centred, scaled, of unit length where spherical; later deviations
  float* panels;      // [numPanels, headDim, kPanelWidth]: centroids transposed
  float* centroids;   // [k, headDim]
  float* bias;        // [numPanels * kPanelWidth], see clustering_assign.h
  float* half_norms;  // [n]: |point|^2 / 2
  float* score;       // [n]: of the point's centroid
  int32_t* label;     // [n]
  int32_t* members;   // [n]: tokens by cluster
  int32_t* counts;    // [k + 1]
  uint64_t* sort_keys;  // [n]
};

/// Hands out consecutive parts of the scratch; with a null base it only counts.
struct Carver {
  float* base;
  int64_t used;
  float* take(int64_t num_floats) {
    float* part = base == nullptr ? nullptr : base + used;
    used += (num_floats + 15) / 16 * 16;
    return part;
  }
};

int64_t carve(float* scratch, int64_t n, int64_t head_dim, int64_t capacity, Workspace& work) {
  const int64_t padded = (capacity + kPanelWidth - 1) / kPanelWidth * kPanelWidth;
  float* aligned = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(scratch) + 63) & ~uintptr_t{63});
  Carver carver = {scratch == nullptr ? nullptr : aligned, 0};
  work.points = carver.take(n * head_dim);
  work.panels = carver.take(padded * head_dim);
  work.centroids = carver.take(capacity * head_dim);
  work.bias = carver.take(padded);
  work.half_norms = carver.take(n);
  work.score = carver.take(n);
  work.label = reinterpret_cast<int32_t*>(carver.take(n));
  work.members = reinterpret_cast<int32_t*>(carver.take(n));
  work.counts = reinterpret_cast<int32_t*>(carver.take(capacity + 1));
  work.sort_keys = reinterpret_cast<uint64_t*>(carver.take(2 * n));
  return carver.used + 16;
}

/// points = (keys - mean) * scale. The mean is summed in chunks: 65535 additions in a row would lose digits.
void centre_keys(const uint16_t* keys, int64_t n, int64_t head_dim, const float* scale, float* points) {
  for (int64_t i = 0; i < head_dim; i += kLanes) {
    Vec total = broadcast(0.0f);
    for (int64_t begin = 0; begin < n; begin += 256) {
      const int64_t end = begin + 256 < n ? begin + 256 : n;
      Vec part = broadcast(0.0f);
      for (int64_t t = begin; t < end; ++t) part = part + load_f16(keys + t * head_dim + i);
      total = total + part;
    }
    const Vec mean = total * broadcast(1.0f / static_cast<float>(n));
    const Vec factor = scale == nullptr ? broadcast(1.0f) : load(scale + i);
    for (int64_t t = 0; t < n; ++t) {
      store(points + t * head_dim + i, (load_f16(keys + t * head_dim + i) - mean) * factor);
    }
  }
}

/// Makes a vector unit length (0 stays 0) and returns whether it was not 0.
bool normalise(float* x, int64_t head_dim) {
  const float square = dot(x, x, head_dim);
  if (!(square > 1e-30f)) return false;
  const Vec inverse = broadcast(1.0f / sqrt_one(square));
  for (int64_t i = 0; i < head_dim; i += kLanes) store(x + i, load(x + i) * inverse);
  return true;
}

/// Centroids [k, headDim] into panels and biases; columns beyond k never win.
void load_panels(const Workspace& work, int64_t k, int64_t head_dim, bool spherical) {
  const int64_t padded = (k + kPanelWidth - 1) / kPanelWidth * kPanelWidth;
  for (int64_t c = 0; c < padded; ++c) {
    const float* centroid = work.centroids + c * head_dim;
    float* column = work.panels + c / kPanelWidth * kPanelWidth * head_dim + c % kPanelWidth;
    for (int64_t i = 0; i < head_dim; ++i) column[i * kPanelWidth] = c < k ? centroid[i] : 0.0f;
    work.bias[c] = c >= k ? kNeverBest : spherical ? 0.5f : 0.5f * dot(centroid, centroid, head_dim);
  }
}

void count_labels(const Workspace& work, int64_t n, int64_t k) {
  for (int64_t c = 0; c <= k; ++c) work.counts[c] = 0;
  for (int64_t t = 0; t < n; ++t) ++work.counts[work.label[t]];
}

/// Gives each empty cluster the token that fits its own cluster worst. Stops where every token fits perfectly
/// (fewer distinct keys than clusters): those clusters stay empty and are dropped at the end.
void refill_empty(const Workspace& work, int64_t n, int64_t k) {
  for (int64_t c = 0; c < k; ++c) {
    if (work.counts[c] != 0) continue;
    int64_t worst = -1;
    float worst_distance = 0.0f;
    for (int64_t t = 0; t < n; ++t) {
      const float half_norm = work.half_norms[t], distance = half_norm - work.score[t];
      const bool misfit = half_norm > 0.0f && distance > 1e-5f * half_norm;  // beyond what rounding makes
      if (misfit && distance > worst_distance && work.counts[work.label[t]] > 1) {
        worst = t;
        worst_distance = distance;
      }
    }
    if (worst < 0) return;
    --work.counts[work.label[worst]];
    work.label[worst] = static_cast<int32_t>(c);
    work.counts[c] = 1;
    work.score[worst] = work.half_norms[worst];
  }
}

/// New centroids from the labels; an empty cluster keeps its old one.
void update_centroids(const Workspace& work, int64_t n, int64_t k, int64_t head_dim, bool spherical) {
  for (int64_t c = 0; c < k; ++c) {
    if (work.counts[c] == 0) continue;
    for (int64_t i = 0; i < head_dim; ++i) work.centroids[c * head_dim + i] = 0.0f;
  }
  for (int64_t t = 0; t < n; ++t) {
    const float* point = work.points + t * head_dim;
    float* total = work.centroids + work.label[t] * head_dim;
    for (int64_t i = 0; i < head_dim; i += kLanes) store(total + i, load(total + i) + load(point + i));
  }
  for (int64_t c = 0; c < k; ++c) {
    if (work.counts[c] == 0) continue;
    float* centroid = work.centroids + c * head_dim;
    if (spherical) {
      normalise(centroid, head_dim);
    } else {
      const Vec inverse = broadcast(1.0f / static_cast<float>(work.counts[c]));
      for (int64_t i = 0; i < head_dim; i += kLanes) store(centroid + i, load(centroid + i) * inverse);
    }
  }
}

/// Lloyd's iterations; ends with labels and counts of the last assignment.
void run_k_means(const Workspace& work, int64_t n, int64_t k, int64_t head_dim, const ClusteringOptions& options) {
  for (int64_t t = 0; t < n; ++t) {
    float* point = work.points + t * head_dim;
    if (options.spherical) normalise(point, head_dim);
    work.half_norms[t] = 0.5f * dot(point, point, head_dim);
  }
  for (int64_t c = 0; c < k; ++c) {  // uniformly spaced start: the middle token of k equal runs
    memcpy(work.centroids + c * head_dim, work.points + (2 * c + 1) * n / (2 * k) * head_dim,
           static_cast<size_t>(head_dim) * sizeof(float));
  }
  const int64_t num_panels = (k + kPanelWidth - 1) / kPanelWidth;
  for (int32_t iteration = 0; iteration < options.iterations || iteration == 0; ++iteration) {
    if (iteration > 0) update_centroids(work, n, k, head_dim, options.spherical);
    load_panels(work, k, head_dim, options.spherical);
    assign_points(work.points, n, head_dim, work.panels, num_panels, work.bias, work.label, work.score);
    count_labels(work, n, k);
    refill_empty(work, n, k);
  }
}

/// Splits what is above the cap and numbers the clusters without gaps; returns their number, or -1 above capacity.
int32_t number_clusters(const Workspace& work, int64_t n, int64_t k, int64_t head_dim, int64_t cap, int32_t capacity) {
  int64_t num_parts = 0;
  for (int64_t c = 0; c < k; ++c) num_parts += (work.counts[c] + cap - 1) / cap;
  if (num_parts > capacity) return -1;
  int64_t begin = 0;
  for (int64_t c = 0; c < k; ++c) {  // counts becomes where each cluster's members begin
    const int64_t size = work.counts[c];
    work.counts[c] = static_cast<int32_t>(begin);
    begin += size;
  }
  for (int64_t t = 0; t < n; ++t) work.members[work.counts[work.label[t]]++] = static_cast<int32_t>(t);
  int32_t next_id = 0;
  begin = 0;
  for (int64_t c = 0; c < k; ++c) {  // and now where they end
    const int64_t size = work.counts[c] - begin;
    int32_t* members = work.members + begin;
    next_id = split_members(work.points, head_dim, members, size, cap, work.sort_keys, work.label, next_id);
    begin += size;
  }
  return next_id;
}

}  // namespace

int64_t cluster_scratch_floats(int64_t n, int64_t head_dim, int64_t capacity) {
  Workspace unused;
  return carve(nullptr, n, head_dim, capacity, unused);
}

int32_t cluster_row(const uint16_t* keys, const uint16_t* values, int64_t n, int64_t head_dim,
                    const float* query_scale, ClusteringOptions options, int32_t capacity, float* scratch,
                    RowClusters& out) {
  const int64_t per_cluster = options.tokens_per_cluster > 1 ? options.tokens_per_cluster : 1;
  const int64_t cap = options.max_cluster_size > 1 ? options.max_cluster_size : 1;
  out.num_clusters = 0;
  if (n < 0 || n > 65535 || head_dim % 16 != 0 || head_dim > kMaxHeadDim) return -1;
  const int64_t rounded = (2 * n + per_cluster) / (2 * per_cluster);
  const int64_t k = rounded > 1 ? rounded : 1;
  if (k > capacity) return -1;
  Workspace work;
  carve(scratch, n, head_dim, capacity, work);
  centre_keys(keys, n, head_dim, query_scale, work.points);
  run_k_means(work, n, k, head_dim, options);
  const int32_t num_clusters = number_clusters(work, n, k, head_dim, cap, capacity);
  if (num_clusters < 0) return -1;
  order_members(work.label, n, num_clusters, work.counts, out.sizes, out.order);
  for (int64_t d = 0; d < head_dim; ++d) out.squares[d] = 0.0f;
  for (int64_t c = 0; c < num_clusters; ++c) {
    const int64_t begin = work.counts[c];
    summarise_cluster(keys, values, head_dim, out.order + begin, out.sizes[c], out.centroids + c * head_dim,
                      out.value_sums + c * head_dim, out.variances + c, out.squares);
  }
  out.num_clusters = num_clusters;
  return 0;
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
