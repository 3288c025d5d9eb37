#include "elementwise_kernels.h"

#include <cmath>

#include "vec.h"

namespace wavekv {
namespace WAVEKV_ISA {

void rms_norm(const float* x, const float* weight, float eps, int64_t dim, float* y) {
  Vec squares = broadcast(0.0f);
  int64_t i = 0;
  for (; i + kLanes <= dim; i += kLanes) {
    const Vec a = load(x + i);
    squares = fma(a, a, squares);
  }
  float total = sum(squares);
  for (; i < dim; ++i) total += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(total / static_cast<float>(dim) + eps);
  for (i = 0; i + kLanes <= dim; i += kLanes) store(y + i, load(x + i) * broadcast(scale) * load(weight + i));
  for (; i < dim; ++i) y[i] = x[i] * scale * weight[i];
}

void rope(float* heads, int64_t num_heads, int64_t head_dim, const float* cos_sin, int64_t rope_dim, bool neox) {
  const int64_t half = rope_dim / 2;
  const int64_t second = neox ? half : 1;
  const int64_t stride = neox ? 1 : 2;
  for (int64_t head = 0; head < num_heads; ++head) {
    float* x = heads + head * head_dim;
    for (int64_t i = 0; i < half; ++i) {
      const float cosine = cos_sin[2 * i], sine = cos_sin[2 * i + 1];
      float* a = x + i * stride;
      const float first = a[0];
      a[0] = first * cosine - a[second] * sine;
      a[second] = first * sine + a[second] * cosine;
    }
  }
}

void swiglu(float* gate, const float* up, int64_t n) {
  const Vec one = broadcast(1.0f), zero = broadcast(0.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec g = load(gate + i);
    store(gate + i, g / (one + exp(zero - g)) * load(up + i));
  }
  for (; i < n; ++i) gate[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void to_f16(const float* x, uint16_t* y, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_f16(y + i, load(x + i));
  for (; i < n; ++i) y[i] = float_to_half(x[i]);
}

void from_f16(const uint16_t* x, float* y, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, load_f16(x + i));
  for (; i < n; ++i) y[i] = half_to_float(x[i]);
}

float to_i8(const float* x, int8_t* y, int64_t n) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i];
    most = magnitude > most ? magnitude : most;
  }
  const float inverse = most > 0 ? 127.0f / most : 0.0f;
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<int8_t>(__builtin_rintf(x[i] * inverse));
  return most / 127.0f;
}

}  // namespace WAVEKV_ISA
}  // namespace wavekv
