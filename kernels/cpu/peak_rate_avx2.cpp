#include "kernels/peak_rate.h"

#include <immintrin.h>

namespace knlp::kernels {

PeakRate peak_fma_avx2(int64_t links) {
    constexpr int kChains = kPeakLanesAvx2 / 8;
    volatile float half_source = 0.5f, one_source = 1.0f;
    const __m256 half = _mm256_set1_ps(half_source), one = _mm256_set1_ps(one_source);
    __m256 a[kChains];
    for (__m256& chain : a) chain = _mm256_setzero_ps();
    for (int64_t i = 0; i < links; ++i)
#pragma GCC unroll 12
        for (int c = 0; c < kChains; ++c) a[c] = _mm256_fmadd_ps(a[c], half, one);
    PeakRate result{.flops = 2 * kPeakLanesAvx2 * links};
    float lanes[8];
    for (const __m256& chain : a) {
        _mm256_storeu_ps(lanes, chain);
        for (const float lane : lanes) result.sum += static_cast<double>(lane);
    }
    return result;
}

}  // namespace knlp::kernels
