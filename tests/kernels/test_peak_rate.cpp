#include "kernels/peak_rate.h"

#include "knlp/core/host.h"

#include <gtest/gtest.h>

#include <vector>

namespace knlp::kernels {
namespace {

struct Backend {
    const char* name;
    Isa needs;
    PeakRateFn run;
    int64_t lanes;
};
constexpr Backend kBackends[] = {{"scalar", Isa::kScalar, peak_fma_scalar, kPeakLanesScalar},
                                 {"avx2", Isa::kAvx2, peak_fma_avx2, kPeakLanesAvx2},
                                 {"avx512", Isa::kAvx512, peak_fma_avx512, kPeakLanesAvx512}};

/// a = a / 2 + 1 from 0: 2 - 2^(1 - links), exact in float32 up to 24 links.
double lane_after(int64_t links) {
    double a = 0;
    for (int64_t i = 0; i < links; ++i) a = a / 2 + 1;
    return a;
}

TEST(PeakRate, EveryChainDoesEveryLink) {
    for (const Backend& backend : kBackends) {
        if (isa() < backend.needs) continue;
        for (const int64_t links : {0, 1, 2, 3, 10, 24}) {
            const PeakRate rate = backend.run(links);
            EXPECT_EQ(rate.sum, static_cast<double>(backend.lanes) * lane_after(links))
                << backend.name << ", " << links << " links";
            EXPECT_EQ(rate.flops, 2 * backend.lanes * links) << backend.name;
        }
    }
}

TEST(PeakRate, BfloatChainsAddTwoPairsALink) {
    if (!has_avx512_bf16() || isa() < Isa::kAvx512) GTEST_SKIP() << "this CPU has no AVX512-BF16";
    for (const int64_t links : {0, 1, 7, 1000}) {
        const PeakRate rate = peak_bf16_avx512(links);
        EXPECT_EQ(rate.sum, static_cast<double>(2 * links * kPeakLanesAvx512));
        EXPECT_EQ(rate.flops, 4 * links * kPeakLanesAvx512);
    }
}

}  // namespace
}  // namespace knlp::kernels
