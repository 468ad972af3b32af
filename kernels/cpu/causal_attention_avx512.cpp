#include "kernels/cpu/attention_vectors_avx512.h"

#include "kernels/cpu/causal_attention_simd.h"

namespace knlp::kernels {

void causal_attention_forward_avx512(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                     void* workspace) {
    for (int64_t pair = first; pair < last; ++pair) {
        if (args.type == Storage::kF32)
            forward_pair<Attention512, float>(args, pair, workspace);
        else
            forward_pair<Attention512, uint16_t>(args, pair, workspace);
    }
}

void causal_attention_backward_avx512(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                      void* workspace) {
    for (int64_t pair = first; pair < last; ++pair) {
        if (args.type == Storage::kF32)
            backward_pair<Attention512, float>(args, pair, workspace);
        else
            backward_pair<Attention512, uint16_t>(args, pair, workspace);
    }
}

}  // namespace knlp::kernels
