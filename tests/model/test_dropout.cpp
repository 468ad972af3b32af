#include "src/model/layers.h"
#include "tests/model/support.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

namespace knlp::model {
namespace {

const DropoutSite kSite = {.seed = 42, .step = 7, .site = 3, .rate = 0.1};

at::Tensor mask(const DropoutSite& site, int64_t lines, int64_t width, int64_t first_line = 0) {
    return apply_dropout(at::ones({lines, width}), site, first_line);
}

double kept_share(const at::Tensor& m) {
    return m.ne(0).to(at::kDouble).mean().item<double>();
}

TEST(Dropout, KeepsTheRightShareAndTheExpectation) {
    for (const double rate : {0.1, 0.5, 0.9}) {
        DropoutSite site = kSite;
        site.rate = rate;
        const at::Tensor m = mask(site, 1000, 300);
        // 5 standard errors of a share of 300,000 independent draws.
        EXPECT_NEAR(kept_share(m), 1 - rate, 5 * std::sqrt(rate * (1 - rate) / 3e5));
        EXPECT_NEAR(m.max().item<double>(), 1 / (1 - rate), 1e-3);
    }
}

TEST(Dropout, NeighboursLinesAndSitesAreUncorrelated) {
    const at::Tensor m = mask(kSite, 500, 513).ne(0).to(at::kDouble) - 0.9;
    DropoutSite other = kSite;
    other.site = 4;
    const at::Tensor o = mask(other, 500, 513).ne(0).to(at::kDouble) - 0.9;
    const auto correlation = [](const at::Tensor& a, const at::Tensor& b) {
        return (a * b).mean().item<double>() / 0.09;
    };
    // A correlation of n independent pairs has standard error 1 / sqrt(n), n = 256,500: 5 of them
    // are 0.01.
    for (const int64_t lag : {1, 16, 128})
        EXPECT_LT(std::abs(correlation(m.narrow(1, 0, 513 - lag), m.narrow(1, lag, 513 - lag))),
                  0.01)
            << lag;
    EXPECT_LT(std::abs(correlation(m.narrow(0, 0, 499), m.narrow(0, 1, 499))), 0.01);
    EXPECT_LT(std::abs(correlation(m, o)), 0.01);
}

TEST(Dropout, DependsOnSeedStepAndSite) {
    const at::Tensor m = mask(kSite, 4, 100);
    EXPECT_TRUE(at::equal(m, mask(kSite, 4, 100)));
    for (const DropoutSite& other :
         {DropoutSite{43, 7, 3, 0.1}, DropoutSite{42, 8, 3, 0.1}, DropoutSite{42, 7, 2, 0.1}})
        EXPECT_FALSE(at::equal(m, mask(other, 4, 100)));
}

TEST(Dropout, MicroBatchesOfAnySizeDrawTheSameMasks) {
    const at::Tensor whole = mask(kSite, 60, 77);
    for (const int64_t size : {1, 7, 20})
        for (int64_t first = 0; first < 60; first += size) {
            const int64_t n = std::min<int64_t>(size, 60 - first);
            EXPECT_TRUE(at::equal(mask(kSite, n, 77, first), whole.narrow(0, first, n))) << size;
        }
}

TEST(Dropout, ThreadsDoNotMatter) {
    const int before = at::get_num_threads();
    at::set_num_threads(1);
    const at::Tensor one = mask(kSite, 2000, 64);
    at::set_num_threads(3);
    EXPECT_TRUE(at::equal(mask(kSite, 2000, 64), one));
    at::set_num_threads(before);
}

TEST(Dropout, AtenFallbackDrawsTheMasksOfTheKernels) {
    for (const int64_t width : {1, 15, 16, 17, 127, 128, 129, 300}) {
        // Beyond 2^32 and 2^31, where halves and signs are easily mixed up.
        const int64_t first_line = (int64_t{1} << 40) + 0xFFFFFFF0;
        const at::Tensor wide = apply_dropout(at::ones({9, width}, at::kDouble), kSite, first_line);
        EXPECT_TRUE(at::equal(wide.to(at::kFloat), mask(kSite, 9, width, first_line))) << width;
    }
}

TEST(Dropout, BackwardUsesTheMaskOfForward) {
    ForwardContext context{.training = true, .dropout = 0.4, .seed = 9, .step = 2, .first_row = 5};
    const at::Tensor x = at::ones({3, 4, 50}).set_requires_grad(true);
    const at::Tensor y = dropout(x, context);
    y.sum().backward();
    EXPECT_TRUE(at::equal(x.grad(), y.detach()));
    EXPECT_EQ(context.dropout_site, 1);
}

TEST(Dropout, EvaluationPassesThroughAndUsesUpTheSite) {
    ForwardContext context{.training = false, .dropout = 0.4};
    const at::Tensor x = at::ones({3, 4, 50});
    EXPECT_TRUE(dropout(x, context).is_same(x));
    EXPECT_EQ(context.dropout_site, 1);
}

}  // namespace
}  // namespace knlp::model
