// g++ 12 takes the undefined pass-through operand of its own intrinsics for a fault (GCC bug
// 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/causal_attention_simd.h"

namespace knlp::kernels {

namespace {

struct Attention512 : Avx512 {
    // 32 registers: 16 to 24 sums, up to 4 vectors of the right operand, 1 of the left one.
    static constexpr int kVectors = 4, kNarrowRows = 8;
    static constexpr bool kScaleTakesAnything = true;

    static F load_aligned(const float* p) { return _mm512_load_ps(p); }
    static F lane_numbers() {
        return _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    }
    /// The exponent of x, and m = x / 2^exponent of [0.75, 1.5).
    static F split(F x, F& m) {
        const __m512i bits = _mm512_castps_si512(x);
        const __m512i e =
            _mm512_srai_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f400000)), 23);
        m = _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(e, 23)));
        return _mm512_cvtepi32_ps(e);
    }
    static void transpose(F (&r)[16]) {
        F s[16];
        for (int i = 0; i < 16; i += 2) {
            s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
            s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
        }
        for (int i = 0; i < 16; i += 4)
            for (int j = 0; j < 2; ++j) {
                const __m512d a = _mm512_castps_pd(s[i + j]), b = _mm512_castps_pd(s[i + j + 2]);
                r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        // r[4 g + c] holds columns c, c + 4, c + 8, c + 12 of rows 4 g .. 4 g + 3.
        for (int c = 0; c < 4; ++c) {
            s[c] = _mm512_shuffle_f32x4(r[c], r[c + 4], 0x88);
            s[c + 4] = _mm512_shuffle_f32x4(r[c], r[c + 4], 0xdd);
            s[c + 8] = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0x88);
            s[c + 12] = _mm512_shuffle_f32x4(r[c + 8], r[c + 12], 0xdd);
        }
        for (int c = 0; c < 4; ++c) {
            r[c] = _mm512_shuffle_f32x4(s[c], s[c + 8], 0x88);
            r[c + 8] = _mm512_shuffle_f32x4(s[c], s[c + 8], 0xdd);
            r[c + 4] = _mm512_shuffle_f32x4(s[c + 4], s[c + 12], 0x88);
            r[c + 12] = _mm512_shuffle_f32x4(s[c + 4], s[c + 12], 0xdd);
        }
    }
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
