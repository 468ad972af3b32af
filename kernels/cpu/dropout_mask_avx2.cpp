#include "kernels/dropout_mask.h"

#include <immintrin.h>

namespace knlp::kernels {

namespace {

struct Block {
    __m256i c0, c1, c2, c3;
};

/// 8 products of 32 by 32 bits, as high and low halves.
inline void multiply(__m256i a, __m256i factor, __m256i& high, __m256i& low) {
    const __m256i even = _mm256_mul_epu32(a, factor);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), factor);
    high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}

inline __m256i xor3(__m256i a, __m256i b, __m256i c) {
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}

inline void philox_10(Block& b, uint32_t k0, uint32_t k1) {
    const __m256i m0 = _mm256_set1_epi32(static_cast<int>(0xD2511F53u));
    const __m256i m1 = _mm256_set1_epi32(static_cast<int>(0xCD9E8D57u));
    for (int round = 0; round < 10; ++round) {
        __m256i high0, low0, high1, low1;
        multiply(b.c0, m0, high0, low0);
        multiply(b.c2, m1, high1, low1);
        b.c0 = xor3(high1, b.c1, _mm256_set1_epi32(static_cast<int>(k0)));
        b.c2 = xor3(high0, b.c3, _mm256_set1_epi32(static_cast<int>(k1)));
        b.c1 = low1;
        b.c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/// Lanes 8 * half .. 8 * half + 7 of the group at `first`.
inline void half_group(const DropoutMaskArgs& a, const float* x, float* y, int64_t first, int half,
                       __m256i c1, __m256i c2) {
    const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i threshold = _mm256_set1_epi32(static_cast<int>(a.threshold));
    const __m256 scale = _mm256_set1_ps(a.scale);
    Block b = {_mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first / 8 + 8 * half)), lanes),
               c1, c2, _mm256_set1_epi32(static_cast<int>(a.step))};
    philox_10(b, a.key[0], a.key[1]);
    const __m256i words[4] = {b.c0, b.c1, b.c2, b.c3};
    for (int64_t part = 0; part < 8; ++part) {
        const int64_t e = first + 16 * part + 8 * half, left = a.width - e;
        if (left <= 0) break;
        const __m256i inside =
            _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? static_cast<int>(left) : 8), lanes);
        const __m256i word = words[part / 2];
        const __m256i u = part % 2 ? _mm256_srli_epi32(word, 16)
                                   : _mm256_and_si256(word, _mm256_set1_epi32(0xFFFF));
        // Both sides are below 2^31, so the signed comparison will do.
        const __m256i drop = _mm256_cmpgt_epi32(threshold, u);
        const __m256 value = _mm256_mul_ps(_mm256_maskload_ps(x + e, inside), scale);
        _mm256_maskstore_ps(y + e, inside, _mm256_andnot_ps(_mm256_castsi256_ps(drop), value));
    }
}

}  // namespace

void dropout_mask_avx2(const DropoutMaskArgs& a) {
    for (int64_t i = 0; i < a.lines; ++i) {
        const uint64_t line = a.first_line + static_cast<uint64_t>(i);
        const __m256i c1 = _mm256_set1_epi32(static_cast<int>(line));
        const __m256i c2 =
            _mm256_set1_epi32(static_cast<int>(((line >> 32) & 0xFFFFu) | (a.site << 16)));
        const float* x = a.x + i * a.width;
        float* y = a.y + i * a.width;
        for (int64_t first = 0; first < a.width; first += 128) {
            half_group(a, x, y, first, 0, c1, c2);
            half_group(a, x, y, first, 1, c1, c2);
        }
    }
}

}  // namespace knlp::kernels
