// Reads w g m v and writes w m v once: 28 bytes a value, limited by memory. 16 values a turn; the
// tail is done under a mask, so no scalar loop is needed.
#include "kernels/adamw_step.h"

// g++ 12 takes the undefined pass-through operand of its own intrinsics for a fault (GCC bug
// 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

namespace knlp::kernels {

namespace {

__m512 clip_elements(__m512 g, __m512 v, float theta, float floor) {
    const __m512 limit =
        _mm512_mul_ps(_mm512_set1_ps(theta), _mm512_add_ps(v, _mm512_set1_ps(floor)));
    const __mmask16 spike = _mm512_cmp_ps_mask(_mm512_mul_ps(g, g), limit, _CMP_GT_OQ);
    const __m512 sign = _mm512_and_ps(g, _mm512_set1_ps(-0.0f));
    const __m512 signed_limit = _mm512_or_ps(_mm512_sqrt_ps(limit), sign);
    return _mm512_mask_mov_ps(g, spike, signed_limit);
}

struct Lanes {
    __m512d low, high;  // values 0..7 and 8..15 of a vector
};

Lanes to_double(__m512 x) {
    return {_mm512_cvtps_pd(_mm512_castps512_ps256(x)),
            _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1))};
}

double sum_lanes(__m512d x) {
    alignas(64) double lane[8];
    _mm512_store_pd(lane, x);
    double sum = 0.0;
    for (double value : lane) sum += value;
    return sum;
}

}  // namespace

void adamw_step_avx512(const AdamwStepArgs& a) {
    const __m512 beta1 = _mm512_set1_ps(a.beta1), beta2 = _mm512_set1_ps(a.beta2);
    const __m512 rest1 = _mm512_set1_ps(a.one_minus_beta1),
                 rest2 = _mm512_set1_ps(a.one_minus_beta2);
    const __m512 scale = _mm512_set1_ps(a.grad_scale), step = _mm512_set1_ps(a.step_size);
    const __m512 before = _mm512_set1_ps(a.decay_before), after = _mm512_set1_ps(a.decay_after);
    const __m512 root = _mm512_set1_ps(a.sqrt_bias_correction2),
                 epsilon = _mm512_set1_ps(a.epsilon);
    for (int64_t i = 0; i < a.n; i += 16) {
        const int64_t left = a.n - i;
        const __mmask16 in = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1u);
        __m512 g = _mm512_maskz_loadu_ps(in, a.grad + i);
        __m512 m = _mm512_maskz_loadu_ps(in, a.exp_avg + i);
        __m512 v = _mm512_maskz_loadu_ps(in, a.exp_avg_sq + i);
        __m512 w = _mm512_mul_ps(_mm512_maskz_loadu_ps(in, a.param + i), before);
        if (a.clip_theta > 0.0f) g = clip_elements(g, v, a.clip_theta, a.clip_floor);
        g = _mm512_mul_ps(g, scale);
        m = _mm512_add_ps(_mm512_mul_ps(beta1, m), _mm512_mul_ps(rest1, g));
        v = _mm512_add_ps(_mm512_mul_ps(beta2, v), _mm512_mul_ps(_mm512_mul_ps(rest2, g), g));
        __m512 d = v;
        if (a.max_exp_avg_sq != nullptr) {
            d = _mm512_max_ps(_mm512_maskz_loadu_ps(in, a.max_exp_avg_sq + i), v);
            _mm512_mask_storeu_ps(a.max_exp_avg_sq + i, in, d);
        }
        const __m512 denominator = _mm512_add_ps(_mm512_div_ps(_mm512_sqrt_ps(d), root), epsilon);
        w = _mm512_sub_ps(w, _mm512_mul_ps(step, _mm512_div_ps(m, denominator)));
        _mm512_mask_storeu_ps(a.param + i, in, _mm512_mul_ps(w, after));
        _mm512_mask_storeu_ps(a.exp_avg + i, in, m);
        _mm512_mask_storeu_ps(a.exp_avg_sq + i, in, v);
    }
}

GradNormSums grad_norm_avx512(const GradNormArgs& a) {
    __m512d raw = _mm512_setzero_pd(), clipped = _mm512_setzero_pd();
    int64_t count = 0;
    for (int64_t i = 0; i < a.n; i += 16) {
        const int64_t left = a.n - i;
        const __mmask16 in = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1u);
        const __m512 g = _mm512_maskz_loadu_ps(in, a.grad + i);
        const Lanes wide = to_double(g);
        const __m512d low = _mm512_mul_pd(wide.low, wide.low),
                      high = _mm512_mul_pd(wide.high, wide.high);
        raw = _mm512_add_pd(_mm512_add_pd(raw, low), high);
        if (a.clip_theta <= 0.0f) continue;
        const __m512 v = _mm512_maskz_loadu_ps(in, a.exp_avg_sq + i);
        const __m512 limit = _mm512_mul_ps(_mm512_set1_ps(a.clip_theta),
                                           _mm512_add_ps(v, _mm512_set1_ps(a.clip_floor)));
        const __mmask16 spike = _mm512_mask_cmp_ps_mask(in, _mm512_mul_ps(g, g), limit, _CMP_GT_OQ);
        const Lanes limits = to_double(limit);
        count += __builtin_popcount(spike);
        clipped = _mm512_add_pd(clipped,
                                _mm512_mask_mov_pd(low, static_cast<__mmask8>(spike), limits.low));
        clipped = _mm512_add_pd(
            clipped, _mm512_mask_mov_pd(high, static_cast<__mmask8>(spike >> 8), limits.high));
    }
    GradNormSums sums{sum_lanes(raw), 0.0, count};
    sums.clipped = a.clip_theta > 0.0f ? sum_lanes(clipped) : sums.raw;
    return sums;
}

}  // namespace knlp::kernels
