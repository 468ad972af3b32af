#include "kernels/peak_rate.h"

#include <immintrin.h>

namespace knlp::kernels {

namespace {

constexpr int kChains = kPeakLanesAvx512 / 16;

double sum_of(const __m512* chains) {
    double sum = 0;
    float lanes[16];
    for (int c = 0; c < kChains; ++c) {
        _mm512_storeu_ps(lanes, chains[c]);
        for (const float lane : lanes) sum += static_cast<double>(lane);
    }
    return sum;
}

}  // namespace

PeakRate peak_fma_avx512(int64_t links) {
    volatile float half_source = 0.5f, one_source = 1.0f;
    const __m512 half = _mm512_set1_ps(half_source), one = _mm512_set1_ps(one_source);
    __m512 a[kChains];
    for (__m512& chain : a) chain = _mm512_setzero_ps();
    for (int64_t i = 0; i < links; ++i)
#pragma GCC unroll 24
        for (int c = 0; c < kChains; ++c) a[c] = _mm512_fmadd_ps(a[c], half, one);
    return {.flops = 2 * kPeakLanesAvx512 * links, .sum = sum_of(a)};
}

// The file's flags stop at AVX-512 BW: only this function may use the bfloat16 instructions.
__attribute__((target("avx512bf16"))) PeakRate peak_bf16_avx512(int64_t links) {
    volatile int ones_source = 0x3f803f80;  // two bfloat16 ones
    const __m512i ones_bits = _mm512_set1_epi32(ones_source);
    const __m512bh ones = (__m512bh)ones_bits;
    __m512 a[kChains];
    for (__m512& chain : a) chain = _mm512_setzero_ps();
    for (int64_t i = 0; i < links; ++i)
#pragma GCC unroll 24
        for (int c = 0; c < kChains; ++c) a[c] = _mm512_dpbf16_ps(a[c], ones, ones);
    return {.flops = 4 * kPeakLanesAvx512 * links, .sum = sum_of(a)};
}

}  // namespace knlp::kernels
