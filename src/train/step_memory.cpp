#include "knlp/train/step_memory.h"

#include "knlp/core/memory.h"
#include "knlp/model/gpt2.h"
#include "knlp/optim/optimizer.h"

#include <fmt/format.h>

#include <algorithm>

namespace knlp::train {

namespace {

std::string activations_name(const StepShape& shape) {
    return fmt::format("activations of {} x {} tokens", shape.micro, shape.model.n_ctx);
}

/// Activations, gradients and copies of weights of our own passes, which hold buffers of known
/// sizes; nothing where they do not serve.
std::vector<MemoryTerm> own_pass_terms(const StepShape& shape) {
    const auto buffers = [&](bool bf16, bool training) {
        return model::pass_bytes(shape.model, shape.micro, shape.model.n_ctx, bf16, training,
                                 shape.threads);
    };
    if (shape.watched || !shape.device.is_cpu() || buffers(shape.bf16, true) == 0) return {};
    return {{"gradients", 4 * model::parameter_count(shape.model)},
            {activations_name(shape),
             std::max(buffers(shape.bf16, true), buffers(shape.eval_bf16, false))}};
}

/// The same where LibTorch's operations allocate what they need. What they free lies between what
/// is in use, up to the amount that keep_freed_memory() lets stand.
std::vector<MemoryTerm> autograd_terms(const StepShape& shape) {
    const config::Model& model = shape.model;
    const int64_t weights = 4 * model::parameter_count(model);
    const auto activations = [&](bool gradients) {
        return model::activation_bytes(model, shape.micro, model.n_ctx, gradients, shape.device);
    };
    const int64_t training = activations(true), evaluation = activations(false);
    // Within one micro-batch the backward pass frees activations faster than it adds gradients, but
    // for that of the head, which comes first; with accumulation all gradients are there from the
    // second on.
    const int64_t gradients =
        shape.accumulates ? weights : 4 * model.padded_vocab() * model.d_model;
    std::vector<MemoryTerm> terms = {{"gradients", gradients},
                                     {activations_name(shape), std::max(training, evaluation)}};
    if (shape.bf16) terms.push_back({"weights in bfloat16", weights / 2});
    if (shape.device.is_cpu())
        terms.push_back(
            {"freed and kept", std::min(kMostFreedKept, std::max(training, evaluation) / 5)});
    return terms;
}

}  // namespace

int64_t optimizer_bytes(const config::Optimizer& optimizer, const config::Model& model) {
    const int64_t tensors = optim::optimizer_type(optimizer.name).state_tensors(optimizer);
    return 4 * tensors * model::parameter_count(model);
}

MemoryEstimate step_memory(const StepShape& shape, int64_t held) {
    MemoryEstimate estimate;
    estimate.terms = own_pass_terms(shape);
    if (estimate.terms.empty()) estimate.terms = autograd_terms(shape);
    estimate.terms.push_back({"weights", 4 * model::parameter_count(shape.model)});
    estimate.terms.push_back({"optimizer state", optimizer_bytes(shape.optimizer, shape.model)});
    estimate.terms.push_back(
        {"program and libraries", (shape.device.is_cpu() ? held : 0) + kFirstOperations});
    return estimate;
}

}  // namespace knlp::train
