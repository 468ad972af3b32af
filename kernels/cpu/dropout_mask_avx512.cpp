#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/dropout_mask_simd.h"

namespace knlp::kernels {

namespace {

struct Mask512 : Avx512 {
    static void keep_128(const DropoutStream& s, uint64_t line, int64_t first,
                         uint64_t (&bits)[2]) {
        const __m512i lanes =
            _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        __m512i c[4] = {
            _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first / 8)), lanes),
            _mm512_set1_epi32(static_cast<int>(line)),
            _mm512_set1_epi32(static_cast<int>(((line >> 32) & 0xFFFFu) | (s.site << 16))),
            _mm512_set1_epi32(static_cast<int>(s.step))};
        philox_10<Mask512>(c, s.key);
        const __m512i threshold = _mm512_set1_epi32(static_cast<int>(s.threshold));
        const __m512i low_half = _mm512_set1_epi32(0xFFFF);
        bits[0] = bits[1] = 0;
        for (int part = 0; part < 8; ++part) {
            const __m512i word = c[part / 2];
            const __m512i u =
                part % 2 ? _mm512_srli_epi32(word, 16) : _mm512_and_si512(word, low_half);
            bits[part / 4] |= uint64_t{_mm512_cmpge_epu32_mask(u, threshold)} << (16 * (part % 4));
        }
    }

    using Words = __m512i;
    static Words all(uint32_t word) { return _mm512_set1_epi32(static_cast<int>(word)); }
    /// 16 products of 32 by 32 bits, as high and low halves.
    static void multiply(__m512i a, __m512i factor, __m512i& high, __m512i& low) {
        const __m512i even = _mm512_mul_epu32(a, factor);
        const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), factor);
        high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
        low = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
    }
    static __m512i xor3(__m512i a, __m512i b, __m512i c) {
        return _mm512_ternarylogic_epi32(a, b, c, 0x96);
    }
};

}  // namespace

void dropout_mask_avx512(const DropoutMaskArgs& args) {
    dropout_mask<Mask512>(args);
}

void dropout_bits_avx512(const DropoutBitsArgs& args) {
    dropout_bits<Mask512>(args);
}

}  // namespace knlp::kernels
