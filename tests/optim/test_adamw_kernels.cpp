#include "kernels/adamw_step.h"
#include "knlp/core/host.h"
#include "knlp/core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace {

using namespace knlp;
using namespace knlp::kernels;

/// Widths around those of the vectors, and one long run.
const int64_t kLengths[] = {0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 1000, 4099};

struct Values {
    std::vector<float> w, g, m, v, top;
    explicit Values(int64_t n, int64_t offset = 0) {
        const Stream stream(7, "tests/adamw");
        int lane = 0;
        for (auto* values : {&w, &g, &m, &v, &top}) {
            values->resize(static_cast<size_t>(n + offset));
            stream.normal(*values, static_cast<uint64_t>(lane++));
        }
        for (float& x : v) x = x * x * 1e-2f;
        for (float& x : top) x = x * x * 1e-2f;
    }
};

AdamwStepArgs args_of(Values& x, int64_t n, int64_t offset, bool clip, bool amsgrad) {
    return {.param = x.w.data() + offset,
            .grad = x.g.data() + offset,
            .exp_avg = x.m.data() + offset,
            .exp_avg_sq = x.v.data() + offset,
            .max_exp_avg_sq = amsgrad ? x.top.data() + offset : nullptr,
            .n = n,
            .clip_theta = clip ? 50.0f : 0.0f,
            .clip_floor = 1e-12f,
            .grad_scale = 0.37f,
            .beta1 = 0.9f,
            .one_minus_beta1 = 0.1f,
            .beta2 = 0.999f,
            .one_minus_beta2 = 0.001f,
            .decay_before = 0.9999f,
            .decay_after = 0.9998f,
            .step_size = 1e-2f,
            .sqrt_bias_correction2 = 0.3f,
            .epsilon = 1e-8f};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

struct Backend {
    Isa isa;
    AdamwStepFn step;
    GradNormFn norm;
};
const Backend kBackends[] = {{Isa::kAvx2, adamw_step_avx2, grad_norm_avx2},
                             {Isa::kAvx512, adamw_step_avx512, grad_norm_avx512}};

TEST(AdamwKernels, EveryBackendGivesTheBitsOfTheScalarOne) {
    int tried = 0;
    for (const Backend& backend : kBackends) {
        if (isa() < backend.isa) continue;
        ++tried;
        for (const int64_t n : kLengths)
            for (const int64_t offset : {0, 1, 5})
                for (const int form : {0, 1, 2, 3}) {
                    Values expected(n, offset), found(n, offset);
                    adamw_step_scalar(
                        args_of(expected, n, offset, (form & 1) != 0, (form & 2) != 0));
                    backend.step(args_of(found, n, offset, (form & 1) != 0, (form & 2) != 0));
                    EXPECT_TRUE(same_bits(expected.w, found.w))
                        << name_of(backend.isa) << " n " << n;
                    EXPECT_TRUE(same_bits(expected.m, found.m))
                        << name_of(backend.isa) << " n " << n;
                    EXPECT_TRUE(same_bits(expected.v, found.v))
                        << name_of(backend.isa) << " n " << n;
                    EXPECT_TRUE(same_bits(expected.top, found.top))
                        << name_of(backend.isa) << " n " << n;
                }
    }
    if (tried == 0) GTEST_SKIP() << "this CPU, or KNLP_ISA, allows the scalar kernel only";
}

TEST(AdamwKernels, NormsOfEveryBackendAreTheBitsOfTheScalarOne) {
    int tried = 0;
    for (const Backend& backend : kBackends) {
        if (isa() < backend.isa) continue;
        ++tried;
        for (const int64_t n : kLengths)
            for (const float theta : {0.0f, 50.0f}) {
                const Values x(n);
                const GradNormArgs args{x.g.data(), x.v.data(), n, theta, 1e-12f};
                const GradNormSums expected = grad_norm_scalar(args), found = backend.norm(args);
                EXPECT_EQ(expected.raw, found.raw) << name_of(backend.isa) << " n " << n;
                EXPECT_EQ(expected.clipped, found.clipped) << name_of(backend.isa) << " n " << n;
                EXPECT_EQ(expected.n_clipped, found.n_clipped)
                    << name_of(backend.isa) << " n " << n;
            }
    }
    if (tried == 0) GTEST_SKIP() << "this CPU, or KNLP_ISA, allows the scalar kernel only";
}

TEST(AdamwKernels, ClippedElementHasTheMagnitudeOfThePaper) {
    // theta 5000, v 1e-8, g -0.1: sqrt(5e-5) = 7.0711e-3, seen through m = g with beta1 = 0.
    float w = 0, g = -0.1f, m = 0, v = 1e-8f;
    adamw_step_scalar({.param = &w,
                       .grad = &g,
                       .exp_avg = &m,
                       .exp_avg_sq = &v,
                       .n = 1,
                       .clip_theta = 5000,
                       .grad_scale = 1,
                       .one_minus_beta1 = 1,
                       .beta2 = 1,
                       .decay_before = 1,
                       .decay_after = 1,
                       .sqrt_bias_correction2 = 1,
                       .epsilon = 1});
    EXPECT_NEAR(m, -7.0711e-3, 5e-7);
}

TEST(AdamwKernels, NormSeesValuesThatAreNotFinite) {
    for (const float bad :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
        for (size_t place = 0; place < 19; ++place) {
            Values x(19);
            x.g[place] = bad;
            EXPECT_FALSE(std::isfinite(grad_norm_scalar({x.g.data(), x.v.data(), 19, 0, 0}).raw));
            for (const Backend& backend : kBackends) {
                if (isa() < backend.isa) continue;
                EXPECT_FALSE(std::isfinite(backend.norm({x.g.data(), x.v.data(), 19, 0, 0}).raw));
            }
        }
}

}  // namespace
