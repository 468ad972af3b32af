#pragma once

// Vectors of 8 floats for causal_attention_simd.h and chunk_attention_simd.h; internal linkage, as
// what they are made of.

#include "kernels/cpu/simd_avx2.h"

namespace knlp::kernels {
namespace {

struct Attention2 : Avx2 {
    // 16 registers: 12 sums, 3 vectors of the right operand, 1 of the left one.
    static constexpr int kVectors = 3, kNarrowRows = 4, kPerWord = 1;
    static constexpr bool kScaleTakesAnything = false;

    static F multiply_add(F sum, F a, F b) { return fma(a, b, sum); }
    static void transpose(F (&r)[8]) {
        F s[8];
        for (int i = 0; i < 8; i += 2) {
            s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
            s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        }
        for (int i = 0; i < 8; i += 4)
            for (int j = 0; j < 2; ++j) {
                r[i + 2 * j] = _mm256_shuffle_ps(s[i + j], s[i + j + 2], 0x44);
                r[i + 2 * j + 1] = _mm256_shuffle_ps(s[i + j], s[i + j + 2], 0xee);
            }
        // r[4 g + c] holds columns c and c + 4 of rows 4 g .. 4 g + 3.
        for (int c = 0; c < 4; ++c) {
            s[c] = _mm256_permute2f128_ps(r[c], r[c + 4], 0x20);
            s[c + 4] = _mm256_permute2f128_ps(r[c], r[c + 4], 0x31);
        }
        for (int c = 0; c < 8; ++c) r[c] = s[c];
    }
};

}  // namespace
}  // namespace knlp::kernels
