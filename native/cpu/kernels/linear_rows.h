#pragma once
// The 16 rows of a panel as one value: f32 (Rows), int32 (Ints) and 4 bytes a row (Bytes), over the three SIMD levels.
#include "linear_kernels.h"
#include "vec.h"

namespace wavekv {
namespace WAVEKV_ISA {
namespace {

constexpr int kParts = static_cast<int>(kPanelRows) / kLanes;

/// f32 of 16 rows.
struct Rows {
  Vec part[kParts];
};

#define WAVEKV_ROWS(expression)                        \
  Rows r;                                              \
  for (int i = 0; i < kParts; ++i) r.part[i] = (expression); \
  return r
inline Rows load_rows(const float* p) { WAVEKV_ROWS(load(p + i * kLanes)); }
inline Rows load_rows_f16(const uint16_t* p) { WAVEKV_ROWS(load_f16(p + i * kLanes)); }
inline Rows broadcast_rows(float x) { WAVEKV_ROWS(broadcast(x)); }
inline Rows operator+(Rows a, Rows b) { WAVEKV_ROWS(a.part[i] + b.part[i]); }
inline Rows operator*(Rows a, Rows b) { WAVEKV_ROWS(a.part[i] * b.part[i]); }
inline Rows operator*(Rows a, float b) { WAVEKV_ROWS(a.part[i] * broadcast(b)); }
inline Rows fma(Rows a, Rows b, Rows c) { WAVEKV_ROWS(fma(a.part[i], b.part[i], c.part[i])); }
inline Rows fma(Rows a, float b, Rows c) { WAVEKV_ROWS(fma(a.part[i], broadcast(b), c.part[i])); }
#undef WAVEKV_ROWS
inline void store_rows(float* p, Rows a) {
  for (int i = 0; i < kParts; ++i) store(p + i * kLanes, a.part[i]);
}

#if defined(__AVX512VNNI__)

struct Ints {
  __m512i v;
};
struct Bytes {
  __m512i v;
};
/// Four neighbouring inputs of one token, given to every row.
struct Inputs4 {
  __m512i v;
};

inline Bytes load_bytes(const uint8_t* p) { return {_mm512_load_si512(p)}; }
inline void store_bytes(uint8_t* p, Bytes a) { _mm512_store_si512(p, a.v); }
inline Bytes low_nibbles(Bytes a) { return {_mm512_and_si512(a.v, _mm512_set1_epi8(15))}; }
inline Bytes high_nibbles(Bytes a) { return {_mm512_and_si512(_mm512_srli_epi16(a.v, 4), _mm512_set1_epi8(15))}; }
/// q | (high >> From) << 4 under kMask, the bits in place after the shift.
template <int From, int kMask>
inline Bytes with_high(Bytes q, Bytes high) {
  __m512i shifted = high.v;
  if constexpr (From < 4) shifted = _mm512_slli_epi16(high.v, 4 - From);
  if constexpr (From > 4) shifted = _mm512_srli_epi16(high.v, From - 4);
  return {_mm512_ternarylogic_epi32(q.v, shifted, _mm512_set1_epi8(kMask), 0xF8)};  // a | (b & c)
}
inline Inputs4 load_inputs(const int8_t* p) {
  int32_t bits;
  memcpy(&bits, p, 4);
  return {_mm512_set1_epi32(bits)};
}
/// value << shift, in every row.
inline Ints shifted_start(int32_t value, int shift) {
  return {_mm512_sllv_epi32(_mm512_set1_epi32(value), _mm512_set1_epi32(shift))};
}
inline Ints zero_ints() { return {_mm512_setzero_si512()}; }
/// Adds the products of each row's four bytes (at most kBits bits, unsigned) with the inputs.
template <int kBits>
inline Ints dot(Ints sum, Bytes w, Inputs4 x) {
  return {_mm512_dpbusd_epi32(sum.v, w.v, x.v)};
}
inline Rows to_float(Ints a) { return {{{_mm512_cvtepi32_ps(a.v)}}}; }
inline Rows load_rows_u8(const uint8_t* p) {
  return {{{_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))}}};
}
inline Rows load_rows_i8(const uint8_t* p) {
  return {{{_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))}}};
}
inline Rows load_rows_bf16(const uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {{{_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))}}};
}

#elif defined(__AVX2__)

struct Ints {
  __m256i v[2];
};
struct Bytes {
  __m256i v[2];
};
struct Inputs4 {
  __m256i v;
};

inline Bytes load_bytes(const uint8_t* p) {
  const __m256i* q = reinterpret_cast<const __m256i*>(p);
  return {{_mm256_load_si256(q), _mm256_load_si256(q + 1)}};
}
inline void store_bytes(uint8_t* p, Bytes a) {
  __m256i* q = reinterpret_cast<__m256i*>(p);
  _mm256_store_si256(q, a.v[0]);
  _mm256_store_si256(q + 1, a.v[1]);
}
inline Bytes low_nibbles(Bytes a) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {{_mm256_and_si256(a.v[0], mask), _mm256_and_si256(a.v[1], mask)}};
}
inline Bytes high_nibbles(Bytes a) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {{_mm256_and_si256(_mm256_srli_epi16(a.v[0], 4), mask), _mm256_and_si256(_mm256_srli_epi16(a.v[1], 4), mask)}};
}
template <int From, int kMask>
inline __m256i with_high_half(__m256i q, __m256i high) {
  __m256i shifted = high;
  if constexpr (From < 4) shifted = _mm256_slli_epi16(high, 4 - From);
  if constexpr (From > 4) shifted = _mm256_srli_epi16(high, From - 4);
  return _mm256_or_si256(q, _mm256_and_si256(shifted, _mm256_set1_epi8(kMask)));
}
template <int From, int kMask>
inline Bytes with_high(Bytes q, Bytes high) {
  return {{with_high_half<From, kMask>(q.v[0], high.v[0]), with_high_half<From, kMask>(q.v[1], high.v[1])}};
}
inline Inputs4 load_inputs(const int8_t* p) {
  int32_t bits;
  memcpy(&bits, p, 4);
  return {_mm256_set1_epi32(bits)};
}
inline Ints shifted_start(int32_t value, int shift) {
  const __m256i start = _mm256_sllv_epi32(_mm256_set1_epi32(value), _mm256_set1_epi32(shift));
  return {{start, start}};
}
inline Ints zero_ints() { return {{_mm256_setzero_si256(), _mm256_setzero_si256()}}; }
template <int kBits>
inline __m256i dot_half(__m256i sum, __m256i w, __m256i x) {
  if constexpr (kBits <= 6) {  // pairs stay below 2 * 63 * 127 < 32768, so that maddubs cannot saturate
    const __m256i pairs = _mm256_maddubs_epi16(w, x);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  } else {  // even and odd bytes widened to 16 bits; the inputs' part is shared by both halves
    const __m256i even_w = _mm256_and_si256(w, _mm256_set1_epi16(255)), odd_w = _mm256_srli_epi16(w, 8);
    const __m256i even_x = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), odd_x = _mm256_srai_epi16(x, 8);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even_w, even_x));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(odd_w, odd_x));
  }
}
template <int kBits>
inline Ints dot(Ints sum, Bytes w, Inputs4 x) {
  return {{dot_half<kBits>(sum.v[0], w.v[0], x.v), dot_half<kBits>(sum.v[1], w.v[1], x.v)}};
}
inline Rows to_float(Ints a) { return {{{_mm256_cvtepi32_ps(a.v[0])}, {_mm256_cvtepi32_ps(a.v[1])}}}; }
inline Rows load_rows_u8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return to_float({{_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))}});
}
inline Rows load_rows_i8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return to_float({{_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))}});
}
inline Vec load_bf16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
}
inline Rows load_rows_bf16(const uint16_t* p) { return {{load_bf16(p), load_bf16(p + 8)}}; }

#else

struct Ints {
  int32_t v[16];
};
struct Bytes {
  uint8_t v[64];
};
struct Inputs4 {
  int8_t v[4];
};

inline Bytes load_bytes(const uint8_t* p) {
  Bytes r;
  memcpy(r.v, p, 64);
  return r;
}
inline void store_bytes(uint8_t* p, Bytes a) { memcpy(p, a.v, 64); }
inline Bytes low_nibbles(Bytes a) {
  for (int i = 0; i < 64; ++i) a.v[i] &= 15;
  return a;
}
inline Bytes high_nibbles(Bytes a) {
  for (int i = 0; i < 64; ++i) a.v[i] >>= 4;
  return a;
}
template <int From, int kMask>
inline Bytes with_high(Bytes q, Bytes high) {
  for (int i = 0; i < 64; ++i) q.v[i] = static_cast<uint8_t>(q.v[i] | (((high.v[i] << 4) >> From) & kMask));
  return q;
}
inline Inputs4 load_inputs(const int8_t* p) {
  Inputs4 r;
  memcpy(r.v, p, 4);
  return r;
}
inline Ints shifted_start(int32_t value, int shift) {
  Ints r;
  for (int i = 0; i < 16; ++i) r.v[i] = value * (1 << shift);
  return r;
}
inline Ints zero_ints() { return shifted_start(0, 0); }
template <int kBits>
inline Ints dot(Ints sum, const Bytes& w, Inputs4 x) {
  for (int i = 0; i < 16; ++i) {
    sum.v[i] += w.v[4 * i] * x.v[0] + w.v[4 * i + 1] * x.v[1] + w.v[4 * i + 2] * x.v[2] + w.v[4 * i + 3] * x.v[3];
  }
  return sum;
}
inline Rows to_float(const Ints& a) {
  Rows r;
  for (int i = 0; i < 16; ++i) r.part[i / kLanes].v[i % kLanes] = static_cast<float>(a.v[i]);
  return r;
}
inline Rows load_rows_u8(const uint8_t* p) {
  Rows r;
  for (int i = 0; i < 16; ++i) r.part[i / kLanes].v[i % kLanes] = static_cast<float>(p[i]);
  return r;
}
inline Rows load_rows_i8(const uint8_t* p) {
  Rows r;
  for (int i = 0; i < 16; ++i) r.part[i / kLanes].v[i % kLanes] = static_cast<float>(static_cast<int8_t>(p[i]));
  return r;
}
inline Rows load_rows_bf16(const uint16_t* p) {
  Rows r;
  for (int i = 0; i < 16; ++i) {
    const uint32_t bits = static_cast<uint32_t>(p[i]) << 16;
    memcpy(&r.part[i / kLanes].v[i % kLanes], &bits, 4);
  }
  return r;
}

#endif

}  // namespace
}  // namespace WAVEKV_ISA
}  // namespace wavekv
