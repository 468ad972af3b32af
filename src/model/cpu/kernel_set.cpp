#include "kernel_set.h"

#include "knlp/core/host.h"

namespace knlp::model {

namespace {

using namespace kernels;

constexpr KernelSet kScalarSet = {gemm_scalar,
                                  gemm_scalar,
                                  layer_norm_forward_scalar,
                                  layer_norm_backward_scalar,
                                  causal_attention_forward_scalar,
                                  causal_attention_backward_scalar,
                                  cross_entropy_scalar,
                                  column_sum_scalar,
                                  embedding_forward_scalar,
                                  embedding_backward_scalar,
                                  dropout_mask_scalar,
                                  dropout_bits_scalar};
constexpr KernelSet kAvx2Set = {gemm_avx2,
                                gemm_avx2,
                                layer_norm_forward_avx2,
                                layer_norm_backward_avx2,
                                causal_attention_forward_avx2,
                                causal_attention_backward_avx2,
                                cross_entropy_avx2,
                                column_sum_avx2,
                                embedding_forward_avx2,
                                embedding_backward_avx2,
                                dropout_mask_avx2,
                                dropout_bits_avx2};

KernelSet avx512_set() {
    return {
        gemm_avx512,
        has_avx512_bf16() ? gemm_avx512_bf16 : gemm_avx512,
        layer_norm_forward_avx512,
        layer_norm_backward_avx512,
        has_avx512_bf16() ? causal_attention_forward_avx512_bf16 : causal_attention_forward_avx512,
        has_avx512_bf16() ? causal_attention_backward_avx512_bf16
                          : causal_attention_backward_avx512,
        cross_entropy_avx512,
        column_sum_avx512,
        embedding_forward_avx512,
        embedding_backward_avx512,
        dropout_mask_avx512,
        dropout_bits_avx512};
}

}  // namespace

const KernelSet& kernel_set() {
    static const KernelSet avx512 = avx512_set();
    switch (isa()) {
        case Isa::kAvx512:
            return avx512;
        case Isa::kAvx2:
            return kAvx2Set;
        case Isa::kScalar:
            break;
    }
    return kScalarSet;
}

}  // namespace knlp::model
