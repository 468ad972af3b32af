// The products of bfloat16 tensors by vdpbf16ps: two multiply-adds a lane, the operands as they lie
// in memory, with half the bytes.
#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/causal_attention_simd.h"
#include "kernels/cpu/transpose_avx512.h"

namespace knlp::kernels {

namespace {

struct Pairs : Avx512 {
    static constexpr int kVectors = 4, kNarrowRows = 8, kPerWord = 2;
    static constexpr bool kScaleTakesAnything = true;

    static F multiply_add(F sum, F a, F b) {
        return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
    }
    static void transpose(F (&rows)[16]) { transpose_16(rows); }

    /// Lane l: low[l] in the low half, high[l] in the high one, rounded to bfloat16.
    static F pair(F low, F high) {
        const __m512i words = (__m512i)_mm512_cvtne2ps_pbh(high, low);
        return _mm512_castsi512_ps(_mm512_permutexvar_epi16(interleave(), words));
    }
    /// 16 bfloat16 to 8 words.
    static void store_half(float* to, F x) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(x));
    }

    /// Copies n rows of d values to rows of `words` words, the rest and the rows up to a multiple
    /// of 16 zero.
    static void copy_rows(float* to, const uint16_t* from, int64_t stride, int64_t n, int64_t d,
                          int64_t words) {
        for (int64_t i = 0; i < (n + 15) / 16 * 16; ++i, to += words, from += stride)
            for (int64_t e = 0; e < 2 * words; e += 32) {
                const int64_t left = i < n ? d - e : 0;
                const __mmask32 in = left >= 32 ? ~0u : left > 0 ? (1u << left) - 1u : 0u;
                _mm512_store_si512(to + e / 2, _mm512_maskz_loadu_epi16(in, from + e));
            }
    }
    /// Word (r, e) of `to` [.., width]: value e of rows 2 r and 2 r + 1; zero past n rows and d.
    static void pair_rows(float* to, const uint16_t* from, int64_t stride, int64_t n, int64_t d,
                          int64_t width) {
        for (int64_t r = 0; r < (n + 15) / 16 * 16; r += 2, to += width, from += 2 * stride)
            for (int64_t e = 0; e < width; e += 16) {
                const int64_t left = d - e;
                const auto in = static_cast<__mmask16>(left >= 16 ? 0xffffu
                                                       : left > 0 ? (1u << left) - 1u
                                                                  : 0u);
                const __mmask16 none = 0;
                const __m512i low =
                    _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(r < n ? in : none, from + e));
                const __m512i high = _mm512_cvtepu16_epi32(
                    _mm256_maskz_loadu_epi16(r + 1 < n ? in : none, from + stride + e));
                _mm512_store_si512(to + e, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
            }
    }

private:
    static __m512i interleave() {  // words 0, 16, 1, 17 ..
        const __m512i even = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        return _mm512_or_si512(
            even, _mm512_slli_epi32(_mm512_add_epi32(even, _mm512_set1_epi32(16)), 16));
    }
};

}  // namespace

void causal_attention_forward_avx512_bf16(const CausalAttentionArgs& args, int64_t first,
                                          int64_t last, void* workspace) {
    if (args.type == Storage::kF32)
        return causal_attention_forward_avx512(args, first, last, workspace);
    for (int64_t pair = first; pair < last; ++pair)
        forward_pair<Pairs, uint16_t>(args, pair, workspace);
}

void causal_attention_backward_avx512_bf16(const CausalAttentionArgs& args, int64_t first,
                                           int64_t last, void* workspace) {
    if (args.type == Storage::kF32)
        return causal_attention_backward_avx512(args, first, last, workspace);
    for (int64_t pair = first; pair < last; ++pair)
        backward_pair<Pairs, uint16_t>(args, pair, workspace);
}

}  // namespace knlp::kernels
