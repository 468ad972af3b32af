#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/decode_simd.h"

namespace knlp::kernels {
namespace {

/// Two bfloat16 in the place of a float; vdpbf16ps adds both products at once.
struct Pairs : Avx512 {
    static F fma(F a, F b, F c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }
};

template <>
constexpr int64_t kPiece<Pairs> = 384;

void store_words(uint16_t* p, Avx512::All, __m256i words) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), words);
}
void store_words(uint16_t* p, Avx512::Head h, __m256i words) {
    _mm256_mask_storeu_epi16(p, h.in, words);
}

/// rows x k of x as bfloat16 in `to` [rows, stride].
void narrow_rows(const GemvArgs& a, uint16_t* to, int64_t stride) {
    for (int64_t r = 0; r < a.rows; ++r)
        each_vector<Avx512>(0, a.k, [&](int64_t i, auto part) {
            const __m512 x = Avx512::load(a.x + r * a.x_stride + i, part);
            store_words(to + r * stride + i, part, (__m256i)_mm512_cvtneps_pbh(x));
        });
}

}  // namespace

// A product of pairs is that of floats with half the k, for all that gemv moves.
void gemv_avx512_bf16(const GemvArgs& args, int64_t first, int64_t last, void* workspace) {
    if (args.w_type == Storage::kF32 || args.k % 2 != 0)
        return gemv_avx512(args, first, last, workspace);
    gemv<Pairs, float>(args, first, last, [&](GemvArgs& a) {
        const int64_t stride = (a.k + 31) / 32 * 32;
        narrow_rows(a, static_cast<uint16_t*>(workspace), stride);
        a.x = static_cast<const float*>(workspace);
        a.x_stride = stride / 2;
        a.k /= 2;
    });
}

}  // namespace knlp::kernels
