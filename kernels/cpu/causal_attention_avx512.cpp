#include "kernels/causal_attention.h"

namespace knlp::kernels {

void causal_attention_forward_avx512(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                     void* workspace) {
    causal_attention_forward_scalar(args, first, last, workspace);
}

void causal_attention_backward_avx512(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                      void* workspace) {
    causal_attention_backward_scalar(args, first, last, workspace);
}

}  // namespace knlp::kernels
