#pragma once

// Vectors of 16 floats for causal_attention_simd.h and chunk_attention_simd.h; internal linkage, as
// what they are made of.

#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/transpose_avx512.h"

namespace knlp::kernels {
namespace {

struct Attention512 : Avx512 {
    // 32 registers: 16 to 24 sums, up to 4 vectors of the right operand, 1 of the left one.
    static constexpr int kVectors = 4, kNarrowRows = 8, kPerWord = 1;
    static constexpr bool kScaleTakesAnything = true;

    static F multiply_add(F sum, F a, F b) { return fma(a, b, sum); }
    static void transpose(F (&rows)[16]) { transpose_16(rows); }
};

}  // namespace
}  // namespace knlp::kernels
