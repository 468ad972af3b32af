// 6 x 16 sums in 12 of the 16 registers; 8 loads for 12 multiply-adds.
#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/gemm_simd.h"

namespace knlp::kernels {
namespace {

struct Floats {
    using V = Avx2;
    using F = V::F;
    static constexpr int kRows = 6, kStride = 8, kVectors = 2, kPerUnit = 1;

    static F multiply_add(F c, F a, F b) { return V::fma(a, b, c); }
    template <bool kRound>
    static F rounded(F x) {
        if constexpr (kRound) return V::widen(V::narrow(x));
        return x;
    }
    template <class T, bool kRound>
    static F load_units(const T* p, int64_t k) {
        return k == V::kLanes ? rounded<kRound>(V::load(p, V::All{}))
                              : rounded<kRound>(V::load(p, V::head(k)));
    }
    template <class T, bool kRound>
    static F load_lanes(const T* p, int64_t, int64_t, auto part) {
        return rounded<kRound>(V::load(p, part));
    }
    static void transpose(F* row) {
        F t[8];
#pragma GCC unroll 4
        for (int i = 0; i < 8; i += 2) {  // pairs of values of two rows
            t[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
            t[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
        }
#pragma GCC unroll 2
        for (int i = 0; i < 8; i += 4) {  // row[i + c]: columns c and 4 + c of four rows
            row[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
            row[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
            row[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
            row[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
        }
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {  // halves trade places
            const F low = _mm256_permute2f128_ps(row[c], row[4 + c], 0x20);
            row[4 + c] = _mm256_permute2f128_ps(row[c], row[4 + c], 0x31);
            row[c] = low;
        }
    }
};

}  // namespace

void gemm_avx2(const GemmArgs& args, int64_t part, int64_t parts, void* workspace) {
    Product<Floats>(args, part, parts, workspace).run();
}

}  // namespace knlp::kernels
