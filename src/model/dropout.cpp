#include "cpu/kernel_set.h"
#include "cuda_device.h"
#include "layers.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace knlp::model {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

kernels::DropoutMaskArgs arguments(const DropoutSite& site, int64_t first_line) {
    kernels::DropoutMaskArgs a;
    static_cast<kernels::DropoutStream&>(a) = dropout_stream(site, first_line);
    a.scale = dropout_scale(site);
    return a;
}

at::Tensor on_cpu(const at::Tensor& x, const kernels::DropoutMaskArgs& shared) {
    const int64_t width = x.size(-1), lines = x.numel() / width;
    at::Tensor y = at::empty_like(x, at::MemoryFormat::Contiguous);
    const float* from = x.const_data_ptr<float>();
    float* to = y.mutable_data_ptr<float>();
    const kernels::DropoutMaskFn fill = kernel_set().dropout_mask;
    const int64_t grain = std::max<int64_t>(1, 16384 / width);
    at::parallel_for(0, lines, grain, [&](int64_t begin, int64_t end) {
        kernels::DropoutMaskArgs part = shared;
        part.x = from + begin * width;
        part.y = to + begin * width;
        part.lines = end - begin;
        part.width = width;
        part.first_line += static_cast<uint64_t>(begin);
        fill(part);
    });
    return y;
}

at::Tensor on_cuda(const at::Tensor& x, kernels::DropoutMaskArgs args) {
    at::Tensor y = at::empty_like(x, at::MemoryFormat::Contiguous);
    args.x = x.const_data_ptr<float>();
    args.y = y.mutable_data_ptr<float>();
    args.width = x.size(-1);
    args.lines = x.numel() / args.width;
    dropout_mask_on_cuda(args, x.get_device());
    return y;
}

at::Tensor low32(const at::Tensor& t) {
    return t.bitwise_and(int64_t{0xFFFFFFFF});
}

/// High half of a 32 by 32 bit product held in int64: split, since the whole product has 64 bits
/// and >> keeps the sign.
at::Tensor high32(const at::Tensor& t) {
    return low32(t.bitwise_right_shift(32));
}

/// The same mask by ATen operations on int64, for devices without a kernel and for other types.
at::Tensor keep_mask(int64_t lines, int64_t width, const kernels::DropoutMaskArgs& a,
                     at::Device device) {
    const auto options = at::TensorOptions().dtype(at::kLong).device(device);
    const at::Tensor e = at::arange(width, options).view({1, -1});
    const at::Tensor line =
        at::arange(lines, options).view({-1, 1}) + static_cast<int64_t>(a.first_line);
    const at::Tensor lane = e.remainder(16), part = e.div(16, "floor").remainder(8);
    const at::Tensor zero = at::zeros({lines, width}, options);
    at::Tensor c0 = zero + e.div(128, "floor") * 16 + lane, c1 = zero + low32(line);
    at::Tensor c2 = zero + high32(line).bitwise_and(0xFFFF) + (int64_t{a.site} << 16);
    at::Tensor c3 = zero + int64_t{a.step};
    uint32_t k0 = a.key[0], k1 = a.key[1];
    for (int round = 0; round < 10; ++round) {
        const at::Tensor p0 = c0 * int64_t{0xD2511F53}, p1 = c2 * int64_t{0xCD9E8D57};
        c0 = high32(p1).bitwise_xor(c1).bitwise_xor(int64_t{k0});
        c2 = high32(p0).bitwise_xor(c3).bitwise_xor(int64_t{k1});
        c1 = low32(p1);
        c3 = low32(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const at::Tensor word = part.div(2, "floor");
    const at::Tensor chosen =
        at::where(word.eq(0), c0, at::where(word.eq(1), c1, at::where(word.eq(2), c2, c3)));
    const at::Tensor u = chosen.bitwise_right_shift(part.remainder(2) * 16).bitwise_and(0xFFFF);
    return u.ge(int64_t{a.threshold});
}

struct DropoutFunction : torch::autograd::Function<DropoutFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                              const DropoutSite& site, int64_t first_line) {
        context->saved_data["seed"] = static_cast<int64_t>(site.seed);
        context->saved_data["step"] = site.step;
        context->saved_data["site"] = site.site;
        context->saved_data["rate"] = site.rate;
        context->saved_data["line"] = first_line;
        return apply_dropout(x, site, first_line);
    }
    static variable_list backward(AutogradContext* context, variable_list gradients) {
        auto& saved = context->saved_data;
        const DropoutSite site = {.seed = static_cast<uint64_t>(saved["seed"].toInt()),
                                  .step = saved["step"].toInt(),
                                  .site = saved["site"].toInt(),
                                  .rate = saved["rate"].toDouble()};
        return {apply_dropout(gradients[0].contiguous(), site, saved["line"].toInt()), {}, {}};
    }
};

}  // namespace

DropoutSite next_site(ForwardContext& context) {
    return {.seed = context.seed,
            .step = context.step,
            .site = context.dropout_site++,
            .rate = context.training ? context.dropout : 0.0};
}

at::Tensor apply_dropout(const at::Tensor& x, const DropoutSite& site, int64_t first_line) {
    const kernels::DropoutMaskArgs args = arguments(site, first_line);
    const bool plain = x.scalar_type() == at::kFloat && x.is_contiguous();
    if (x.is_cpu() && plain) return on_cpu(x, args);
    if (x.is_cuda() && plain) return on_cuda(x, args);
    const int64_t width = x.size(-1);
    const at::Tensor keep = keep_mask(x.numel() / width, width, args, x.device()).view(x.sizes());
    // where and not a product: what is dropped is 0 even if it was not finite, as in the kernels.
    return at::where(keep, x * double{args.scale}, at::zeros({}, x.options()));
}

at::Tensor dropout(const at::Tensor& x, ForwardContext& context) {
    const DropoutSite site = next_site(context);
    if (site.rate == 0.0) return x;
    // The residual stream is fp32, so a bfloat16 branch is widened before its mask, not after.
    const at::Tensor wide = x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x;
    return DropoutFunction::apply(wide.contiguous(), site, context.first_row * x.size(1));
}

}  // namespace knlp::model
