#include "kernels/cpu/simd_avx2.h"

#include "kernels/cpu/dropout_mask_simd.h"

namespace knlp::kernels {

namespace {

struct Mask2 : Avx2 {
    static void keep_128(const DropoutStream& s, uint64_t line, int64_t first,
                         uint64_t (&bits)[2]) {
        const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
        const __m256i threshold = _mm256_set1_epi32(static_cast<int>(s.threshold));
        bits[0] = bits[1] = 0;
        for (int half = 0; half < 2; ++half) {
            __m256i c[4] = {
                _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first / 8 + 8 * half)), lanes),
                _mm256_set1_epi32(static_cast<int>(line)),
                _mm256_set1_epi32(static_cast<int>(((line >> 32) & 0xFFFFu) | (s.site << 16))),
                _mm256_set1_epi32(static_cast<int>(s.step))};
            philox_10<Mask2>(c, s.key);
            for (int part = 0; part < 8; ++part) {
                const __m256i word = c[part / 2];
                const __m256i u = part % 2 ? _mm256_srli_epi32(word, 16)
                                           : _mm256_and_si256(word, _mm256_set1_epi32(0xFFFF));
                // Both sides are below 2^31, so the signed comparison will do.
                const __m256 drop = _mm256_castsi256_ps(_mm256_cmpgt_epi32(threshold, u));
                const uint64_t keep = ~static_cast<uint64_t>(_mm256_movemask_ps(drop)) & 0xFF;
                bits[part / 4] |= keep << (16 * (part % 4) + 8 * half);
            }
        }
    }

    using Words = __m256i;
    static Words all(uint32_t word) { return _mm256_set1_epi32(static_cast<int>(word)); }
    /// 8 products of 32 by 32 bits, as high and low halves.
    static void multiply(__m256i a, __m256i factor, __m256i& high, __m256i& low) {
        const __m256i even = _mm256_mul_epu32(a, factor);
        const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), factor);
        high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
        low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
    }
    static __m256i xor3(__m256i a, __m256i b, __m256i c) {
        return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
    }
};

}  // namespace

void dropout_mask_avx2(const DropoutMaskArgs& args) {
    dropout_mask<Mask2>(args);
}

void dropout_bits_avx2(const DropoutBitsArgs& args) {
    dropout_bits<Mask2>(args);
}

}  // namespace knlp::kernels
