#include "kernels/adamw_step.h"

#include <cmath>

namespace knlp::kernels {

void adamw_step_scalar(const AdamwStepArgs& a) {
    for (int64_t i = 0; i < a.n; ++i) {
        float g = a.grad[i];
        if (a.clip_theta > 0.0f) {
            const float limit = a.clip_theta * (a.exp_avg_sq[i] + a.clip_floor);
            if (g * g > limit) g = std::copysign(std::sqrt(limit), g);
        }
        g *= a.grad_scale;
        float w = a.param[i] * a.decay_before;
        const float m = a.beta1 * a.exp_avg[i] + a.one_minus_beta1 * g;
        const float v = a.beta2 * a.exp_avg_sq[i] + (a.one_minus_beta2 * g) * g;
        float d = v;
        if (a.max_exp_avg_sq != nullptr) {
            d = a.max_exp_avg_sq[i] > v ? a.max_exp_avg_sq[i] : v;
            a.max_exp_avg_sq[i] = d;
        }
        w -= a.step_size * (m / (std::sqrt(d) / a.sqrt_bias_correction2 + a.epsilon));
        a.param[i] = w * a.decay_after;
        a.exp_avg[i] = m;
        a.exp_avg_sq[i] = v;
    }
}

GradNormSums grad_norm_scalar(const GradNormArgs& a) {
    double raw[8] = {}, clipped[8] = {};
    int64_t count = 0;
    for (int64_t i = 0; i < a.n; ++i) {
        const float g = a.grad[i];
        const double square = static_cast<double>(g) * static_cast<double>(g);
        raw[i & 7] += square;
        if (a.clip_theta <= 0.0f) continue;
        const float limit = a.clip_theta * (a.exp_avg_sq[i] + a.clip_floor);
        // Compared in float32 as the update does, so that count and update agree.
        const bool spike = g * g > limit;
        count += spike ? 1 : 0;
        clipped[i & 7] += spike ? static_cast<double>(limit) : square;
    }
    GradNormSums sums{0.0, 0.0, count};
    for (int lane = 0; lane < 8; ++lane) {
        sums.raw += raw[lane];
        sums.clipped += clipped[lane];
    }
    if (a.clip_theta <= 0.0f) sums.clipped = sums.raw;
    return sums;
}

}  // namespace knlp::kernels
