#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/causal_attention_simd.h"
#include "kernels/cpu/transpose_avx512.h"

namespace knlp::kernels {

namespace {

struct Attention512 : Avx512 {
    // 32 registers: 16 to 24 sums, up to 4 vectors of the right operand, 1 of the left one.
    static constexpr int kVectors = 4, kNarrowRows = 8, kPerWord = 1;
    static constexpr bool kScaleTakesAnything = true;

    static F multiply_add(F sum, F a, F b) { return fma(a, b, sum); }
    static void transpose(F (&rows)[16]) { transpose_16(rows); }
};

}  // namespace

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
