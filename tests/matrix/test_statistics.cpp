#include "knlp/matrix/statistics.h"

#include "knlp/core/rng.h"
#include "knlp/core/stats.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace knlp::matrix {
namespace {

using testing::ElementsAre;

std::vector<double> normals(size_t n, uint64_t lane) {
    std::vector<float> values(n);
    Stream(11, "test/normals").normal(values, lane);
    return {values.begin(), values.end()};
}

// Student 1908, table of the additional hours of sleep gained with two drugs (Cushny and Peebles):
// differences of ten patients, mean 1.58, s 1.2300, t 4.0621; p 0.00283 is R's for data(sleep).
TEST(PairedTest, MatchesStudentsSleepData) {
    const std::vector<double> d = {1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4};
    EXPECT_NEAR(mean(d), 1.58, 1e-12);
    EXPECT_NEAR(paired_p(d), 0.002833, 5e-7);
    const Interval interval = mean_interval(d, 0.95);  // R's t.test: 0.7001142, 2.4598858
    EXPECT_NEAR(interval.low, 0.7001142, 5e-8);
    EXPECT_NEAR(interval.high, 2.4598858, 5e-8);
}

// 2,000 samples of a normal with mean 0: the share of 95 % intervals that hold 0 is 0.95 with a
// standard error of 0.0049; the bounds are four of them away.
TEST(PairedTest, TheIntervalCoversAsOftenAsItSays) {
    for (const size_t n : {2, 3, 5, 10}) {
        int64_t covered = 0, rejected = 0;
        for (uint64_t draw = 0; draw < 2000; ++draw) {
            const std::vector<double> d = normals(n, 100000 * n + draw);
            const Interval interval = mean_interval(d, 0.95);
            covered += interval.low <= 0 && 0 <= interval.high;
            rejected += paired_p(d) < 0.05;
        }
        EXPECT_GE(covered, 1860) << n;
        EXPECT_LE(covered, 1940) << n;
        EXPECT_EQ(covered + rejected, 2000) << n;  // interval and test are one statement
    }
}

TEST(PairedTest, TooLittleGivesNothing) {
    const std::vector<double> one = {0.3};
    EXPECT_FALSE(mean_interval(one, 0.95).known());
    EXPECT_FALSE(mean_interval({}, 0.95).known());
    EXPECT_TRUE(std::isnan(paired_p(one)));
}

TEST(PairedTest, WithoutSpreadThereIsNoT) {
    EXPECT_EQ(paired_p(std::vector<double>{0, 0, 0}), 1);
    EXPECT_TRUE(std::isnan(paired_p(std::vector<double>{0.25, 0.25, 0.25})));
}

TEST(PairedTestDeathTest, NaNIsOurMistake) {
    EXPECT_DEATH(paired_p(std::vector<double>{1, NAN}), "isfinite");
    EXPECT_DEATH(mean_interval(std::vector<double>{1, INFINITY}, 0.95), "isfinite");
}

// By hand: 0.01·4, 0.013·3, 0.02·2, 0.7; the second and third stay at the first's 0.04.
TEST(Holm, AdjustsStepByStep) {
    const std::vector<double> p = {0.02, 0.01, 0.7, 0.013};
    EXPECT_THAT(holm(p), ElementsAre(0.04, 0.04, 0.7, 0.04));
    EXPECT_THAT(holm(std::vector<double>{0.4, 0.6}), ElementsAre(0.8, 0.8));
    EXPECT_THAT(holm(std::vector<double>{0.9, 0.8}), ElementsAre(1, 1));
}

TEST(Holm, WhatHasNoPIsNoMemberOfTheFamily) {
    const std::vector<double> adjusted = holm(std::vector<double>{0.02, kUnknown, 0.01});
    EXPECT_EQ(adjusted[0], 0.02);
    EXPECT_TRUE(std::isnan(adjusted[1]));
    EXPECT_EQ(adjusted[2], 0.02);
    EXPECT_TRUE(holm({}).empty());
}

TEST(LiesWithin, ItsEndsAreExcluded) {
    EXPECT_TRUE(lies_within({-0.9, 0.9}, 1));
    EXPECT_FALSE(lies_within({-1, 0.9}, 1));
    EXPECT_FALSE(lies_within({-0.9, 1}, 1));
    EXPECT_FALSE(lies_within({0, 0}, 0));
    EXPECT_FALSE(lies_within({}, 1));
}

TEST(SignCount, AZeroAgreesWithNothing) {
    const SignCount mixed = count_signs(std::vector<double>{1, -2, 0, 3});
    EXPECT_EQ(mixed.positive, 2);
    EXPECT_EQ(mixed.negative, 1);
    EXPECT_EQ(mixed.zero, 1);
    EXPECT_FALSE(mixed.agree());
    EXPECT_TRUE(count_signs(std::vector<double>{1, 2}).agree());
    EXPECT_TRUE(count_signs(std::vector<double>{-1}).agree());
    EXPECT_FALSE(count_signs(std::vector<double>{-1, 0}).agree());
    EXPECT_FALSE(count_signs({}).agree());
}

TEST(SignFlip, FiveSeedsOfOneSignReachTheSmallestP) {
    const SignFlip flip = sign_flip(std::vector<double>{0.1, 0.2, 0.15, 0.3, 0.05});
    EXPECT_TRUE(flip.exact);
    EXPECT_EQ(flip.p, 0.0625);
    EXPECT_EQ(flip.smallest_p, 0.0625);
}

// Sums of 1, 2, 4 in all signs are the odd numbers from -7 to 7; |1 + 2 - 4| = 1 is reached by all.
TEST(SignFlip, CountsAllChoicesByHand) {
    EXPECT_EQ(sign_flip(std::vector<double>{1, 2, -4}).p, 1);
    EXPECT_EQ(sign_flip(std::vector<double>{-1, 2, 4}).p, 4.0 / 8);
    EXPECT_EQ(sign_flip(std::vector<double>{1, 2, 4}).p, 2.0 / 8);
}

TEST(SignFlip, EqualSumsCountAsEqualWhateverTheirRounding) {
    // 0.1 + 0.2 - 0.3 is 5.6e-17 and other orders give 0: all of |sum| = 0 must count.
    EXPECT_EQ(sign_flip(std::vector<double>{0.1, 0.2, -0.3}).p, 1);
    EXPECT_EQ(sign_flip(std::vector<double>{0.1, 0.2, 0.3, 0.6}).p, 2.0 / 16);
}

TEST(SignFlip, ZerosRaiseTheSmallestP) {
    const SignFlip flip = sign_flip(std::vector<double>{0, 1, 2});
    EXPECT_EQ(flip.p, 0.5);
    EXPECT_EQ(flip.smallest_p, 0.5);
    EXPECT_EQ(sign_flip(std::vector<double>{0, 0}).smallest_p, 1);
    EXPECT_TRUE(std::isnan(sign_flip({}).p));
}

// Seventeen values, whose p is counted here; 100,000 draws have a standard error below 0.0016.
TEST(SignFlip, DrawnChoicesComeNearTheCountedShare) {
    std::vector<double> d = normals(17, 5);
    for (double& value : d) value += 0.35;
    const SignFlip drawn = sign_flip(d);
    const double bound = std::abs(std::accumulate(d.begin(), d.end(), 0.0)) - 1e-12;
    int64_t hits = 0;
    for (uint32_t choice = 0; choice < 1u << 17; ++choice) {
        double sum = 0;
        for (size_t i = 0; i < 17; ++i) sum += choice >> i & 1 ? -d[i] : d[i];
        hits += std::abs(sum) >= bound;
    }
    EXPECT_FALSE(drawn.exact);
    EXPECT_NEAR(drawn.p, static_cast<double>(hits) / (1 << 17), 0.007);
    EXPECT_EQ(drawn.smallest_p, std::exp2(-16));
    EXPECT_EQ(sign_flip(d).p, drawn.p);
    EXPECT_EQ(sign_flip(std::vector<double>(70, 1.0)).p, 1.0 / 100001);
}

TEST(NoiseFloor, OfSeedsIsTheirSpreadAndOfRepeatsHalfTheirDifference) {
    EXPECT_DOUBLE_EQ(seed_noise(std::vector<double>{1, 2, 3}), 1);
    EXPECT_TRUE(std::isnan(seed_noise(std::vector<double>{1})));
    // One pair 3 apart: each lies 1.5 from their mean, variance 1.5²·2 with one degree of freedom.
    EXPECT_DOUBLE_EQ(repeat_noise(std::vector<double>{3}), std::sqrt(4.5));
    EXPECT_DOUBLE_EQ(repeat_noise(std::vector<double>{1, -1}), std::sqrt(0.5));
    EXPECT_TRUE(std::isnan(repeat_noise({})));
}

// The mean of m independent blocks has a standard deviation of s·sqrt((m - 1) / m) / sqrt(m) under
// resampling; from 10,000 resamples it is known to 0.7 %.
TEST(EvaluationNoise, HasTheStandardErrorOfTheMean) {
    const std::vector<double> d = normals(64, 9);
    const EvaluationNoise noise = evaluation_noise(d, {}, 0.95);
    const double expected = stddev(d) * std::sqrt(63.0 / 64.0) / 8;
    EXPECT_EQ(noise.blocks, 64);
    EXPECT_NEAR(noise.sd, expected, 0.03 * expected);
    EXPECT_LT(noise.interval.low, mean(d));
    EXPECT_GT(noise.interval.high, mean(d));
}

TEST(EvaluationNoise, WindowsOfOneDocumentMoveTogether) {
    // Each document's windows are equal, so four of them say no more than one.
    std::vector<double> d;
    std::vector<int64_t> document;
    for (const double value : normals(50, 3)) {
        d.insert(d.end(), 4, value);
        document.insert(document.end(), 4, 1000 - std::ssize(d));
    }
    const EvaluationNoise blocks = evaluation_noise(d, document, 0.9);
    const EvaluationNoise windows = evaluation_noise(d, {}, 0.9);
    EXPECT_EQ(blocks.blocks, 50);
    EXPECT_NEAR(blocks.sd / windows.sd, 2, 0.08);
}

TEST(EvaluationNoise, TheOrderOfWindowsWithinDocumentsDoesNotMatter) {
    const std::vector<double> d = {1, 2, 4, 8, 16}, turned = {2, 1, 4, 16, 8};
    const std::vector<int64_t> document = {0, 0, 1, 2, 2};
    const EvaluationNoise a = evaluation_noise(d, document, 0.95);
    const EvaluationNoise b = evaluation_noise(turned, document, 0.95);
    EXPECT_EQ(a.interval.low, b.interval.low);
    EXPECT_EQ(a.sd, b.sd);
}

TEST(EvaluationNoise, OneDocumentTellsNothing) {
    const std::vector<double> d = {1, 2};
    const std::vector<int64_t> document = {5, 5};
    EXPECT_FALSE(evaluation_noise(d, document, 0.95).interval.known());
    EXPECT_EQ(evaluation_noise(d, document, 0.95).blocks, 1);
    EXPECT_FALSE(evaluation_noise({}, {}, 0.95).interval.known());
}

}  // namespace
}  // namespace knlp::matrix
