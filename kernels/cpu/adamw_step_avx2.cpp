// Reads w g m v and writes w m v once: 28 bytes a value, limited by memory. 8 values a turn; the
// tail goes to the scalar kernel, which gives the same bits. The hardware does not prefetch past a
// 4 KiB page, so lines 2 KiB ahead are asked for by name.
#include "kernels/adamw_step.h"

#include <immintrin.h>

namespace knlp::kernels {

namespace {

void prefetch(const float* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p) + 2048, _MM_HINT_T0);
}

__m256 clip_limit(__m256 v, float theta, float floor) {
    return _mm256_mul_ps(_mm256_set1_ps(theta), _mm256_add_ps(v, _mm256_set1_ps(floor)));
}

struct Lanes {
    __m256d low, high;  // values 0..3 and 4..7 of a vector
};

Lanes to_double(__m256 x) {
    return {_mm256_cvtps_pd(_mm256_castps256_ps128(x)),
            _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

Lanes plus(Lanes sum, Lanes x) {
    return {_mm256_add_pd(sum.low, x.low), _mm256_add_pd(sum.high, x.high)};
}

void store(double (&lane)[8], Lanes x) {
    _mm256_storeu_pd(lane, x.low);
    _mm256_storeu_pd(lane + 4, x.high);
}

}  // namespace

void adamw_step_avx2(const AdamwStepArgs& args) {
    const AdamwStepArgs a = args;  // a copy, which no store can change
    const __m256 beta1 = _mm256_set1_ps(a.beta1), beta2 = _mm256_set1_ps(a.beta2);
    const __m256 rest1 = _mm256_set1_ps(a.one_minus_beta1),
                 rest2 = _mm256_set1_ps(a.one_minus_beta2);
    const __m256 scale = _mm256_set1_ps(a.grad_scale), step = _mm256_set1_ps(a.step_size);
    const __m256 before = _mm256_set1_ps(a.decay_before), after = _mm256_set1_ps(a.decay_after);
    const __m256 root = _mm256_set1_ps(a.sqrt_bias_correction2),
                 epsilon = _mm256_set1_ps(a.epsilon);
    const __m256 sign = _mm256_set1_ps(-0.0f);
    int64_t i = 0;
    for (; i + 8 <= a.n; i += 8) {
        prefetch(a.grad + i);
        prefetch(a.exp_avg + i);
        prefetch(a.exp_avg_sq + i);
        prefetch(a.param + i);
        __m256 g = _mm256_loadu_ps(a.grad + i);
        __m256 m = _mm256_loadu_ps(a.exp_avg + i);
        __m256 v = _mm256_loadu_ps(a.exp_avg_sq + i);
        __m256 w = _mm256_mul_ps(_mm256_loadu_ps(a.param + i), before);
        if (a.clip_theta > 0.0f) {
            const __m256 limit = clip_limit(v, a.clip_theta, a.clip_floor);
            const __m256 spike = _mm256_cmp_ps(_mm256_mul_ps(g, g), limit, _CMP_GT_OQ);
            const __m256 signed_limit = _mm256_or_ps(_mm256_sqrt_ps(limit), _mm256_and_ps(g, sign));
            g = _mm256_blendv_ps(g, signed_limit, spike);
        }
        g = _mm256_mul_ps(g, scale);
        m = _mm256_add_ps(_mm256_mul_ps(beta1, m), _mm256_mul_ps(rest1, g));
        v = _mm256_add_ps(_mm256_mul_ps(beta2, v), _mm256_mul_ps(_mm256_mul_ps(rest2, g), g));
        __m256 d = v;
        if (a.max_exp_avg_sq != nullptr) {
            d = _mm256_max_ps(_mm256_loadu_ps(a.max_exp_avg_sq + i), v);
            _mm256_storeu_ps(a.max_exp_avg_sq + i, d);
        }
        const __m256 denominator = _mm256_add_ps(_mm256_div_ps(_mm256_sqrt_ps(d), root), epsilon);
        w = _mm256_sub_ps(w, _mm256_mul_ps(step, _mm256_div_ps(m, denominator)));
        _mm256_storeu_ps(a.param + i, _mm256_mul_ps(w, after));
        _mm256_storeu_ps(a.exp_avg + i, m);
        _mm256_storeu_ps(a.exp_avg_sq + i, v);
    }
    AdamwStepArgs tail = a;
    tail.n = a.n - i;
    tail.param += i;
    tail.grad += i;
    tail.exp_avg += i;
    tail.exp_avg_sq += i;
    if (tail.max_exp_avg_sq != nullptr) tail.max_exp_avg_sq += i;
    adamw_step_scalar(tail);
}

GradNormSums grad_norm_avx2(const GradNormArgs& a) {
    const __m256d zero = _mm256_setzero_pd();
    Lanes raw{zero, zero}, clipped{zero, zero};
    int64_t count = 0, i = 0;
    for (; i + 8 <= a.n; i += 8) {
        prefetch(a.grad + i);
        const __m256 g = _mm256_loadu_ps(a.grad + i);
        const Lanes wide = to_double(g);
        const Lanes square{_mm256_mul_pd(wide.low, wide.low), _mm256_mul_pd(wide.high, wide.high)};
        raw = plus(raw, square);
        if (a.clip_theta <= 0.0f) continue;
        const __m256 limit =
            clip_limit(_mm256_loadu_ps(a.exp_avg_sq + i), a.clip_theta, a.clip_floor);
        const __m256 spike = _mm256_cmp_ps(_mm256_mul_ps(g, g), limit, _CMP_GT_OQ);
        const Lanes limits = to_double(limit),
                    mask = to_double(_mm256_and_ps(spike, _mm256_set1_ps(-1.0f)));
        count += __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(spike)));
        // blendv looks at the sign only: -1 where the element is a spike.
        clipped = plus(clipped, {_mm256_blendv_pd(square.low, limits.low, mask.low),
                                 _mm256_blendv_pd(square.high, limits.high, mask.high)});
    }
    double raw_lane[8], clipped_lane[8];
    store(raw_lane, raw);
    store(clipped_lane, clipped);
    for (int lane = 0; i < a.n; ++i, ++lane) {
        const double square = static_cast<double>(a.grad[i]) * static_cast<double>(a.grad[i]);
        raw_lane[lane] += square;
        if (a.clip_theta <= 0.0f) continue;
        const float limit = a.clip_theta * (a.exp_avg_sq[i] + a.clip_floor);
        const bool spike = a.grad[i] * a.grad[i] > limit;
        count += spike ? 1 : 0;
        clipped_lane[lane] += spike ? static_cast<double>(limit) : square;
    }
    GradNormSums sums{0.0, 0.0, count};
    for (int lane = 0; lane < 8; ++lane) {
        sums.raw += raw_lane[lane];
        sums.clipped += clipped_lane[lane];
    }
    if (a.clip_theta <= 0.0f) sums.clipped = sums.raw;
    return sums;
}

}  // namespace knlp::kernels
