#include "src/report/chart_scale.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "knlp/core/rng.h"

namespace knlp::report {
namespace {

void expect_good_ticks(const Ticks& ticks, double low, double high) {
    const double slack = 1e-9 * (high - low);
    ASSERT_EQ(ticks.values.size(), ticks.labels.size());
    EXPECT_TRUE(std::is_sorted(ticks.values.begin(), ticks.values.end()));
    const std::set<std::string> labels(ticks.labels.begin(), ticks.labels.end());
    EXPECT_EQ(labels.size(), ticks.labels.size())
        << "labels repeat in [" << low << ", " << high << "]";
    for (double value : ticks.values) {
        EXPECT_GE(value, low - slack);
        EXPECT_LE(value, high + slack);
    }
}

}  // namespace

TEST(LinearTicks, AreInsideAscendingAndDistinctForEveryRange) {
    const Stream random(7, "ticks");
    for (uint64_t i = 0; i < 2000; ++i) {
        const double low =
            (random.uniform(i, 0) - 0.5) * std::pow(10.0, 12 * random.uniform(i, 1) - 5);
        const double high = low + std::pow(10.0, 12 * random.uniform(i, 2) - 5);
        if (high - low < 1e-6 * std::abs(low)) continue;
        const Ticks ticks = linear_ticks(low, high, 5);
        SCOPED_TRACE(testing::Message() << "case " << i);
        expect_good_ticks(ticks, low, high);
        EXPECT_GE(ticks.values.size(), 2u);
        EXPECT_LE(ticks.values.size(), 11u);
    }
}

TEST(LinearTicks, AreMultiplesOfARoundStep) {
    EXPECT_EQ(linear_ticks(0, 600, 6).labels,
              (std::vector<std::string>{"0", "100", "200", "300", "400", "500", "600"}));
    EXPECT_EQ(linear_ticks(1.9, 2.4, 5).labels,
              (std::vector<std::string>{"1.9", "2.0", "2.1", "2.2", "2.3", "2.4"}));
    EXPECT_EQ(linear_ticks(0, 100000, 4).labels,
              (std::vector<std::string>{"0", "25k", "50k", "75k", "100k"}));
    EXPECT_EQ(linear_ticks(0, 1e-3, 5).labels,
              (std::vector<std::string>{"0", "2e-4", "4e-4", "6e-4", "8e-4", "1e-3"}));
}

TEST(LinearTicks, StayWholeForCounts) {
    EXPECT_EQ(linear_ticks(0, 1, 8, true).labels, (std::vector<std::string>{"0", "1"}));
    EXPECT_EQ(linear_ticks(0, 5, 8, true).labels,
              (std::vector<std::string>{"0", "1", "2", "3", "4", "5"}));
    EXPECT_EQ(linear_ticks(0, 20, 8, true).labels,
              (std::vector<std::string>{"0", "5", "10", "15", "20"}));
    for (int n = 1; n < 3000; n += 7)
        for (double value : linear_ticks(0, n, 8, true).values)
            EXPECT_EQ(value, std::floor(value)) << n;
}

TEST(LogTicks, ArePowersOfTenOrTheirRoundParts) {
    EXPECT_EQ(log_ticks(1, 1000, 4).values, (std::vector<double>{1, 10, 100, 1000}));
    EXPECT_EQ(log_ticks(1, 10, 5).values, (std::vector<double>{1, 2, 5, 10}));
    for (double decades : {0.5, 1.0, 3.0, 9.0, 30.0}) {
        const Ticks ticks = log_ticks(1e-7, 1e-7 * std::pow(10.0, decades), 6);
        expect_good_ticks(ticks, 1e-7, 1e-7 * std::pow(10.0, decades) * (1 + 1e-6));
        EXPECT_LE(ticks.values.size(), 12u);
    }
}

TEST(NiceRange, HoldsTheDataAndHasWidth) {
    for (const auto& [low, high] :
         {std::pair{2.07, 5.55}, {0.0, 0.0}, {3.0, 3.0}, {-2.0, -1.0}, {1e-9, 2e-9}})
        for (bool from_zero : {false, true}) {
            const Range range = nice_range(low, high, Scale::kLinear, from_zero, 5);
            EXPECT_LE(range.low, low);
            EXPECT_GE(range.high, high - 1e-12 * std::abs(high));
            EXPECT_LT(range.low, range.high);
            EXPECT_TRUE(!from_zero || (range.low <= 0 && range.high >= 0));
        }
    const Range log = nice_range(3, 700, Scale::kLog, false, 5);
    EXPECT_DOUBLE_EQ(log.low, 1);
    EXPECT_DOUBLE_EQ(log.high, 1000);
    EXPECT_NEAR(position(std::sqrt(1000.0), log, Scale::kLog), 0.5, 1e-12);
}

TEST(ThinOut, KeepsEndsExtremesAndGaps) {
    std::vector<Point> points;
    for (int i = 0; i < 100000; ++i) points.push_back({static_cast<double>(i), std::sin(i * 0.01)});
    points[54321].y = 17;
    points[12345].y = -17;
    points[70000].y = std::numeric_limits<double>::quiet_NaN();
    const std::vector<size_t> kept = thin_out(points, 800);
    EXPECT_LE(kept.size(), 800u);
    EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
    for (size_t wanted : {size_t{0}, size_t{12345}, size_t{54321}, size_t{70000}, size_t{99999}})
        EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), wanted)) << wanted;
}

TEST(ThinOut, LeavesShortCurvesAlone) {
    const std::vector<Point> points = {{0, 3}, {1, 2}, {2, 1}};
    EXPECT_EQ(thin_out(points, 800), (std::vector<size_t>{0, 1, 2}));
    EXPECT_TRUE(thin_out({}, 800).empty());
}

}  // namespace knlp::report
