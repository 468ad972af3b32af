#include "knlp/matrix/analysis.h"

#include "tests/support/expect_error.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace knlp::matrix {
namespace {

using test::expect_error;
using testing::ElementsAre;
using testing::HasSubstr;

CellResult cell(const std::string& arm, uint64_t seed, double metric) {
    return {.arm = arm,
            .seed = seed,
            .done = true,
            .reason = "",
            .metric = metric,
            .data_sha256 = "data",
            .windows_sha256 = "windows",
            .window_losses = {}};
}

AnalysisPlan plan_of(std::vector<std::string> arms, int64_t seeds) {
    AnalysisPlan plan{.arms = std::move(arms), .baseline = "base"};
    for (int64_t s = 1; s <= seeds; ++s) plan.seeds.push_back(static_cast<uint64_t>(s));
    return plan;
}

/// "base" at 3 and "arm" at 3 + d[s].
std::vector<CellResult> cells_of(const std::vector<double>& d) {
    std::vector<CellResult> cells;
    for (size_t s = 0; s < d.size(); ++s) {
        cells.push_back(cell("base", s + 1, 3));
        cells.push_back(cell("arm", s + 1, 3 + d[s]));
    }
    return cells;
}

Contrast contrast_of(const AnalysisPlan& plan, const std::vector<CellResult>& cells) {
    return analyse(plan, cells).contrasts.at(0);
}

Contrast contrast_of(const std::vector<double>& d, double min_effect = 0) {
    AnalysisPlan plan = plan_of({"base", "arm"}, std::ssize(d));
    plan.min_effect = min_effect;
    return contrast_of(plan, cells_of(d));
}

/// Evidence of a lower metric just within every bound.
Evidence better() {
    return {.n = 5,
            .mean = -0.1,
            .adjusted_p = 0.0499,
            .signs_agree = true,
            .interval90 = {-0.15, -0.05},
            .no_spread = false};
}

TEST(Verdict, PIsBelowAlphaNotAtIt) {
    const AnalysisPlan plan;
    Evidence e = better();
    EXPECT_EQ(decide(e, plan), Verdict::kBetter);
    e.adjusted_p = 0.05;
    EXPECT_EQ(decide(e, plan), Verdict::kNoDifferenceShown);
    e.adjusted_p = std::nextafter(0.05, 0);
    EXPECT_EQ(decide(e, plan), Verdict::kBetter);
    AnalysisPlan strict;
    strict.alpha = 0.01;
    EXPECT_EQ(decide(e, strict), Verdict::kNoDifferenceShown);
}

TEST(Verdict, UpToFiveSeedsAllSignsMustAgree) {
    const AnalysisPlan plan;
    Evidence e = better();
    e.signs_agree = false;
    EXPECT_EQ(decide(e, plan), Verdict::kNoDifferenceShown);
    e.n = 6;
    EXPECT_EQ(decide(e, plan), Verdict::kBetter);
}

TEST(Verdict, TheDirectionIsTheMetrics) {
    AnalysisPlan plan;
    Evidence e = better();
    plan.lower_is_better = false;
    EXPECT_EQ(decide(e, plan), Verdict::kWorse);
    e.mean = 0.1;
    EXPECT_EQ(decide(e, plan), Verdict::kBetter);
    plan.lower_is_better = true;
    EXPECT_EQ(decide(e, plan), Verdict::kWorse);
}

TEST(Verdict, EquivalentNeedsTheWholeIntervalInside) {
    AnalysisPlan plan;
    plan.min_effect = 0.2;
    Evidence e = better();
    e.adjusted_p = 0.5;
    EXPECT_EQ(decide(e, plan), Verdict::kEquivalent);
    for (const Interval& interval : {Interval{-0.2, 0.1}, {-0.1, 0.2}, {-0.3, 0.3}, {}}) {
        e.interval90 = interval;
        EXPECT_EQ(decide(e, plan), Verdict::kNoDifferenceShown) << interval.low;
    }
    e.interval90 = {0, 0};
    plan.min_effect = 0;
    EXPECT_EQ(decide(e, plan), Verdict::kNoDifferenceShown);
}

TEST(Verdict, AShownDifferenceIsNamedThoughItBeSmall) {
    AnalysisPlan plan;
    plan.min_effect = 0.2;
    EXPECT_EQ(decide(better(), plan), Verdict::kBetter);
}

TEST(Verdict, OneSeedHasNoWinner) {
    const AnalysisPlan plan;
    Evidence e = better();
    e.n = 1;
    EXPECT_EQ(decide(e, plan), Verdict::kNone);
    e.n = 2;
    EXPECT_EQ(decide(e, plan), Verdict::kBetter);
    e.no_spread = true;
    EXPECT_EQ(decide(e, plan), Verdict::kNone);
}

TEST(Analysis, FiveLowerSeedsAreBetter) {
    const Contrast c = contrast_of({-0.10, -0.12, -0.09, -0.11, -0.13});
    EXPECT_EQ(c.verdict, Verdict::kBetter);
    EXPECT_EQ(c.verdict_text(), "better");
    EXPECT_NEAR(c.mean, -0.11, 1e-12);
    EXPECT_LT(c.interval.high, 0);
    EXPECT_EQ(c.sign_flip.p, 0.0625);
    EXPECT_NEAR(c.ratio_percent, 100 * (std::exp(-0.11) - 1), 1e-9);
    EXPECT_NEAR(c.ratio_interval_percent.low, 100 * (std::exp(c.interval.low) - 1), 1e-9);
    EXPECT_EQ(contrast_of({0.10, 0.12, 0.09, 0.11, 0.13}).verdict, Verdict::kWorse);
}

// t is 3.95 with four degrees of freedom, p = 0.017: the t test alone would call it.
TEST(Analysis, OneSeedAgainstTheOthersWithholdsTheVerdict) {
    const Contrast c = contrast_of({0.01, -1, -1, -1, -1});
    EXPECT_LT(c.adjusted_p, 0.05);
    EXPECT_EQ(c.verdict, Verdict::kNoDifferenceShown);
    EXPECT_THAT(c.verdict_text(), HasSubstr("no difference shown (±0.5"));
}

TEST(Analysis, SmallDifferencesAreEquivalentWhereABoundIsSet) {
    const std::vector<double> d = {0.001, -0.002, 0.0005, -0.001, 0.0015};
    EXPECT_EQ(contrast_of(d).verdict, Verdict::kNoDifferenceShown);
    EXPECT_EQ(contrast_of(d, 0.01).verdict, Verdict::kEquivalent);
    EXPECT_EQ(contrast_of(d, 0.001).verdict, Verdict::kNoDifferenceShown);
}

TEST(Analysis, ManyArmsShareTheLevel) {
    // The same differences, p = 0.03: below 0.05 alone, above it among two.
    const std::vector<double> d = {-0.02, -0.06, -0.04, -0.02, -0.09, -0.01, 0.01};
    AnalysisPlan plan = plan_of({"base", "arm", "other"}, 7);
    std::vector<CellResult> cells = cells_of(d);
    const Contrast alone = contrast_of(plan_of({"base", "arm"}, 7), cells);
    ASSERT_LT(alone.p, 0.05);
    ASSERT_GT(alone.p, 0.025);
    EXPECT_EQ(alone.verdict, Verdict::kBetter);
    for (uint64_t s = 1; s <= 7; ++s) cells.push_back(cell("other", s, s % 2 ? 3.1 : 2.9));
    const Contrast among = contrast_of(plan, cells);
    EXPECT_EQ(among.p, alone.p);
    EXPECT_EQ(among.adjusted_p, 2 * alone.p);
    EXPECT_EQ(among.verdict, Verdict::kNoDifferenceShown);
}

TEST(Analysis, OneSeedHasNoIntervalAndNoVerdict) {
    const Contrast c = contrast_of({-0.5});
    EXPECT_EQ(c.verdict, Verdict::kNone);
    EXPECT_EQ(c.verdict_text(), "no verdict: one seed, not a comparison");
    EXPECT_FALSE(c.interval.known());
    EXPECT_FALSE(c.evaluation_noise.interval.known());
    EXPECT_TRUE(std::isnan(c.p));
    EXPECT_NEAR(c.mean, -0.5, 1e-12);
}

TEST(Analysis, ADifferenceThatDoesNotVaryIsNotJudged) {
    const Contrast c = contrast_of({0.1, 0.1, 0.1});
    EXPECT_TRUE(c.no_spread);
    EXPECT_EQ(c.verdict, Verdict::kNone);
    EXPECT_THAT(c.verdict_text(), HasSubstr("do not vary"));
    EXPECT_TRUE(std::isnan(c.p));
}

TEST(Analysis, TheSameResultInBothArmsIsNoDifference) {
    EXPECT_EQ(contrast_of({0, 0, 0}).p, 1);
    EXPECT_EQ(contrast_of({0, 0, 0}).verdict, Verdict::kNoDifferenceShown);
    EXPECT_EQ(contrast_of({0, 0, 0}, 0.01).verdict, Verdict::kEquivalent);
    // 3 + 4.4e-16: the last bit of the metric.
    EXPECT_EQ(contrast_of({4.5e-16, 4.5e-16, 9e-16}).signs.zero, 3);
}

TEST(Analysis, FailedCellsReduceNAndAreNamed) {
    std::vector<CellResult> cells = cells_of({-0.1, -0.2, -0.3, -0.4});
    cells[1].metric = NAN;       // arm, seed 1
    cells[2].metric = INFINITY;  // base, seed 2
    cells[5].done = false;       // arm, seed 3
    cells[5].reason = "out of memory";
    const Analysis analysis = analyse(plan_of({"base", "arm"}, 4), cells);
    const Contrast& c = analysis.contrasts.at(0);
    EXPECT_THAT(c.seeds, ElementsAre(4));
    EXPECT_EQ(c.count(Dropped::Kind::kFailed), 3);
    EXPECT_EQ(c.unpaired(), 3);
    ASSERT_EQ(c.dropped.size(), 3u);
    EXPECT_EQ(c.dropped[0].why, "arm: diverged");
    EXPECT_EQ(c.dropped[1].why, "base: diverged");
    EXPECT_EQ(c.dropped[2].why, "arm: out of memory");
    EXPECT_EQ(c.verdict, Verdict::kNone);
    EXPECT_EQ(analysis.arms[0].failed, 1);
    EXPECT_EQ(analysis.arms[1].failed, 2);
    EXPECT_EQ(analysis.arms[1].n, 2);
}

TEST(Analysis, MissingSeedsAreCounted) {
    std::vector<CellResult> cells = cells_of({-0.1, -0.2, -0.3});
    cells.erase(cells.begin() + 3);  // arm, seed 2
    const Analysis analysis = analyse(plan_of({"base", "arm"}, 4), cells);
    const Contrast& c = analysis.contrasts.at(0);
    EXPECT_THAT(c.seeds, ElementsAre(1, 3));
    EXPECT_EQ(c.count(Dropped::Kind::kMissing), 2);
    EXPECT_EQ(c.unpaired(), 1);  // nobody has seed 4
    EXPECT_EQ(c.dropped[1].why, "arm: no result; base: no result");
    EXPECT_EQ(analysis.arms[0].missing, 1);
    EXPECT_EQ(analysis.arms[1].missing, 2);
}

TEST(Analysis, OtherWindowsOrDataDoNotPair) {
    std::vector<CellResult> cells = cells_of({-0.1, -0.2, -0.3, -0.4});
    cells[1].windows_sha256 = "others";
    cells[2].data_sha256 = "others";
    cells[5].windows_sha256 = "";
    const Contrast c = contrast_of(plan_of({"base", "arm"}, 4), cells);
    EXPECT_THAT(c.seeds, ElementsAre(4));
    EXPECT_EQ(c.count(Dropped::Kind::kIncomparable), 3);
    EXPECT_EQ(c.unpaired(), 0);
    EXPECT_EQ(c.dropped[0].why, "other evaluation windows");
    EXPECT_EQ(c.dropped[1].why, "other data");
    EXPECT_EQ(c.dropped[2].why, "hash of the evaluation windows not recorded");
}

TEST(Analysis, NothingThatPairsIsSaid) {
    const Contrast c =
        contrast_of(plan_of({"base", "arm"}, 2), {cell("base", 1, 3), cell("arm", 2, 3)});
    EXPECT_EQ(c.verdict_text(), "no verdict: no seed pairs");
    EXPECT_EQ(c.unpaired(), 2);
    EXPECT_TRUE(std::isnan(c.mean));
}

TEST(Analysis, TheOrderOfCellsAndSeedsDoesNotMatter) {
    std::vector<CellResult> cells = cells_of({-0.1, -0.23, -0.31, -0.43, 0.2, -0.11});
    AnalysisPlan plan = plan_of({"base", "arm"}, 6);
    const Contrast before = contrast_of(plan, cells);
    std::rotate(cells.begin(), cells.begin() + 5, cells.end());
    std::reverse(plan.seeds.begin(), plan.seeds.end());
    const Contrast after = contrast_of(plan, cells);
    EXPECT_EQ(before.differences, after.differences);
    EXPECT_EQ(before.interval.low, after.interval.low);
    EXPECT_EQ(before.p, after.p);
}

TEST(Analysis, EvaluationNoiseComesFromTheWindowsOfAllSeeds) {
    std::vector<CellResult> cells = cells_of({0.5, 0.75});
    for (CellResult& c : cells) c.window_losses.assign(4, 3.0f);
    cells[1].window_losses = {3.25f, 3.5f, 3.5f, 3.75f};  // means 3.5 and 3.75
    cells[3].window_losses = {3.5f, 3.75f, 3.75f, 4.0f};
    AnalysisPlan plan = plan_of({"base", "arm"}, 2);
    const EvaluationNoise noise = contrast_of(plan, cells).evaluation_noise;
    EXPECT_EQ(noise.blocks, 4);
    EXPECT_LE(noise.interval.low, 0.625);  // the mean of both
    EXPECT_GE(noise.interval.high, 0.625);
    EXPECT_GE(noise.interval.low, 0.375);
    plan.window_documents = {0, 0, 1, 1};
    EXPECT_EQ(contrast_of(plan, cells).evaluation_noise.blocks, 2);
    cells[0].window_losses.clear();
    EXPECT_FALSE(contrast_of(plan, cells).evaluation_noise.interval.known());
}

TEST(Analysis, ArmsHaveMeansAndIntervalsInTheOrderOfThePlan) {
    const Analysis analysis = analyse(plan_of({"arm", "base"}, 3), cells_of({-0.1, 0, 0.1}));
    EXPECT_EQ(analysis.arms[0].arm, "arm");
    EXPECT_NEAR(analysis.arms[0].mean, 3, 1e-12);
    EXPECT_NEAR(analysis.arms[0].sd, 0.1, 1e-12);
    EXPECT_NEAR(analysis.arms[0].interval.high - 3, 4.302652729749 * 0.1 / std::sqrt(3), 1e-10);
    EXPECT_EQ(analysis.seed_noise, 0);
}

TEST(Analysis, AMetricThatIsNoLossHasNoRatio) {
    AnalysisPlan plan = plan_of({"base", "arm"}, 3);
    plan.nats = false;
    const Contrast c = contrast_of(plan, cells_of({-0.1, 0, 0.1}));
    EXPECT_TRUE(std::isnan(c.ratio_percent));
    EXPECT_FALSE(c.ratio_interval_percent.known());
}

TEST(Compare, TheSameArmsOfTwoExperimentsPairBySeed) {
    AnalysisPlan plan = plan_of({"base", "arm"}, 3);
    const std::vector<CellResult> before = cells_of({-0.1, -0.2, -0.3});
    std::vector<CellResult> after = cells_of({-0.2, -0.3, -0.5});
    after[4].done = false;
    after[4].reason = "killed";
    const std::vector<Contrast> contrasts = compare(plan, before, after);
    ASSERT_EQ(contrasts.size(), 2u);
    EXPECT_EQ(contrasts[0].arm, "base");
    EXPECT_EQ(contrasts[0].differences.size(), 2u);
    EXPECT_EQ(contrasts[0].dropped[0].why, "B: killed");
    EXPECT_NEAR(contrasts[1].mean, -(0.1 + 0.1 + 0.2) / 3, 1e-12);
}

TEST(Analysis, PlansThatCannotBeJudgedAreRefused) {
    const auto refuses = [](const AnalysisPlan& plan, const std::string& part) {
        expect_error(kUsage, {part}, [&] { analyse(plan, {}); });
    };
    refuses(plan_of({}, 3), "0 arms");
    refuses(plan_of({"base"}, 0), "0 seeds");
    refuses(plan_of({"bas", "arm"}, 3), "did you mean bas");
    refuses(plan_of({"base", "arm", "arm"}, 3), "an arm is named twice");
    AnalysisPlan plan = plan_of({"base", "arm"}, 3);
    plan.seeds = {1, 2, 1};
    refuses(plan, "a seed is named twice");
    plan = plan_of({"base", "arm"}, 3);
    plan.alpha = 0.5;
    refuses(plan, "alpha 0.5");
    plan = plan_of({"base", "arm"}, 3);
    plan.min_effect = NAN;
    refuses(plan, "smallest effect of nan");
}

TEST(Analysis, CellsThatAreNotOfThePlanAreRefused) {
    const AnalysisPlan plan = plan_of({"base", "arm"}, 2);
    const auto refuses = [&](const std::vector<CellResult>& cells, const std::string& part) {
        expect_error(kData, {part}, [&] { analyse(plan, cells); });
    };
    refuses({cell("arms", 1, 3)}, "'arms', which is not in the plan, did you mean arm");
    refuses({cell("arm", 3, 3)}, "seed 3, which is not in the plan");
    refuses({cell("arm", 2, 3), cell("arm", 2, 3)}, "two results of arm 'arm' with seed 2");
    AnalysisPlan documents = plan;
    documents.window_documents = {1, 2, 3};
    CellResult windows = cell("arm", 1, 3);
    windows.window_losses = {3, 3};
    expect_error(kData, {"2 windows", "documents of 3"},
                 [&] { analyse(documents, std::vector<CellResult>{windows}); });
}

}  // namespace
}  // namespace knlp::matrix
