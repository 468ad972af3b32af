#pragma once

#include <cstdint>

namespace knlp::kernels {

/// One AdamW update of n values, with the two changes of SPAM (docs/optimizers.md) folded in.
///
/// For every i, all in float32 and in this order on every backend, without fused multiply-add:
///   g = grad
///   limit = clip_theta * (v + clip_floor)
///   if (clip_theta > 0 && g*g > limit) g = sign(g) sqrt(limit)
///   g = g * grad_scale
///   w = param * decay_before
///   m = beta1 * m + one_minus_beta1 * g
///   v = beta2 * v + (one_minus_beta2 * g) * g
///   d = v, or with max_exp_avg_sq: max_exp_avg_sq = max(max_exp_avg_sq, v)
///   w = w - step_size * (m / (sqrt(d) / sqrt_bias_correction2 + epsilon))
///   param = w * decay_after
/// Hence all backends give the same bits. 28 bytes move per value (read w g m v, write w m v), 36
/// with max_exp_avg_sq; about 15 operations, so memory limits it.
struct AdamwStepArgs {
    float* param;           // [n]
    const float* grad;      // [n]
    float* exp_avg;         // [n]
    float* exp_avg_sq;      // [n]
    float* max_exp_avg_sq;  // [n], or null without AMSGrad
    int64_t n;
    float clip_theta, clip_floor;  // clip_theta 0: no element is clipped
    float grad_scale;              // factor of the global-norm clip
    float beta1, one_minus_beta1, beta2, one_minus_beta2;
    float decay_before, decay_after;  // 1 - lr * weight_decay, or 1
    float step_size;                  // lr / bias_correction1
    float sqrt_bias_correction2, epsilon;
};

/// Sums over one gradient, in double. Partial sums are kept in 8 lanes (i mod 8) on every backend
/// and added lane 0 to 7, so all backends give the same bits.
struct GradNormArgs {
    const float* grad;        // [n]
    const float* exp_avg_sq;  // [n]; read only when clip_theta > 0
    int64_t n;
    float clip_theta, clip_floor;
};
struct GradNormSums {
    double raw;         // sum of g^2; inf or nan when a value is not finite
    double clipped;     // the same after the element clip
    int64_t n_clipped;  // elements the clip changed
};

using AdamwStepFn = void (*)(const AdamwStepArgs&);
using GradNormFn = GradNormSums (*)(const GradNormArgs&);

void adamw_step_scalar(const AdamwStepArgs& args);
void adamw_step_avx2(const AdamwStepArgs& args);
void adamw_step_avx512(const AdamwStepArgs& args);
GradNormSums grad_norm_scalar(const GradNormArgs& args);
GradNormSums grad_norm_avx2(const GradNormArgs& args);
GradNormSums grad_norm_avx512(const GradNormArgs& args);

}  // namespace knlp::kernels
