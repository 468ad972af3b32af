#pragma once

#include "../layers.h"

#include <ATen/core/Tensor.h>

namespace knlp::model {

/// softmax(q k^T / sqrt(D) + mask) v, three ways of the same law. q [B, H, T, D], k and v [B, H, S,
/// D], result [B, H, T, D].

/// LibTorch's fused attention. `mask` [.., T, S] bool (true = visible), or undefined: causal when T
/// > 1 and then S must equal T.
at::Tensor attend_fused(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const at::Tensor& mask);

/// Scores written out, every step an ATen operation: any type, any device, twice differentiable.
/// Masks as above; `site` drops attention probabilities when its rate is not 0 (mask undefined only
/// then).
at::Tensor attend_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& mask, const DropoutSite& site, int64_t first_row);

/// Causal attention with dropout of its probabilities, for training. Works through blocks of
/// queries and makes scores and masks again in the backward pass, so that nothing of size T x T
/// outlives a block.
at::Tensor attend_dropout(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const DropoutSite& site, int64_t first_row);

/// Queries of a block of attend_dropout.
inline constexpr int64_t kQueryBlock = 128;

}  // namespace knlp::model
