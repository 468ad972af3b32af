#pragma once

// Internal linkage, as simd_avx512.h.

#include <immintrin.h>

namespace knlp::kernels {
namespace {

/// row[i] lane j <-> row[j] lane i, of 16 vectors of 16 values.
[[gnu::always_inline]] inline void transpose_16(__m512* row) {
    __m512 t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {  // pairs of values of two rows
        t[i] = _mm512_unpacklo_ps(row[i], row[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(row[i], row[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {  // four values of four rows: row[i + c] holds column c of 4
        const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
        const __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
        row[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        row[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        row[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        row[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    // Quarter q of row[4 r + c] is column 4 q + c of rows 4 r .. 4 r + 3: quarters trade places.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
        const __m512 low01 = _mm512_shuffle_f32x4(row[c], row[4 + c], 0x44);
        const __m512 high01 = _mm512_shuffle_f32x4(row[c], row[4 + c], 0xee);
        const __m512 low23 = _mm512_shuffle_f32x4(row[8 + c], row[12 + c], 0x44);
        const __m512 high23 = _mm512_shuffle_f32x4(row[8 + c], row[12 + c], 0xee);
        t[c] = _mm512_shuffle_f32x4(low01, low23, 0x88);
        t[4 + c] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
        t[8 + c] = _mm512_shuffle_f32x4(high01, high23, 0x88);
        t[12 + c] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) row[i] = t[i];
}

}  // namespace
}  // namespace knlp::kernels
