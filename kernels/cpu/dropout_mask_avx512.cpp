#include "kernels/dropout_mask.h"

// g++ 12 warns about its own _mm512_undefined_epi32 (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

namespace knlp::kernels {

namespace {

struct Block {
    __m512i c0, c1, c2, c3;
};

/// 16 products of 32 by 32 bits, as high and low halves.
inline void multiply(__m512i a, __m512i factor, __m512i& high, __m512i& low) {
    const __m512i even = _mm512_mul_epu32(a, factor);
    const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), factor);
    high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
    low = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
}

inline __m512i xor3(__m512i a, __m512i b, __m512i c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}

inline void philox_10(Block& b, uint32_t k0, uint32_t k1) {
    const __m512i m0 = _mm512_set1_epi32(static_cast<int>(0xD2511F53u));
    const __m512i m1 = _mm512_set1_epi32(static_cast<int>(0xCD9E8D57u));
    for (int round = 0; round < 10; ++round) {
        __m512i high0, low0, high1, low1;
        multiply(b.c0, m0, high0, low0);
        multiply(b.c2, m1, high1, low1);
        b.c0 = xor3(high1, b.c1, _mm512_set1_epi32(static_cast<int>(k0)));
        b.c2 = xor3(high0, b.c3, _mm512_set1_epi32(static_cast<int>(k1)));
        b.c1 = low1;
        b.c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

}  // namespace

void dropout_mask_avx512(const DropoutMaskArgs& a) {
    const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i threshold = _mm512_set1_epi32(static_cast<int>(a.threshold));
    const __m512i low_half = _mm512_set1_epi32(0xFFFF);
    const __m512 scale = _mm512_set1_ps(a.scale);
    for (int64_t i = 0; i < a.lines; ++i) {
        const uint64_t line = a.first_line + static_cast<uint64_t>(i);
        const __m512i c1 = _mm512_set1_epi32(static_cast<int>(line));
        const __m512i c2 =
            _mm512_set1_epi32(static_cast<int>(((line >> 32) & 0xFFFFu) | (a.site << 16)));
        const float* x = a.x + i * a.width;
        float* y = a.y + i * a.width;
        for (int64_t first = 0; first < a.width; first += 128) {
            Block b = {_mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first / 8)), lanes), c1,
                       c2, _mm512_set1_epi32(static_cast<int>(a.step))};
            philox_10(b, a.key[0], a.key[1]);
            const __m512i words[4] = {b.c0, b.c1, b.c2, b.c3};
            for (int64_t part = 0; part < 8 && first + 16 * part < a.width; ++part) {
                const int64_t e = first + 16 * part, left = a.width - e;
                const __mmask16 inside =
                    left >= 16 ? 0xFFFF : static_cast<__mmask16>((1u << left) - 1u);
                const __m512i word = words[part / 2];
                const __m512i u =
                    part % 2 ? _mm512_srli_epi32(word, 16) : _mm512_and_si512(word, low_half);
                const __mmask16 keep = _mm512_cmpge_epu32_mask(u, threshold);
                const __m512 value = _mm512_maskz_loadu_ps(inside, x + e);
                _mm512_mask_storeu_ps(y + e, inside, _mm512_maskz_mul_ps(keep, value, scale));
            }
        }
    }
}

}  // namespace knlp::kernels
