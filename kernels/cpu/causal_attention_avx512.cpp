#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/causal_attention_simd.h"

namespace knlp::kernels {

namespace {

struct Attention512 : Avx512 {
    // 32 registers: 16 to 24 sums, up to 4 vectors of the right operand, 1 of the left one.
    static constexpr int kVectors = 4, kNarrowRows = 8;
    static constexpr bool kScaleTakesAnything = true;
};

}  // namespace

void causal_attention_forward_avx512(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                     void* workspace) {
    forward_pairs<Attention512>(args, first, last, workspace);
}

void causal_attention_backward_avx512(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                      void* workspace) {
    backward_pairs<Attention512>(args, first, last, workspace);
}

}  // namespace knlp::kernels
