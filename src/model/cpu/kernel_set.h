#pragma once

#include "kernels/causal_attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout_mask.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/layer_norm.h"

namespace knlp::model {

/// The kernels of one instruction set.
struct KernelSet {
    kernels::GemmFn gemm;       // compute kF32
    kernels::GemmFn gemm_bf16;  // compute kBf16
    kernels::LayerNormFn norm_forward, norm_backward;
    kernels::CausalAttentionFn attention_forward, attention_backward;
    kernels::CrossEntropyFn cross_entropy;
    kernels::ColumnSumFn column_sum;
    kernels::EmbeddingFn embedding_forward, embedding_backward;
    kernels::DropoutMaskFn dropout_mask;
    kernels::DropoutBitsFn dropout_bits;
};

/// Those of isa(), as it is now.
const KernelSet& kernel_set();

}  // namespace knlp::model
