#include "kernels/cpu/simd_avx2.h"

#include "kernels/cpu/causal_attention_simd.h"

namespace knlp::kernels {

namespace {

struct Attention2 : Avx2 {
    // 16 registers: 12 sums, 3 vectors of the right operand, 1 of the left one.
    static constexpr int kVectors = 3, kNarrowRows = 4;
    static constexpr bool kScaleTakesAnything = false;

    static F load_aligned(const float* p) { return _mm256_load_ps(p); }
    static F lane_numbers() { return _mm256_set_ps(7, 6, 5, 4, 3, 2, 1, 0); }
    /// The exponent of x, and m = x / 2^exponent of [0.75, 1.5).
    static F split(F x, F& m) {
        const __m256i bits = _mm256_castps_si256(x);
        const __m256i e =
            _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f400000)), 23);
        m = _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(e, 23)));
        return _mm256_cvtepi32_ps(e);
    }
    static void transpose(F (&r)[8]) {
        F s[8];
        for (int i = 0; i < 8; i += 2) {
            s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
            s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        }
        for (int i = 0; i < 8; i += 4)
            for (int j = 0; j < 2; ++j) {
                r[i + 2 * j] = _mm256_shuffle_ps(s[i + j], s[i + j + 2], 0x44);
                r[i + 2 * j + 1] = _mm256_shuffle_ps(s[i + j], s[i + j + 2], 0xee);
            }
        // r[4 g + c] holds columns c and c + 4 of rows 4 g .. 4 g + 3.
        for (int c = 0; c < 4; ++c) {
            s[c] = _mm256_permute2f128_ps(r[c], r[c + 4], 0x20);
            s[c + 4] = _mm256_permute2f128_ps(r[c], r[c + 4], 0x31);
        }
        for (int c = 0; c < 8; ++c) r[c] = s[c];
    }
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
