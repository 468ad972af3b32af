// Reads w g m v and writes w m v once: 28 bytes a value, limited by memory. 16 values a turn. Only
// the tail is masked: the hardware does not prefetch for masked loads (seen on Zen 5). Nor does it
// prefetch past a 4 KiB page, so lines 2 KiB ahead are asked for by name.
#include "kernels/cpu/simd_avx512.h"

#include "kernels/adamw_step.h"
#include "kernels/cpu/simd_math.h"

namespace knlp::kernels {

namespace {

void prefetch(const float* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p) + 2048, _MM_HINT_T0);
}

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

void adamw_step_avx512(const AdamwStepArgs& args) {
    const AdamwStepArgs a = args;  // a copy, which no store can change
    const __m512 beta1 = _mm512_set1_ps(a.beta1), beta2 = _mm512_set1_ps(a.beta2);
    const __m512 rest1 = _mm512_set1_ps(a.one_minus_beta1),
                 rest2 = _mm512_set1_ps(a.one_minus_beta2);
    const __m512 scale = _mm512_set1_ps(a.grad_scale), step = _mm512_set1_ps(a.step_size);
    const __m512 before = _mm512_set1_ps(a.decay_before), after = _mm512_set1_ps(a.decay_after);
    const __m512 root = _mm512_set1_ps(a.sqrt_bias_correction2),
                 epsilon = _mm512_set1_ps(a.epsilon);
    each_vector<Avx512>(0, a.n, [&](int64_t i, auto part) {
        prefetch(a.grad + i);
        prefetch(a.exp_avg + i);
        prefetch(a.exp_avg_sq + i);
        prefetch(a.param + i);
        __m512 g = Avx512::load(a.grad + i, part);
        __m512 m = Avx512::load(a.exp_avg + i, part);
        __m512 v = Avx512::load(a.exp_avg_sq + i, part);
        __m512 w = _mm512_mul_ps(Avx512::load(a.param + i, part), before);
        if (a.clip_theta > 0.0f) g = clip_elements(g, v, a.clip_theta, a.clip_floor);
        g = _mm512_mul_ps(g, scale);
        m = _mm512_add_ps(_mm512_mul_ps(beta1, m), _mm512_mul_ps(rest1, g));
        v = _mm512_add_ps(_mm512_mul_ps(beta2, v), _mm512_mul_ps(_mm512_mul_ps(rest2, g), g));
        __m512 d = v;
        if (a.max_exp_avg_sq != nullptr) {
            d = _mm512_max_ps(Avx512::load(a.max_exp_avg_sq + i, part), v);
            Avx512::store(a.max_exp_avg_sq + i, part, d);
        }
        const __m512 denominator = _mm512_add_ps(_mm512_div_ps(_mm512_sqrt_ps(d), root), epsilon);
        w = _mm512_sub_ps(w, _mm512_mul_ps(step, _mm512_div_ps(m, denominator)));
        Avx512::store(a.param + i, part, _mm512_mul_ps(w, after));
        Avx512::store(a.exp_avg + i, part, m);
        Avx512::store(a.exp_avg_sq + i, part, v);
    });
}

GradNormSums grad_norm_avx512(const GradNormArgs& a) {
    __m512d raw = _mm512_setzero_pd(), clipped = _mm512_setzero_pd();
    int64_t count = 0;
    each_vector<Avx512>(0, a.n, [&](int64_t i, auto part) {
        prefetch(a.grad + i);
        const __m512 g = Avx512::load(a.grad + i, part);
        const Lanes wide = to_double(g);
        const __m512d low = _mm512_mul_pd(wide.low, wide.low),
                      high = _mm512_mul_pd(wide.high, wide.high);
        raw = _mm512_add_pd(_mm512_add_pd(raw, low), high);
        if (a.clip_theta <= 0.0f) return;
        const __m512 v = Avx512::load(a.exp_avg_sq + i, part);
        const __m512 limit = _mm512_mul_ps(_mm512_set1_ps(a.clip_theta),
                                           _mm512_add_ps(v, _mm512_set1_ps(a.clip_floor)));
        // Past the end g is 0, which no limit makes a spike.
        const __mmask16 spike = _mm512_cmp_ps_mask(_mm512_mul_ps(g, g), limit, _CMP_GT_OQ);
        const Lanes limits = to_double(limit);
        count += __builtin_popcount(spike);
        clipped = _mm512_add_pd(clipped,
                                _mm512_mask_mov_pd(low, static_cast<__mmask8>(spike), limits.low));
        clipped = _mm512_add_pd(
            clipped, _mm512_mask_mov_pd(high, static_cast<__mmask8>(spike >> 8), limits.high));
    });
    GradNormSums sums{sum_lanes(raw), 0.0, count};
    sums.clipped = a.clip_theta > 0.0f ? sum_lanes(clipped) : sums.raw;
    return sums;
}

}  // namespace knlp::kernels
