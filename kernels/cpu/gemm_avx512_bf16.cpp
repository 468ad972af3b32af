// 14 x 32 sums in 28 of the 32 registers; each takes two values of k at a time: vdpbf16ps does
// twice the work of a multiply-add.
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/transpose_avx512.h"
#include "kernels/cpu/gemm_simd.h"

namespace knlp::kernels {
namespace {

struct Pairs {
    using V = Avx512;
    using F = V::F;
    static constexpr int kRows = 14, kStride = 16, kVectors = 2, kPerUnit = 2;

    static F multiply_add(F c, F a, F b) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }
    static F pairs(F low, F high) { return (F)_mm512_cvtne2ps_pbh(high, low); }
    static F load_part(const float* p, int64_t k) {
        return k >= V::kLanes ? V::load(p, V::All{}) : V::load(p, V::head(k));
    }
    template <class T, bool kRound>
    static F load_units(const T* p, int64_t k) {
        constexpr int64_t kLanes = V::kLanes;
        if constexpr (sizeof(T) == 2) {
            const __mmask32 in = k == 2 * kLanes ? ~0u : (1u << k) - 1u;
            return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(in, p));
        } else {
            return pairs(load_part(p, k),
                         k > kLanes ? load_part(p + kLanes, k - kLanes) : V::zero());
        }
    }
    static __m256i load_words(const uint16_t* p, V::All) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }
    static __m256i load_words(const uint16_t* p, V::Head h) {
        return _mm256_maskz_loadu_epi16(h.in, p);
    }
    /// Lane l: p[l] in the low half, p[ld + l] in the high one.
    template <class T, bool kRound>
    static F load_lanes(const T* p, int64_t ld, int64_t k, auto part) {
        __m512i words;
        if constexpr (sizeof(T) == 2)
            words =
                _mm512_inserti64x4(_mm512_castsi256_si512(load_words(p, part)),
                                   k == 2 ? load_words(p + ld, part) : _mm256_setzero_si256(), 1);
        else
            words = _mm512_castps_si512(
                pairs(V::load(p, part), k == 2 ? V::load(p + ld, part) : V::zero()));
        alignas(64) static constexpr uint16_t kInterleaved[32] = {
            0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
            8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
        return _mm512_castsi512_ps(
            _mm512_permutexvar_epi16(_mm512_load_si512(kInterleaved), words));
    }
    static void transpose(F* row) { transpose_16(row); }
};

}  // namespace

void gemm_avx512_bf16(const GemmArgs& args, int64_t part, int64_t parts, void* workspace) {
    if (args.compute == Storage::kBf16)
        Product<Pairs>(args, part, parts, workspace).run();
    else
        gemm_avx512(args, part, parts, workspace);
}

}  // namespace knlp::kernels
