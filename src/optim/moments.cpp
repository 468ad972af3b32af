#include "moments.h"

#include "kernels/adamw_step.h"
#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/memory.h"
#include "knlp/model/parameter.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

namespace knlp::optim {

namespace {

// Large enough to hide the call, small enough to balance two threads on a nano model.
constexpr int64_t kBlock = 65536;

kernels::AdamwStepFn step_kernel() {
    switch (isa()) {
        case Isa::kAvx512:
            return kernels::adamw_step_avx512;
        case Isa::kAvx2:
            return kernels::adamw_step_avx2;
        case Isa::kScalar:
            break;
    }
    return kernels::adamw_step_scalar;
}

kernels::GradNormFn norm_kernel() {
    switch (isa()) {
        case Isa::kAvx512:
            return kernels::grad_norm_avx512;
        case Isa::kAvx2:
            return kernels::grad_norm_avx2;
        case Isa::kScalar:
            break;
    }
    return kernels::grad_norm_scalar;
}

/// The gradient of a parameter as the kernels read it, kept in that form; undefined when it has
/// none.
at::Tensor plain_gradient(model::Parameter& parameter) {
    at::Tensor gradient = parameter.value.grad();
    if (!gradient.defined() || gradient.is_contiguous()) return gradient;
    gradient = gradient.contiguous();
    parameter.value.mutable_grad() = gradient;
    return gradient;
}

kernels::AdamwStepArgs step_args(const Update& u, double weight_decay) {
    const auto steps = static_cast<double>(u.bias_steps);
    const float decay = static_cast<float>(1.0 - u.lr * weight_decay);
    kernels::AdamwStepArgs args{};
    args.clip_theta = static_cast<float>(u.clip.theta);
    args.clip_floor = static_cast<float>(u.clip.floor);
    args.grad_scale = static_cast<float>(u.grad_scale);
    args.beta1 = static_cast<float>(u.beta1);
    args.one_minus_beta1 = static_cast<float>(1.0 - u.beta1);
    args.beta2 = static_cast<float>(u.beta2);
    args.one_minus_beta2 = static_cast<float>(1.0 - u.beta2);
    args.decay_before = u.decay_after ? 1.0f : decay;
    args.decay_after = u.decay_after ? decay : 1.0f;
    args.step_size = static_cast<float>(u.step_scale * u.lr / (1.0 - std::pow(u.beta1, steps)));
    args.sqrt_bias_correction2 = static_cast<float>(std::sqrt(1.0 - std::pow(u.beta2, steps)));
    args.epsilon = static_cast<float>(u.epsilon);
    return args;
}

/// The element clip by tensor operations, for devices without a kernel of ours.
at::Tensor clipped_gradient(const at::Tensor& gradient, const at::Tensor& second, double theta,
                            double floor) {
    if (theta <= 0) return gradient;
    const at::Tensor limit = (second + floor) * theta;
    return at::where(gradient * gradient > limit, at::copysign(limit.sqrt(), gradient), gradient);
}

/// A zero for every element of `like`. Huge pages: each step walks through all of it.
at::Tensor zeros_for(const at::Tensor& like) {
    at::Tensor zeros = at::empty_like(like);
    if (zeros.is_cpu()) prefer_huge_pages(zeros.data_ptr(), static_cast<int64_t>(zeros.nbytes()));
    return zeros.zero_();
}

}  // namespace

double clip_factor(double norm, double limit) {
    return limit > 0 ? std::min(1.0, limit / (norm + 1e-6)) : 1.0;
}

Moments::Moments(std::span<model::Parameter> parameters, double weight_decay, bool amsgrad) {
    for (model::Parameter& parameter : parameters) {
        KNLP_CHECK(parameter.value.defined() && parameter.value.is_contiguous() &&
                   parameter.value.scalar_type() == at::kFloat);
        Slot slot{.parameter = &parameter,
                  .weight_decay = parameter.spec.decay ? weight_decay : 0.0};
        const at::Tensor plain = parameter.value.detach();
        slot.exp_avg = zeros_for(plain);
        slot.exp_avg_sq = zeros_for(plain);
        if (amsgrad) slot.max_exp_avg_sq = zeros_for(plain);
        slots_.push_back(std::move(slot));
        if (!plain.is_cpu()) continue;
        for (int64_t begin = 0; begin < plain.numel(); begin += kBlock)
            blocks_.push_back({slots_.size() - 1, begin, std::min(kBlock, plain.numel() - begin)});
    }
}

GradientNorms Moments::norms(const ElementClip& clip) {
    std::vector<at::Tensor> gradients;
    for (Slot& slot : slots_) gradients.push_back(plain_gradient(*slot.parameter));
    std::vector<kernels::GradNormSums> sums(blocks_.size(), kernels::GradNormSums{});
    const kernels::GradNormFn kernel = norm_kernel();
    at::parallel_for(0, static_cast<int64_t>(blocks_.size()), 1, [&](int64_t first, int64_t last) {
        for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
            const Block& block = blocks_[i];
            if (!gradients[block.slot].defined()) continue;
            sums[i] = kernel(
                {.grad = gradients[block.slot].const_data_ptr<float>() + block.begin,
                 .exp_avg_sq = slots_[block.slot].exp_avg_sq.const_data_ptr<float>() + block.begin,
                 .n = block.count,
                 .clip_theta = static_cast<float>(clip.theta),
                 .clip_floor = static_cast<float>(clip.floor)});
        }
    });
    GradientNorms norms;
    size_t bad_slot = slots_.size();
    for (size_t i = 0; i < blocks_.size(); ++i) {
        norms.raw += sums[i].raw;
        norms.clipped += sums[i].clipped;
        norms.n_clipped += sums[i].n_clipped;
        if (!std::isfinite(sums[i].raw)) bad_slot = std::min(bad_slot, blocks_[i].slot);
    }
    for (size_t i = 0; i < slots_.size(); ++i) {
        if (!gradients[i].defined() || gradients[i].is_cpu()) continue;
        const at::Tensor kept =
            clipped_gradient(gradients[i], slots_[i].exp_avg_sq, clip.theta, clip.floor);
        const double raw = gradients[i].to(at::kDouble).square().sum().item<double>();
        norms.raw += raw;
        norms.clipped += kept.to(at::kDouble).square().sum().item<double>();
        norms.n_clipped += kept.ne(gradients[i]).sum().item<int64_t>();
        if (!std::isfinite(raw)) bad_slot = std::min(bad_slot, i);
    }
    norms.raw = std::sqrt(norms.raw);
    norms.clipped = std::sqrt(norms.clipped);
    if (bad_slot < slots_.size()) norms.first_bad = slots_[bad_slot].parameter->spec.name;
    return norms;
}

void Moments::update(const Update& u) {
    const at::NoGradGuard no_grad;
    const kernels::AdamwStepFn kernel = step_kernel();
    std::vector<at::Tensor> gradients;
    for (Slot& slot : slots_) gradients.push_back(plain_gradient(*slot.parameter));
    at::parallel_for(0, static_cast<int64_t>(blocks_.size()), 1, [&](int64_t first, int64_t last) {
        for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
            const Block& block = blocks_[i];
            Slot& slot = slots_[block.slot];
            if (!gradients[block.slot].defined()) continue;
            kernels::AdamwStepArgs args = step_args(u, slot.weight_decay);
            args.n = block.count;
            args.param = slot.parameter->value.data_ptr<float>() + block.begin;
            args.grad = gradients[block.slot].const_data_ptr<float>() + block.begin;
            args.exp_avg = slot.exp_avg.data_ptr<float>() + block.begin;
            args.exp_avg_sq = slot.exp_avg_sq.data_ptr<float>() + block.begin;
            if (slot.max_exp_avg_sq.defined())
                args.max_exp_avg_sq = slot.max_exp_avg_sq.data_ptr<float>() + block.begin;
            kernel(args);
        }
    });
    // The kernel writes behind the back of autograd; whoever keeps a copy of a weight (in bfloat16,
    // say) sees by the version that it is old.
    for (Slot& slot : slots_) slot.parameter->value.unsafeGetTensorImpl()->bump_version();
    for (size_t i = 0; i < slots_.size(); ++i) {
        if (!gradients[i].defined() || gradients[i].is_cpu()) continue;
        Slot& slot = slots_[i];
        const kernels::AdamwStepArgs a = step_args(u, slot.weight_decay);
        at::Tensor weight = slot.parameter->value;
        const at::Tensor g =
            clipped_gradient(gradients[i], slot.exp_avg_sq, u.clip.theta, u.clip.floor) *
            a.grad_scale;
        weight.mul_(a.decay_before);
        slot.exp_avg.mul_(a.beta1).add_(g * a.one_minus_beta1);
        slot.exp_avg_sq.mul_(a.beta2).add_(g * a.one_minus_beta2 * g);
        at::Tensor second = slot.exp_avg_sq;
        if (slot.max_exp_avg_sq.defined()) {
            slot.max_exp_avg_sq.copy_(at::maximum(slot.max_exp_avg_sq, second));
            second = slot.max_exp_avg_sq;
        }
        weight.sub_(slot.exp_avg / (second.sqrt() / a.sqrt_bias_correction2 + a.epsilon) *
                    a.step_size);
        weight.mul_(a.decay_after);
    }
}

void Moments::zero() {
    for (Slot& slot : slots_) {
        slot.exp_avg.zero_();
        slot.exp_avg_sq.zero_();
        // Kept, it would hold the denominator up and the reset of exp_avg_sq would change nothing.
        if (slot.max_exp_avg_sq.defined()) slot.max_exp_avg_sq.zero_();
    }
}

void Moments::scale(double first, double second) {
    for (Slot& slot : slots_) {
        slot.exp_avg.mul_(first);
        slot.exp_avg_sq.mul_(second);
    }
}

std::vector<NamedState> Moments::tensors() {
    std::vector<NamedState> all;
    for (Slot& slot : slots_) {
        const std::string& name = slot.parameter->spec.name;
        all.push_back({name, "exp_avg", slot.exp_avg});
        all.push_back({name, "exp_avg_sq", slot.exp_avg_sq});
        if (slot.max_exp_avg_sq.defined())
            all.push_back({name, "max_exp_avg_sq", slot.max_exp_avg_sq});
    }
    return all;
}

}  // namespace knlp::optim
