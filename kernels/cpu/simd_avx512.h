#pragma once

// Vectors of 16 floats for the templates of simd_math.h, layer_norm_simd.h and their like. All of
// it has internal linkage: no linker can take this copy for the one of another instruction set.

// g++ 12 takes the undefined pass-through operand of its own intrinsics for a fault (GCC bug
// 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include <cstdint>

namespace knlp::kernels {
namespace {

struct Avx512 {
    using F = __m512;
    static constexpr int64_t kLanes = 16;
    struct All {};  // a whole vector
    struct Head {   // its first lanes only
        __mmask16 in;
    };
    static Head head(int64_t lanes) { return {static_cast<__mmask16>((1u << lanes) - 1u)}; }

    static F set1(float x) { return _mm512_set1_ps(x); }
    static F zero() { return _mm512_setzero_ps(); }
    static F load(const float* p, All) { return _mm512_loadu_ps(p); }
    static F load(const float* p, Head h) { return _mm512_maskz_loadu_ps(h.in, p); }
    static F load_or(F fill, const float* p, Head h) { return _mm512_mask_loadu_ps(fill, h.in, p); }
    static F load_or(F, const float* p, All) { return _mm512_loadu_ps(p); }
    static void store(float* p, All, F x) { _mm512_storeu_ps(p, x); }
    static void store(float* p, Head h, F x) { _mm512_mask_storeu_ps(p, h.in, x); }

    static F widen(__m256i bits) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
    }
    static __m256i narrow(F x) {  // nearest even; NaN stays NaN
        const __m512i bits = _mm512_castps_si512(x), high = _mm512_srli_epi32(bits, 16);
        const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
        const __m512i near = _mm512_srli_epi32(
            _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
        const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        return _mm512_cvtepi32_epi16(
            _mm512_mask_or_epi32(near, nan, high, _mm512_set1_epi32(0x40)));
    }
    static F load(const uint16_t* p, All) {
        return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static F load(const uint16_t* p, Head h) { return widen(_mm256_maskz_loadu_epi16(h.in, p)); }
    static void store(uint16_t* p, All, F x) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(x));
    }
    static void store(uint16_t* p, Head h, F x) { _mm256_mask_storeu_epi16(p, h.in, narrow(x)); }

    static F add(F a, F b) { return _mm512_add_ps(a, b); }
    static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    static F div(F a, F b) { return _mm512_div_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }    // a b + c
    static F fms(F a, F b, F c) { return _mm512_fmsub_ps(a, b, c); }    // a b - c
    static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a b
    static F min(F a, F b) { return _mm512_min_ps(a, b); }              // b when one of them is NaN
    static F max(F a, F b) { return _mm512_max_ps(a, b); }              // b when one of them is NaN
    static F abs(F a) { return _mm512_abs_ps(a); }
    static F round(F a) {
        return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static F scale(F x, F n) { return _mm512_scalef_ps(x, n); }  // x 2^n, n whole
    static F keep(F a, All) { return a; }
    static F keep(F a, Head h) { return _mm512_maskz_mov_ps(h.in, a); }
    /// Lanes whose bit is set, else 0.
    static F keep_bits(F a, uint64_t bits) {
        return _mm512_maskz_mov_ps(static_cast<__mmask16>(bits), a);
    }
    static F select_positive(F x, F yes, F no) {
        return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(x, zero(), _CMP_GT_OQ), yes);
    }

    static F load_aligned(const float* p) { return _mm512_load_ps(p); }
    static F lane_numbers() {
        return _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    }
    /// The exponent of x > 0, and m = x / 2^exponent of [0.75, 1.5).
    static F split(F x, F& m) {
        const __m512i bits = _mm512_castps_si512(x);
        const __m512i e =
            _mm512_srai_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f400000)), 23);
        m = _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(e, 23)));
        return _mm512_cvtepi32_ps(e);
    }
    /// Lane i: the sum of r[i], in one order of additions for every i.
    static F sum_each(const F (&r)[16]) {
        F s[8];
        for (int i = 0; i < 8; ++i) {
            const F a = r[2 * i], b = r[2 * i + 1];
            s[i] = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        }
        for (int i = 0; i < 4; ++i) {
            const __m512d a = _mm512_castps_pd(s[2 * i]), b = _mm512_castps_pd(s[2 * i + 1]);
            s[i] = add(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                       _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
        }
        for (int i = 0; i < 2; ++i)
            s[i] = add(_mm512_shuffle_f32x4(s[2 * i], s[2 * i + 1], 0x88),
                       _mm512_shuffle_f32x4(s[2 * i], s[2 * i + 1], 0xdd));
        return add(_mm512_shuffle_f32x4(s[0], s[1], 0x88), _mm512_shuffle_f32x4(s[0], s[1], 0xdd));
    }

    static float sum(F x) {
        const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
        const __m128 four =
            _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
        const __m128 pair = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
    }
    static float largest(F x) { return _mm512_reduce_max_ps(x); }
    static float first(F x) { return _mm512_cvtss_f32(x); }
    static float sqrt(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
};

}  // namespace
}  // namespace knlp::kernels
