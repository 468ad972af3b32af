// The output head and its loss in row chunks: logits are turned into their own gradient in place,
// so that no more than one chunk of them exists, and the backward pass only scales what was made.

#include "layers.h"

#include "gemm.h"

#include <torch/csrc/autograd/custom_function.h>

#include <limits>

namespace knlp::model {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// hidden [r, C] -> logits [r, V padded] in fp32 (float64 stays), padding columns -inf.
at::Tensor chunk_logits(const at::Tensor& hidden, const at::Tensor& weight, int64_t vocab_size) {
    at::Tensor logits = gemm_forward(hidden, weight, {});
    if (logits.scalar_type() == at::kBFloat16) logits = logits.to(at::kFloat);
    const int64_t columns = logits.size(1);
    if (columns > vocab_size)
        logits.narrow(1, vocab_size, columns - vocab_size)
            .fill_(-std::numeric_limits<double>::infinity());
    return logits;
}

/// Turns logits into exp(logits - max) in place; returns {-log p(target), sum of the row}, each [r,
/// 1].
std::pair<at::Tensor, at::Tensor> softmax_parts(at::Tensor& logits, const at::Tensor& targets) {
    logits.sub_(logits.amax({1}, true));
    const at::Tensor at_target = logits.gather(1, targets);
    logits.exp_();
    const at::Tensor sum = logits.sum({1}, true);
    return {sum.log() - at_target, sum};
}

struct Rows {
    at::Tensor targets;  // [R, 1], -1 replaced by 0
    at::Tensor valid;    // [R, 1], 1 or 0 in the type of the loss
};
Rows rows_of(const at::Tensor& targets, at::ScalarType type) {
    const at::Tensor column = targets.reshape({-1, 1});
    return {column.clamp_min(0), column.ne(-1).to(type)};
}

at::ScalarType loss_type(const at::Tensor& hidden) {
    return hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Loss and, when wanted, dX and dW of its mean.
struct HeadLossFunction : torch::autograd::Function<HeadLossFunction> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& hidden,
                              const at::Tensor& weight, const std::optional<at::Tensor>& low,
                              const at::Tensor& targets, const HeadOptions& options,
                              bool gradients) {
        const at::ScalarType type = loss_type(hidden);
        const at::Tensor input = low ? hidden.to(at::kBFloat16) : hidden;
        const at::Tensor& factor = low ? *low : weight;
        const Rows rows = rows_of(targets, type);
        const at::Tensor count = options.divisor > 0
                                     ? at::full({}, options.divisor, rows.valid.options())
                                     : rows.valid.sum().clamp_min(1);
        const at::Tensor share = rows.valid / count;  // what each row weighs in the mean
        const int64_t n_rows = input.size(0), chunk = options.chunk > 0 ? options.chunk : n_rows;

        at::Tensor nll = at::empty({n_rows, 1}, rows.valid.options()), dx, dw;
        if (gradients) dx = at::empty_like(input, hidden.options());
        for (int64_t first = 0; first < n_rows; first += chunk) {
            const int64_t n = std::min(chunk, n_rows - first);
            const at::Tensor h = input.narrow(0, first, n), t = rows.targets.narrow(0, first, n);
            const at::Tensor s = share.narrow(0, first, n);
            at::Tensor logits = chunk_logits(h, factor, options.vocab_size);
            const auto [row_nll, sum] = softmax_parts(logits, t);
            nll.narrow(0, first, n).copy_(row_nll);
            if (!gradients) continue;
            logits.mul_(s / sum);  // share * (softmax - one hot)
            logits.scatter_add_(1, t, -s);
            const at::Tensor d = low ? logits.to(at::kBFloat16) : logits;
            dx.narrow(0, first, n).copy_(gemm_input(d, factor));
            const at::Tensor part = gemm_weight(d, h);
            if (first == 0)
                dw = part.to(weight.scalar_type());
            else
                dw.add_(part);
        }
        if (gradients) context->save_for_backward({dx, dw});
        return (nll * share).sum();
    }

    static variable_list backward(AutogradContext* context, variable_list gradients) {
        variable_list saved = context->get_saved_variables();
        const at::Tensor& scale = gradients[0];
        // On the CPU the usual factor 1 is worth looking for: dW is as large as the embedding.
        if (!scale.is_cpu() || scale.item<double>() != 1.0)
            for (at::Tensor& t : saved) t = t.mul(scale);
        return {saved[0], saved[1], {}, {}, {}, {}};
    }
};

}  // namespace

at::Tensor head_loss(const at::Tensor& hidden, Linear& head, const at::Tensor& targets,
                     const HeadOptions& options) {
    const bool gradients =
        at::GradMode::is_enabled() && (hidden.requires_grad() || head.weight().requires_grad());
    std::optional<at::Tensor> low;
    if (options.bf16) low = head.low_precision_weight();
    return HeadLossFunction::apply(hidden, head.weight(), low, targets, options, gradients);
}

at::Tensor head_nll(const at::Tensor& hidden, Linear& head, const at::Tensor& targets,
                    const HeadOptions& options) {
    at::NoGradGuard no_grad;
    const Rows rows = rows_of(targets, loss_type(hidden));
    const at::Tensor input = options.bf16 ? hidden.to(at::kBFloat16) : hidden;
    const at::Tensor& weight = options.bf16 ? head.low_precision_weight() : head.weight();
    const int64_t n_rows = input.size(0), chunk = options.chunk > 0 ? options.chunk : n_rows;
    at::Tensor nll = at::empty({n_rows, 1}, rows.valid.options());
    for (int64_t first = 0; first < n_rows; first += chunk) {
        const int64_t n = std::min(chunk, n_rows - first);
        at::Tensor logits = chunk_logits(input.narrow(0, first, n), weight, options.vocab_size);
        nll.narrow(0, first, n)
            .copy_(softmax_parts(logits, rows.targets.narrow(0, first, n)).first);
    }
    return (nll * rows.valid).view({-1});
}

at::Tensor head_logits(const at::Tensor& hidden, Linear& head, int64_t vocab_size, bool bf16) {
    const at::Tensor logits = head(hidden, bf16);
    const at::Tensor wide = bf16 ? logits.to(at::kFloat) : logits;
    const int64_t columns = wide.size(1);
    if (columns == vocab_size) return wide;
    const at::Tensor padding = at::full({wide.size(0), columns - vocab_size},
                                        -std::numeric_limits<double>::infinity(), wide.options());
    return at::cat({wide.narrow(1, 0, vocab_size), padding}, 1);
}

}  // namespace knlp::model
