#pragma once
#include <cstdint>

namespace wavekv {

enum class SimdLevel { kPortable, kAvx2, kAvx512 };

constexpr float kNoMass = -1e30f;  // the max of an attention state that has seen nothing

/// The state of softmax attention over the keys seen so far, for `num_queries` queries of one head dim:
/// out[q] = sum exp(s - max[q]) * v (not normalised), denominator[q] = sum exp(s - max[q]).
/// A fresh state has max = kNoMass, denominator = 0, out = 0. (Merge: FlashAttention's log-sum-exp rule.)
struct AttentionState {
  float* out;          // [numQueries, headDim]
  float* max;          // [numQueries]
  float* denominator;  // [numQueries]
};

/// How keys and values lie in memory.
enum class KvType {
  kF16,  // as they are
  kQ8,   // int8 with one scale a vector; keys less the centre of their segment's row
};

/// A run of tokens, `stride` bytes apart.
///   kF16   token t: key f16 [headDim] at keys + t * stride, value f16 [headDim] at values + t * stride
///   kQ8    token t at keys + t * stride: | key int8 [headDim] | value int8 [headDim] | key scale f32 | value scale f32 |,
///          key = centre + key scale * int8, value = value scale * int8
struct KvRange {
  KvType type;
  const uint8_t* keys;
  const uint8_t* values;   // kF16 only
  int64_t stride;
  int64_t num_tokens;
  const uint16_t* centre;  // kQ8 only: f16 [headDim]
};

/// Bytes of a token's record in a segment: kQ8 as in KvRange, kF16 | key | value |.
constexpr int64_t kv_record_bytes(KvType type, int64_t head_dim) {
  return type == KvType::kQ8 ? 2 * head_dim + 8 : 4 * head_dim;
}

/// Tokens `first` .. `first + count` of a run of records.
inline KvRange kv_records(KvType type, const uint8_t* records, int64_t head_dim, int64_t first, int64_t count,
                          const uint16_t* centre) {
  const int64_t stride = kv_record_bytes(type, head_dim);
  const uint8_t* keys = records + first * stride;
  return {type, keys, type == KvType::kF16 ? keys + 2 * head_dim : nullptr, stride, count, centre};
}

/// The meta index of one row of one segment, in place.
struct MetaIndex {
  const int8_t* centroids;       // [numClusters, headDim]: C = centre + centroid scale * int8, C the mean of the members' keys
  const int8_t* value_sums;      // [numClusters, headDim]: value sum = value scale * int8
  const float* centroid_scales;  // [numClusters]
  const float* value_scales;     // [numClusters]
  const uint16_t* centre;        // f16 [headDim]
  const uint16_t* sizes;         // [numClusters], 1..65535
  const float* variances;        // [numClusters]: trace of the cluster's key covariance (sum over dims of the variance)
  int64_t num_clusters;
};

/// One cluster of the estimation zone.
struct EstimatedCluster {
  const int8_t* value_sum;  // [headDim]
  float value_scale;        // of the mean value: scale of the sum / size
  uint32_t cluster;         // its column of log_mass
};

struct ClusteringOptions {
  bool spherical;            // true: k-means on unit vectors (cosine); false: Euclidean
  int32_t iterations;        // Lloyd iterations, 1..50
  int32_t tokens_per_cluster;  // numClusters before splits = max(1, round(n / tokens_per_cluster))
  int32_t max_cluster_size;  // larger clusters are split
};

/// Result of clustering one row of a segment; the caller owns every array.
struct RowClusters {
  int32_t num_clusters;   // out; at most the capacity given
  uint16_t* sizes;        // [capacity]
  uint16_t* order;        // [numTokens]: cluster order -> token index before clustering
  uint16_t* centroids;    // f16 [capacity, headDim]
  uint16_t* value_sums;   // f16 [capacity, headDim]
  float* variances;       // [capacity]
  float* squares;         // [headDim]: sum over members and clusters of (k_d - C_d)^2
};

/// The CPU kernels of one SIMD level. They know no threads and no allocation: pointers, sizes, scratch.
/// Every headDim is a multiple of 16, at most 256.
struct Kernels {
  SimdLevel level;
  const char* name;

  // --- elementwise.cpp
  /// y[i] = x[i] / sqrt(mean(x^2) + eps) * weight[i]; y may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t dim, float* y);
  /// Rotates heads [numHeads, headDim] in place; angles: [ropeDim / 2] pairs (cos, sin), scaled already.
  /// neox: pairs (i, i + ropeDim / 2); otherwise pairs (2i, 2i + 1).
  void (*rope)(float* heads, int64_t num_heads, int64_t head_dim, const float* cos_sin, int64_t rope_dim, bool neox);
  /// gate[i] = silu(gate[i]) * up[i]
  void (*swiglu)(float* gate, const float* up, int64_t n);
  void (*to_f16)(const float* x, uint16_t* y, int64_t n);
  void (*from_f16)(const uint16_t* x, float* y, int64_t n);
  /// x[i] is about y[i] * (the result), to half a step of max|x| / 127; 0 for a vector of zeros.
  float (*to_i8)(const float* x, int8_t* y, int64_t n);

  // --- attention.cpp
  /// Exact attention of `num_queries` queries over all tokens of the ranges, which are of one type, added to `state`.
  /// q: f32 [numQueries, headDim], already divided by sqrt(headDim). num_queries 1..32 is the decode case and must be
  /// quick: each key is read from memory once for all queries.
  void (*attend_ranges)(const float* q, int64_t num_queries, int64_t head_dim, const KvRange* ranges,
                        int64_t num_ranges, AttentionState state);
  /// Prefill tile: many queries (1..1024) over one run of keys, added to `state`. visible: [numQueries], how many of
  /// the run's first tokens each query sees (0..num_tokens), or null where all see all.
  /// kF16 is computed in f32. Of kQ8 queries are rounded to 16 bits and weights to 15: an output is within 1e-3 of its size,
  /// and state.max is a reference between 17 below and 12 above the largest score. What a query gets does not depend on tokens
  /// that it does not see, nor on the other queries.
  /// scratch: f32 [tile_scratch_floats(headDim, numQueries)], owned by the calling thread.
  void (*attend_tile)(const float* q, int64_t num_queries, int64_t head_dim, KvRange range, const int64_t* visible,
                      float* scratch, AttentionState state);
  int64_t (*tile_scratch_floats)(int64_t head_dim, int64_t num_queries);
  /// log_mass[q, c] = q.C_c + min(0.5 * variances[c] * query_variance[q], 0.75 * ln(size_c), 3) + ln(size_c): the log of the
  /// estimated mass of each cluster, c counted on over the indexes. q is divided by sqrt(headDim) already; it is rounded to
  /// 16 bits. query_variance: [numQueries], q^T P q with P of trace 1, or null for no variance term. log_mass rows are
  /// `stride` floats apart.
  void (*score_clusters)(const float* q, int64_t num_queries, int64_t head_dim, const MetaIndex* indexes,
                         int64_t num_indexes, const float* query_variance, float* log_mass, int64_t stride);
  /// Estimation zone: adds mass exp(log_mass[q, cluster]) with the mean value of each cluster to `state`.
  void (*estimate_clusters)(int64_t num_queries, int64_t head_dim, const EstimatedCluster* clusters,
                            int64_t num_clusters, const float* log_mass, int64_t stride, AttentionState state);
  /// Merges `from` into `into`.
  void (*merge_states)(int64_t num_queries, int64_t head_dim, AttentionState from, AttentionState into);
  /// out[q, d] = state.out / state.denominator; 0 where nothing was attended.
  void (*finish_state)(int64_t num_queries, int64_t head_dim, AttentionState state, float* out);
  /// out[i] = exp(x[i] - max) with the max over x[0..n), and their sum; n = 0, or nothing above kNoMass, gives (kNoMass, 0)
  /// and zeros.
  void (*softmax_terms)(const float* x, int64_t n, float* out, float* max, float* sum);
  /// y[i] += scale * x[i]
  void (*add_scaled)(const float* x, int64_t n, float scale, float* y);

  // --- selection.cpp
  /// priority[c] = share[c] * sqrt(variances[c]) / sizes[c]: to first order what estimating the cluster gets wrong, per token
  /// that retrieving it reads.
  void (*expected_error)(const float* share, const float* variances, const uint16_t* sizes, int64_t n, float* priority);
  /// Indices of the k largest of x[0..n) in ascending order, ties to the lowest index; negative x are never chosen. Returns
  /// how many that is: k, or the number of x >= 0 where that is less. x must be readable up to a multiple of 16 elements.
  int64_t (*select_largest)(const float* x, int64_t n, int64_t k, uint32_t* out);

  // --- clustering.cpp
  /// Clusters n tokens of one row (keys, values f16 [n, headDim], n <= 65535) into clusters of at most
  /// max_cluster_size members. Keys are centred on their mean, then each dimension is scaled by query_scale
  /// [headDim] (null: no scaling) for the assignment only; centroids are plain means of the keys. Deterministic:
  /// uniformly spaced start, ties to the lowest index, an empty cluster is refilled with the worst-fitting token.
  /// scratch: f32 [cluster_scratch_floats(n, headDim, capacity)]. Returns 0, or -1 where capacity does not suffice.
  int32_t (*cluster_row)(const uint16_t* keys, const uint16_t* values, int64_t n, int64_t head_dim,
                         const float* query_scale, ClusteringOptions options, int32_t capacity, float* scratch,
                         RowClusters& out);
  int64_t (*cluster_scratch_floats)(int64_t n, int64_t head_dim, int64_t capacity);

  // --- linear.cpp (see linear.h for the formats)
  struct LinearKernels const* linear;
};

/// The highest level that this CPU runs (AVX-512 means F, BW, DQ, VL and VNNI; AVX2 means AVX2, FMA and F16C).
SimdLevel detect_simd_level();
/// Kernels of a level; a level above the CPU's is refused with std::runtime_error.
const Kernels& kernels_for(SimdLevel level);

namespace portable { extern const Kernels kKernels; }
namespace avx2 { extern const Kernels kKernels; }
namespace avx512 { extern const Kernels kKernels; }

}  // namespace wavekv
