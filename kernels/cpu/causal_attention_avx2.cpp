#include "kernels/cpu/attention_vectors_avx2.h"

#include "kernels/cpu/causal_attention_simd.h"

namespace knlp::kernels {

void causal_attention_forward_avx2(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                   void* workspace) {
    for (int64_t pair = first; pair < last; ++pair) {
        if (args.type == Storage::kF32)
            forward_pair<Attention2, float>(args, pair, workspace);
        else
            forward_pair<Attention2, uint16_t>(args, pair, workspace);
    }
}

void causal_attention_backward_avx2(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                    void* workspace) {
    for (int64_t pair = first; pair < last; ++pair) {
        if (args.type == Storage::kF32)
            backward_pair<Attention2, float>(args, pair, workspace);
        else
            backward_pair<Attention2, uint16_t>(args, pair, workspace);
    }
}

}  // namespace knlp::kernels
