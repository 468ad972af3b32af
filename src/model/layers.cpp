#include "layers.h"

#include "gemm.h"

#include <torch/csrc/autograd/custom_function.h>

namespace knlp::model {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// x [M, K], weight [N, K], bias [N] or none -> [M, N]. `low` is the bfloat16 weight, or none.
struct LinearFunction : torch::autograd::Function<LinearFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                              const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                              const std::optional<at::Tensor>& low) {
        const bool bf16 = low.has_value();
        const at::Tensor input = bf16 ? x.to(at::kBFloat16) : x;
        // The weight may change after this pass only once its gradient is made: autograd checks.
        context->save_for_backward({input, weight, low.value_or(at::Tensor())});
        context->saved_data["bias"] = bias.has_value();
        const at::Tensor shift = bias ? bias->to(input.scalar_type()) : at::Tensor();
        return gemm_forward(input, bf16 ? *low : weight, shift);
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const variable_list saved = context->get_saved_variables();
        const at::Tensor& input = saved[0];
        const bool bf16 = saved[2].defined();
        const at::Tensor dy = gradients[0].contiguous();
        at::Tensor dx, dw, db;
        if (context->needs_input_grad(0)) dx = gemm_input(dy, bf16 ? saved[2] : saved[1]);
        if (context->needs_input_grad(1)) dw = gemm_weight(dy, input).to(saved[1].scalar_type());
        if (context->saved_data["bias"].toBool())
            db = at::sum(dy, {0}, false, saved[1].scalar_type());
        return {dx, dw, db, at::Tensor()};
    }
};

}  // namespace

const at::Tensor& Linear::low_precision_weight() {
    const at::Tensor& w = weight_->value;
    const auto version = static_cast<int64_t>(w._version());
    if (low_of_ != w.data_ptr() || low_version_ != version) {
        low_ = w.detach().to(at::kBFloat16);
        low_of_ = w.data_ptr();
        low_version_ = version;
    }
    return low_;
}

at::Tensor Linear::operator()(const at::Tensor& x, bool bf16) {
    std::optional<at::Tensor> bias, low;
    if (bias_ != nullptr) bias = bias_->value;
    if (bf16) low = low_precision_weight();
    std::vector<int64_t> shape = x.sizes().vec();
    const at::Tensor rows = x.reshape({-1, shape.back()});
    shape.back() = weight_->value.size(0);
    return LinearFunction::apply(rows, weight_->value, bias, low).view(shape);
}

at::Tensor LayerNorm::operator()(const at::Tensor& x) const {
    const at::Tensor& w = weight->value;
    return at::layer_norm(x, {w.size(0)}, w, bias != nullptr ? bias->value : at::Tensor(), epsilon);
}

at::Tensor gelu(const at::Tensor& x, config::Gelu form) {
    return at::gelu(x, form == config::Gelu::kTanh ? "tanh" : "none");
}

}  // namespace knlp::model
