#pragma once

#include "cpu/product.h"

#include <ATen/core/Tensor.h>

namespace knlp::model {

/// The three products of a linear layer, y = x W^T + bias with W [N, K]. float32 on the CPU takes
/// the route of the blocks chosen in runtime.h; everything else takes ATen's. Matrices are 2-D; no
/// gradient is recorded.
at::Tensor gemm_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
/// dY [M, N], W [N, K] -> dX [M, K]
at::Tensor gemm_input(const at::Tensor& dy, const at::Tensor& weight);
/// dY [M, N], X [M, K] -> dW [N, K]
at::Tensor gemm_weight(const at::Tensor& dy, const at::Tensor& x);

/// False when this LibTorch has no oneDNN behind mkldnn::_linear_pointwise, or was told not to use
/// it.
bool onednn_available();

}  // namespace knlp::model
