#include "ggml_types.h"

namespace wavekv {
namespace {

// By number, withdrawn ones included: a file may be older than the withdrawal.
constexpr const char* kNames[] = {"F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
                                  "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
                                  "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
                                  "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
                                  "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
                                  "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",    "NVFP4",    "Q1_0"};
constexpr uint32_t kNumTypes = sizeof kNames / sizeof kNames[0];

constexpr GgmlTypeInfo kF32Info{"F32", 1, 4};
constexpr GgmlTypeInfo kF16Info{"F16", 1, 2};
constexpr GgmlTypeInfo kBF16Info{"BF16", 1, 2};
constexpr GgmlTypeInfo kQ4_0Info{"Q4_0", 32, 18};
constexpr GgmlTypeInfo kQ4_1Info{"Q4_1", 32, 20};
constexpr GgmlTypeInfo kQ5_0Info{"Q5_0", 32, 22};
constexpr GgmlTypeInfo kQ5_1Info{"Q5_1", 32, 24};
constexpr GgmlTypeInfo kQ8_0Info{"Q8_0", 32, 34};
constexpr GgmlTypeInfo kQ4_KInfo{"Q4_K", 256, 144};
constexpr GgmlTypeInfo kQ5_KInfo{"Q5_K", 256, 176};
constexpr GgmlTypeInfo kQ6_KInfo{"Q6_K", 256, 210};

}  // namespace

const GgmlTypeInfo* ggml_type_info(uint32_t type) {
  switch (static_cast<GgmlType>(type)) {
    case GgmlType::kF32: return &kF32Info;
    case GgmlType::kF16: return &kF16Info;
    case GgmlType::kBF16: return &kBF16Info;
    case GgmlType::kQ4_0: return &kQ4_0Info;
    case GgmlType::kQ4_1: return &kQ4_1Info;
    case GgmlType::kQ5_0: return &kQ5_0Info;
    case GgmlType::kQ5_1: return &kQ5_1Info;
    case GgmlType::kQ8_0: return &kQ8_0Info;
    case GgmlType::kQ4_K: return &kQ4_KInfo;
    case GgmlType::kQ5_K: return &kQ5_KInfo;
    case GgmlType::kQ6_K: return &kQ6_KInfo;
  }
  return nullptr;
}

const char* ggml_type_name(uint32_t type) { return type < kNumTypes ? kNames[type] : nullptr; }

}  // namespace wavekv
