#pragma once
#include <cstdint>

// Declarations for the kernel table; what each does is said in kernels.h.
namespace wavekv {
namespace WAVEKV_ISA {

void rms_norm(const float* x, const float* weight, float eps, int64_t dim, float* y);
void rope(float* heads, int64_t num_heads, int64_t head_dim, const float* cos_sin, int64_t rope_dim, bool neox);
void swiglu(float* gate, const float* up, int64_t n);
void to_f16(const float* x, uint16_t* y, int64_t n);
void from_f16(const uint16_t* x, float* y, int64_t n);
float to_i8(const float* x, int8_t* y, int64_t n);

}  // namespace WAVEKV_ISA
}  // namespace wavekv
