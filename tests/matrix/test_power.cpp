#include "knlp/matrix/power.h"

#include "knlp/core/rng.h"
#include "knlp/core/stats.h"
#include "knlp/matrix/analysis.h"
#include "knlp/matrix/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace knlp::matrix {
namespace {

// Guenther 1981 (The American Statistician 35:243): n is about ((z_0.975 + z_0.8) / effect)² +
// z_0.975² / 2, which is 33.3 and 198.1.
TEST(SeedsNeeded, MatchAPublishedFormula) {
    EXPECT_EQ(seeds_needed(0.5, 0.05, 0.8), 34);
    EXPECT_EQ(seeds_needed(0.2, 0.05, 0.8), 199);
}

TEST(SeedsNeeded, AreTheFewestThatReachThePower) {
    for (const double effect : {0.11, 0.7, 1.3, 2.2, 4.0})
        for (const double power : {0.5, 0.8, 0.95}) {
            const int64_t n = seeds_needed(effect, 0.05, power);
            EXPECT_GE(verdict_power(n, effect, 0.05), power) << effect;
            EXPECT_TRUE(n == 2 || verdict_power(n - 1, effect, 0.05) < power) << effect;
        }
}

TEST(SeedsNeeded, ASignOrAHugeEffectChangesNothing) {
    EXPECT_EQ(seeds_needed(-0.5, 0.05, 0.8), 34);
    EXPECT_EQ(seeds_needed(1e6, 0.05, 0.99), 2);
    EXPECT_EQ(seeds_needed(1e-6, 0.05, 0.8), 0);
    // Normal approximation ((1.960 + 0.842) / 0.01)² = 78 489, and two for the t.
    EXPECT_NEAR(static_cast<double>(seeds_needed(0.01, 0.05, 0.8)), 78491, 3);
}

TEST(TTestPower, WithHardlyAnEffectItIsTheLevel) {
    EXPECT_NEAR(t_test_power(10, 1e-6, 0.05), 0.05, 1e-6);
    EXPECT_NEAR(t_test_power(3, 1e-6, 0.01), 0.01, 1e-6);
}

TEST(TTestPower, GrowsToOne) {
    double last = 0;
    for (int64_t n = 6; n < 3000; n += n / 3) {
        const double power = t_test_power(n, 0.9, 0.05);
        EXPECT_GE(power, last - 1e-12) << n;
        EXPECT_LE(power, 1);
        last = power;
    }
    EXPECT_NEAR(last, 1, 1e-12);
    EXPECT_EQ(t_test_power(100000, 100, 0.05), 1);
}

// Where the exact distribution ends and its limit begins; the limit is off by some 1e-4.
TEST(TTestPower, HasNoStepWhereTheNoncentralityIsLarge) {
    for (const int64_t n : {2, 3, 6})
        for (const double alpha : {0.05, 1e-4, 1e-9}) {
            const double border = 100 / std::sqrt(static_cast<double>(n));
            EXPECT_NEAR(t_test_power(n, border * 0.9999, alpha),
                        t_test_power(n, border * 1.0001, alpha), 1e-3)
                << n << " " << alpha;
        }
}

TEST(TTestPower, TakesExtremesOfEffectAndLevel) {
    EXPECT_EQ(t_test_power(2, 1e300, 1e-13), 1);
    EXPECT_EQ(t_test_power(6, 1e308, 0.05), 1);
    EXPECT_NEAR(t_test_power(6, 1e-300, 1e-13), 1e-13, 1e-14);
    EXPECT_GE(seeds_needed(500, 1e-13, 0.999999), 2);
    EXPECT_EQ(seeds_needed(1e-300, 0.05, 0.8), 0);
}

// 20,000 experiments judged by analyse(): a share near 0.7 has a standard error of 0.0032, that of
// 100,000 draws 0.0014; the bound is four of both together.
TEST(VerdictPower, IsTheShareOfExperimentsWithAVerdict) {
    const Stream stream(3, "test/power");
    for (const int64_t n : {3, 5, 6}) {
        const double effect = n == 3 ? 2.5 : 1.5;
        int64_t shown = 0;
        AnalysisPlan plan{.arms = {"base", "arm"}, .baseline = "base"};
        for (int64_t s = 0; s < n; ++s) plan.seeds.push_back(static_cast<uint64_t>(s));
        for (uint64_t draw = 0; draw < 20000; ++draw) {
            std::vector<float> noise(static_cast<size_t>(n));
            stream.normal(noise, 1000000 * static_cast<uint64_t>(n) + draw);
            std::vector<CellResult> cells;
            for (size_t s = 0; s < noise.size(); ++s)
                for (const bool arm : {false, true})
                    cells.push_back({.arm = arm ? "arm" : "base",
                                     .seed = s,
                                     .done = true,
                                     .reason = "",
                                     .metric = arm ? effect + double{noise[s]} : 0.0,
                                     .data_sha256 = "d",
                                     .windows_sha256 = "w",
                                     .window_losses = {}});
            const Verdict verdict = analyse(plan, cells).contrasts[0].verdict;
            shown += verdict == Verdict::kBetter || verdict == Verdict::kWorse;
        }
        EXPECT_NEAR(static_cast<double>(shown) / 20000, verdict_power(n, effect, 0.05), 0.014) << n;
    }
}

TEST(VerdictPower, FewSeedsHaveLessThanTheTTest) {
    EXPECT_LT(verdict_power(5, 1.5, 0.05), t_test_power(5, 1.5, 0.05) - 0.02);
    EXPECT_EQ(verdict_power(6, 1.5, 0.05), t_test_power(6, 1.5, 0.05));
    EXPECT_EQ(verdict_power(4, 1.5, 0.05), verdict_power(4, 1.5, 0.05));
}

// 3.8415 is the 95 % point of chi-squared with one degree of freedom, 0.0039321 its 5 % point.
TEST(UpperSd, MatchesChiSquaredTables) {
    EXPECT_NEAR(upper_sd(2, 2, 0.95), 2 / std::sqrt(0.0039321), 2e-3);
    EXPECT_NEAR(upper_sd(2, 2, 0.05), 2 / std::sqrt(3.8415), 1e-4);
}

TEST(UpperSd, CoversTheTruthAsOftenAsItSays) {
    int64_t covered = 0;
    for (uint64_t draw = 0; draw < 4000; ++draw) {
        std::vector<float> x(4);
        Stream(5, "test/sd").normal(x, draw);
        covered += upper_sd(stddev(std::vector<double>(x.begin(), x.end())), 4, 0.8) >= 1;
    }
    // Standard error sqrt(0.8·0.2 / 4000) = 0.0063; four of them.
    EXPECT_NEAR(static_cast<double>(covered) / 4000, 0.8, 0.025);
}

}  // namespace
}  // namespace knlp::matrix
