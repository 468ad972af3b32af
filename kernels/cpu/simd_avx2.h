#pragma once

// Vectors of 8 floats for the templates of simd_math.h, layer_norm_simd.h and their like. All of it
// has internal linkage: no linker can take this copy for the one of another instruction set.

#include <immintrin.h>

#include <cstdint>

namespace knlp::kernels {
namespace {

struct Avx2 {
    using F = __m256;
    static constexpr int64_t kLanes = 8;
    struct All {};  // a whole vector
    struct Head {   // its first lanes only
        __m256i in;
        int lanes;
    };
    static Head head(int64_t lanes) {
        const int n = static_cast<int>(lanes);
        return {_mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
                n};
    }

    static F set1(float x) { return _mm256_set1_ps(x); }
    static F zero() { return _mm256_setzero_ps(); }
    static F load(const float* p, All) { return _mm256_loadu_ps(p); }
    static F load(const float* p, Head h) { return _mm256_maskload_ps(p, h.in); }
    static F load_or(F fill, const float* p, Head h) {
        return _mm256_blendv_ps(fill, load(p, h), _mm256_castsi256_ps(h.in));
    }
    static F load_or(F, const float* p, All) { return _mm256_loadu_ps(p); }
    static void store(float* p, All, F x) { _mm256_storeu_ps(p, x); }
    static void store(float* p, Head h, F x) { _mm256_maskstore_ps(p, h.in, x); }

    static F widen(__m128i bits) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    }
    static __m128i narrow(F x) {  // nearest even; NaN stays NaN
        const __m256i bits = _mm256_castps_si256(x), high = _mm256_srli_epi32(bits, 16);
        const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
        const __m256i near = _mm256_srli_epi32(
            _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
        const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
        const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
        const __m256i words = _mm256_blendv_epi8(near, quiet, nan);
        return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    }
    static F load(const uint16_t* p, All) {
        return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static F load(const uint16_t* p, Head h) {
        alignas(16) uint16_t word[8] = {};
        for (int i = 0; i < h.lanes; ++i) word[i] = p[i];
        return widen(_mm_load_si128(reinterpret_cast<const __m128i*>(word)));
    }
    static void store(uint16_t* p, All, F x) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(x));
    }
    static void store(uint16_t* p, Head h, F x) {
        alignas(16) uint16_t word[8];
        _mm_store_si128(reinterpret_cast<__m128i*>(word), narrow(x));
        for (int i = 0; i < h.lanes; ++i) p[i] = word[i];
    }

    static F add(F a, F b) { return _mm256_add_ps(a, b); }
    static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
    static F div(F a, F b) { return _mm256_div_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }    // a b + c
    static F fms(F a, F b, F c) { return _mm256_fmsub_ps(a, b, c); }    // a b - c
    static F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a b
    static F min(F a, F b) { return _mm256_min_ps(a, b); }              // b when one of them is NaN
    static F max(F a, F b) { return _mm256_max_ps(a, b); }              // b when one of them is NaN
    static F abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
    static F round(F a) {
        return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    /// x 2^n for whole n from -252 to 254, in two factors: 2^n itself may leave the normal range.
    static F scale(F x, F n) {
        const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
        const __m256i rest = _mm256_sub_epi32(whole, half), bias = _mm256_set1_epi32(127);
        const __m256i low = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
        const __m256i high = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
        return mul(mul(x, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high));
    }
    static F keep(F a, All) { return a; }
    static F keep(F a, Head h) { return _mm256_and_ps(a, _mm256_castsi256_ps(h.in)); }
    /// Lanes whose bit is set, else 0.
    static F keep_bits(F a, uint64_t bits) {
        const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
        const __m256i word = _mm256_set1_epi32(static_cast<int>(bits));
        return _mm256_and_ps(
            a, _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(word, lane), lane)));
    }
    static F select_positive(F x, F yes, F no) {
        return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, zero(), _CMP_GT_OQ));
    }

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
    /// Lane i: the sum of r[i], in one order of additions for every i.
    static F sum_each(const F (&r)[8]) {
        F s[4];
        for (int i = 0; i < 4; ++i)
            s[i] = add(_mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]),
                       _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]));
        for (int i = 0; i < 2; ++i)
            s[i] = add(_mm256_shuffle_ps(s[2 * i], s[2 * i + 1], 0x44),
                       _mm256_shuffle_ps(s[2 * i], s[2 * i + 1], 0xee));
        return add(_mm256_permute2f128_ps(s[0], s[1], 0x20),
                   _mm256_permute2f128_ps(s[0], s[1], 0x31));
    }

    static float sum(F x) {
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        const __m128 pair = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)));
    }
    static float largest(F x) {
        const __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        const __m128 pair = _mm_max_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_max_ss(pair, _mm_movehdup_ps(pair)));
    }
    static float first(F x) { return _mm256_cvtss_f32(x); }
    static float sqrt(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
};

}  // namespace
}  // namespace knlp::kernels
