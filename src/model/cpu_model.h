#pragma once

#include "cpu/pass.h"

#include "knlp/config/model.h"
#include "knlp/model/attention.h"
#include "knlp/model/parameter.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace knlp::model {

/// The passes of cpu/pass.h on the parameters of a model.
class CpuModel {
public:
    /// `parameters` outlives this.
    CpuModel(const config::Model& model, std::vector<Parameter>& parameters)
        : model_(model), parameters_(parameters), pass_(model) {}

    /// True when these passes compute what the tensor operations of gpt2.cpp do: float32 parameters
    /// on the CPU, plain causal attention. token_nll has no dropout.
    bool can_train() const;
    bool can_score(const ForwardContext& context) const;
    /// Mean loss, and its gradients in .grad of every parameter: instead of what is there when
    /// `fresh`, else added to it. ids, targets [B, T].
    PassLoss loss_and_gradients(const at::Tensor& ids, const at::Tensor& targets,
                                const ForwardContext& context, double divisor, bool fresh);
    /// -log p of each target, [B, T].
    at::Tensor token_nll(const at::Tensor& ids, const at::Tensor& targets,
                         const ForwardContext& context);

private:
    ModelWeights weights(bool gradients, bool fresh);
    double dropout(const ForwardContext& context) const;

    config::Model model_;
    std::vector<Parameter>& parameters_;
    CpuPass pass_;
};

}  // namespace knlp::model
