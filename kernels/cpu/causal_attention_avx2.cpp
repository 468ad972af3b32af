#include "kernels/cpu/simd_avx2.h"

#include "kernels/cpu/causal_attention_simd.h"

namespace knlp::kernels {

namespace {

struct Attention2 : Avx2 {
    // 16 registers: 12 sums, 3 vectors of the right operand, 1 of the left one.
    static constexpr int kVectors = 3, kNarrowRows = 4;
    static constexpr bool kScaleTakesAnything = false;
};

}  // namespace

void causal_attention_forward_avx2(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                   void* workspace) {
    forward_pairs<Attention2>(args, first, last, workspace);
}

void causal_attention_backward_avx2(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                    void* workspace) {
    backward_pairs<Attention2>(args, first, last, workspace);
}

}  // namespace knlp::kernels
