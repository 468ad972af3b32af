#pragma once

#include "cpu/dropout_site.h"

#include "knlp/config/model.h"
#include "knlp/model/attention.h"
#include "knlp/model/parameter.h"

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace knlp::model {

/// y = x W^T + bias over the last dimension, x [.., in] -> [.., out]. With bf16 the product and its
/// result are bfloat16 (accumulated in fp32), as are both products of the backward pass; gradients
/// of weight and bias come back in fp32.
class Linear {
public:
    Linear(const Parameter* weight, const Parameter* bias) : weight_(weight), bias_(bias) {}
    at::Tensor operator()(const at::Tensor& x, bool bf16);
    /// The weight in bfloat16, converted again only after the weight has changed.
    const at::Tensor& low_precision_weight();
    const at::Tensor& weight() const { return weight_->value; }

private:
    const Parameter* weight_;
    const Parameter* bias_;  // null: none
    at::Tensor low_;
    const void* low_of_ = nullptr;  // storage and version that low_ was made from
    int64_t low_version_ = -1;
};

/// Normalizes the last dimension: (x - mean) / sqrt(variance + epsilon) * weight + bias.
struct LayerNorm {
    const Parameter* weight;
    const Parameter* bias;  // null: none
    double epsilon;
    at::Tensor operator()(const at::Tensor& x) const;
};

at::Tensor gelu(const at::Tensor& x, config::Gelu form);

/// The next site of the pass.
DropoutSite next_site(ForwardContext& context);

/// Element e of line i (line number first_line + i) is zeroed with probability rate, else scaled by
/// 1 / (1 - rate); x [lines, width] contiguous. The backward pass is the same function of dy.
at::Tensor apply_dropout(const at::Tensor& x, const DropoutSite& site, int64_t first_line);

/// Residual dropout of x [B, T, C]; x itself when not training or the rate is 0, but the site is
/// used up.
at::Tensor dropout(const at::Tensor& x, ForwardContext& context);

/// How head_loss works through the rows.
struct HeadOptions {
    int64_t vocab_size = 0;  // columns from here on are padding
    int64_t chunk = 0;       // rows of logits held at once; 0 = all
    double divisor = 0.0;    // 0: the number of targets != -1
    bool bf16 = false;
};
/// Mean cross-entropy of softmax(hidden W^T) at targets, in nats. hidden [R, C], targets [R] int64
/// with -1 for none. Gradients of both are made in the forward pass, chunk by chunk, so that no
/// more than one chunk of logits exists. No targets at all: 0.
at::Tensor head_loss(const at::Tensor& hidden, Linear& head, const at::Tensor& targets,
                     const HeadOptions& options);
/// -log p of each target, 0 where it is -1; [R], no gradient.
at::Tensor head_nll(const at::Tensor& hidden, Linear& head, const at::Tensor& targets,
                    const HeadOptions& options);
/// hidden [R, C] -> logits [R, V], padding columns -inf. fp32 unless hidden is wider.
at::Tensor head_logits(const at::Tensor& hidden, Linear& head, int64_t vocab_size, bool bf16);

}  // namespace knlp::model
