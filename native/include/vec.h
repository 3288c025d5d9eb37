#pragma once
// One vector type over the three SIMD levels, for kernels that are compiled once a level (see CMakeLists.txt).
// Include only from files that are built with WAVEKV_ISA set; nothing here has external linkage, so that the linker
// can never hand code of a higher level to a lower one. For the same reason kernel files use no std templates.
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#define WAVEKV_LANES 16
#elif defined(__AVX2__)
#include <immintrin.h>
#define WAVEKV_LANES 8
#else
#define WAVEKV_LANES 4
#endif

#ifndef WAVEKV_ISA
#error "vec.h is for kernel files only: WAVEKV_ISA names the level they are built for"
#endif

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr int kLanes = WAVEKV_LANES;

inline float half_to_float(uint16_t h) {
  const uint32_t sign = (h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 31u;
  uint32_t mantissa = h & 1023u;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | (mantissa << 13);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else {
    const float subnormal = static_cast<float>(mantissa) * 5.9604644775390625e-08f;  // 2^-24
    memcpy(&bits, &subnormal, 4);
    bits |= sign;
  }
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

/// Round to nearest even; overflow becomes infinity.
inline uint16_t float_to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (bits >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (bits < 0x38800000u) {  // below 2^-14: subnormal half; adding 0.5 puts the rounded result in the low bits
    float magnitude;
    memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    memcpy(&bits, &magnitude, 4);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
  }
  bits += 0xc8000fffu + ((bits >> 13) & 1u);
  return static_cast<uint16_t>(sign | (bits >> 13));
}

#if defined(__AVX512F__)

struct Vec {
  __m512 v;
};
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Vec load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline void store_f16(uint16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
/// a * b + c
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float maximum(Vec a) { return _mm512_reduce_max_ps(a.v); }
inline Vec round_nearest(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
/// a * 2^n for integral n
inline Vec scale_by_power(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }

#elif defined(__AVX2__)

struct Vec {
  __m256 v;
};
inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline Vec load_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline void store_f16(uint16_t* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline float sum(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline float maximum(Vec a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
inline Vec round_nearest(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec scale_by_power(Vec a, Vec n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n.v), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), exponent))};
}

#else

typedef float Lanes __attribute__((vector_size(16)));  // the compiler's own vectors: SSE2, NEON or plain code
typedef float UnalignedLanes __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t Bits __attribute__((vector_size(16)));
typedef int32_t Integers __attribute__((vector_size(16)));

struct Vec {
  Lanes v;
};
#define WAVEKV_EACH(expression)      \
  Vec r;                             \
  for (int i = 0; i < 4; ++i) r.v[i] = (expression); \
  return r
inline Vec load(const float* p) { return {*reinterpret_cast<const UnalignedLanes*>(p)}; }
/// As half_to_float, without branches: the exponent is corrected by a product.
inline Vec load_f16(const uint16_t* p) {
  const Bits half = {p[0], p[1], p[2], p[3]};
  const Lanes magnitude = (Lanes)((half & 0x7fffu) << 13) * 5.192296858534828e33f;  // 2^112
  const Bits special = (Bits)(magnitude >= 65536.0f) & 0x7f800000u;  // infinity and NaN
  return {(Lanes)((Bits)magnitude | special | (half & 0x8000u) << 16)};
}
inline void store(float* p, Vec a) { *reinterpret_cast<UnalignedLanes*>(p) = a.v; }
inline void store_f16(uint16_t* p, Vec a) {
  for (int i = 0; i < 4; ++i) p[i] = float_to_half(a.v[i]);
}
inline Vec broadcast(float x) { return {Lanes{x, x, x, x}}; }
inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
inline Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
inline Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
inline float sum(Vec a) { return (a.v[0] + a.v[1]) + (a.v[2] + a.v[3]); }
inline float maximum(Vec a) {
  const float x = a.v[0] > a.v[1] ? a.v[0] : a.v[1];
  const float y = a.v[2] > a.v[3] ? a.v[2] : a.v[3];
  return x > y ? x : y;
}
inline Vec round_nearest(Vec a) { WAVEKV_EACH(__builtin_rintf(a.v[i])); }
inline Vec scale_by_power(Vec a, Vec n) {
  const Integers exponent = {static_cast<int32_t>(n.v[0]), static_cast<int32_t>(n.v[1]), static_cast<int32_t>(n.v[2]),
                             static_cast<int32_t>(n.v[3])};
  return {(Lanes)((Integers)a.v + exponent * (1 << 23))};
}
#undef WAVEKV_EACH

#endif

/// exp(x), relative error below 3e-7 on [-87, 88]; x below -87 gives exp(-87), about 1e-38.
inline Vec exp(Vec x) {
  x = min(max(x, broadcast(-87.0f)), broadcast(88.0f));
  const Vec n = round_nearest(x * broadcast(1.44269504088896341f));
  Vec r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  Vec p = broadcast(1.9875691500e-4f);
  p = fma(p, r, broadcast(1.3981999507e-3f));
  p = fma(p, r, broadcast(8.3334519073e-3f));
  p = fma(p, r, broadcast(4.1665795894e-2f));
  p = fma(p, r, broadcast(1.6666665459e-1f));
  p = fma(p, r, broadcast(5.0000001201e-1f));
  p = fma(p, r * r, r + broadcast(1.0f));
  return scale_by_power(p, n);
}

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
