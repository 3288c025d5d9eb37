#pragma once
// Splits a cluster that is above the size cap: halve it again and again across its widest direction, so that neighbours
// stay together, into parts of near-equal size.
#include "vec_ops.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr int kPowerIterations = 3;  // enough to leave the start direction for the main one

/// A projection and its token in one number, so that order is total: by projection, then by token.
inline uint64_t sort_key(float projection, int32_t token) {
  uint32_t bits;
  memcpy(&bits, &projection, 4);
  bits = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return (static_cast<uint64_t>(bits) << 32) | static_cast<uint32_t>(token);
}

inline uint64_t median_of_3(uint64_t a, uint64_t b, uint64_t c) {
  if (a > b) {
    const uint64_t other = a;
    a = b;
    b = other;
  }
  return c < a ? a : c > b ? b : c;
}

/// Moves the `count` smallest of keys[0, n) to the front (quickselect; keys are distinct).
inline void select_smallest(uint64_t* keys, int64_t n, int64_t count) {
  int64_t low = 0, high = n - 1;
  while (low < high) {
    const uint64_t pivot = median_of_3(keys[low], keys[(low + high) / 2], keys[high]);
    int64_t i = low, j = high;
    while (i <= j) {
      while (keys[i] < pivot) ++i;
      while (keys[j] > pivot) --j;
      if (i > j) break;
      const uint64_t other = keys[i];
      keys[i++] = keys[j];
      keys[j--] = other;
    }
    if (count - 1 <= j) {
      high = j;
    } else if (count - 1 >= i) {
      low = i;
    } else {
      return;
    }
  }
}

inline float dot(const float* a, const float* b, int64_t n) {
  Vec total = broadcast(0.0f);
  for (int64_t i = 0; i < n; i += kLanes) total = fma(load(a + i), load(b + i), total);
  return sum(total);
}

/// direction: [headDim], the widest direction of the members about their mean; 0 where all are the same.
inline void widest_direction(const float* points, int64_t head_dim, const int32_t* members, int64_t n,
                             float* direction) {
  float mean[kMaxHeadDim], next[kMaxHeadDim], offset[kMaxHeadDim];
  const float inverse = 1.0f / static_cast<float>(n);
  for (int64_t i = 0; i < head_dim; i += kLanes) {
    Vec total = broadcast(0.0f);
    for (int64_t t = 0; t < n; ++t) total = total + load(points + members[t] * head_dim + i);
    store(mean + i, total * broadcast(inverse));
  }
  float farthest = -1.0f;
  for (int64_t t = 0; t < n; ++t) {
    const float* point = points + members[t] * head_dim;
    for (int64_t i = 0; i < head_dim; i += kLanes) store(offset + i, load(point + i) - load(mean + i));
    const float distance = dot(offset, offset, head_dim);
    if (distance > farthest) {
      farthest = distance;
      memcpy(direction, offset, static_cast<size_t>(head_dim) * sizeof(float));
    }
  }
  for (int step = 0; step < kPowerIterations; ++step) {
    const float shift = dot(mean, direction, head_dim);
    for (int64_t i = 0; i < head_dim; ++i) next[i] = 0.0f;
    for (int64_t t = 0; t < n; ++t) {
      const float* point = points + members[t] * head_dim;
      const Vec weight = broadcast(dot(point, direction, head_dim) - shift);
      for (int64_t i = 0; i < head_dim; i += kLanes) {
        store(next + i, fma(weight, load(point + i) - load(mean + i), load(next + i)));
      }
    }
    const float length = sqrt_one(dot(next, next, head_dim));
    if (!(length > 1e-20f)) return;
    for (int64_t i = 0; i < head_dim; ++i) direction[i] = next[i] / length;
  }
}

/// Reorders members so that the first `count` are one side of the cut across the widest direction.
/// keys: u64 [n], scratch.
inline void cut_members(const float* points, int64_t head_dim, int32_t* members, int64_t n, int64_t count,
                        uint64_t* keys) {
  float direction[kMaxHeadDim];
  widest_direction(points, head_dim, members, n, direction);
  for (int64_t t = 0; t < n; ++t) {
    keys[t] = sort_key(dot(points + members[t] * head_dim, direction, head_dim), members[t]);
  }
  select_smallest(keys, n, count);
  for (int64_t t = 0; t < n; ++t) members[t] = static_cast<int32_t>(keys[t] & 0xffffffffu);
}

/// Splits members[0, n) into ceil(n / cap) parts and labels every token with its part's id, from next_id on.
/// Returns the next free id. keys: u64 [n], scratch.
inline int32_t split_members(const float* points, int64_t head_dim, int32_t* members, int64_t n, int64_t cap,
                             uint64_t* keys, int32_t* label, int32_t next_id) {
  struct Part {
    int64_t begin, size, parts;
  };
  Part stack[32];  // halving 65535 parts needs 17 levels
  int depth = 0;
  stack[depth++] = {0, n, (n + cap - 1) / cap};
  while (depth > 0) {
    const Part part = stack[--depth];
    if (part.parts <= 1) {
      for (int64_t t = 0; t < part.size; ++t) label[members[part.begin + t]] = next_id;
      if (part.size > 0) ++next_id;
      continue;
    }
    // size <= parts * cap implies the same for both sides, with the left rounded down
    const int64_t left_parts = part.parts / 2;
    const int64_t left = part.size * left_parts / part.parts;
    cut_members(points, head_dim, members + part.begin, part.size, left, keys);
    stack[depth++] = {part.begin + left, part.size - left, part.parts - left_parts};
    stack[depth++] = {part.begin, left, left_parts};
  }
  return next_id;
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
