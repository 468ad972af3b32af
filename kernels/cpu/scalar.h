#pragma once

// Stored numbers one by one, for the scalar kernels; internal linkage, as everything the kernels
// share.

#include "kernels/gemm.h"

#include <cstring>

namespace knlp::kernels {
namespace {

inline float load(const void* values, Storage type, int64_t i) {
    if (type == Storage::kF32) return static_cast<const float*>(values)[i];
    const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(values)[i]) << 16;
    float value = 0.0f;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

/// bfloat16 takes the nearest, ties to even; NaN stays NaN.
inline void store(void* values, Storage type, int64_t i, float value) {
    if (type == Storage::kF32) {
        static_cast<float*>(values)[i] = value;
        return;
    }
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    const uint32_t near = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t word = value != value ? (bits >> 16) | 0x40u : near;
    static_cast<uint16_t*>(values)[i] = static_cast<uint16_t>(word);
}

}  // namespace
}  // namespace knlp::kernels
