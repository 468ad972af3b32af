// 14 x 32 sums in 28 of the 32 registers; 16 loads for 28 multiply-adds.
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/simd_math.h"
#include "kernels/cpu/transpose_avx512.h"
#include "kernels/cpu/gemm_simd.h"

namespace knlp::kernels {
namespace {

struct Floats {
    using V = Avx512;
    using F = V::F;
    static constexpr int kRows = 14, kStride = 16, kVectors = 2, kPerUnit = 1;

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
    static void transpose(F* row) { transpose_16(row); }
};

}  // namespace

void gemm_avx512(const GemmArgs& args, int64_t part, int64_t parts, void* workspace) {
    Product<Floats>(args, part, parts, workspace).run();
}

}  // namespace knlp::kernels
