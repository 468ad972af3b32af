#include "knlp/core/stats.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace knlp {
namespace {

// Expected values worked out by hand: deviations from 3.75 are -2.75 -1.75 0.25 4.25, squares sum
// to 28.75.
TEST(Stats, MatchHandComputedValues) {
    const std::vector<double> x = {8, 1, 4, 2};
    EXPECT_DOUBLE_EQ(mean(x), 3.75);
    EXPECT_DOUBLE_EQ(stddev(x), std::sqrt(28.75 / 3));
    EXPECT_DOUBLE_EQ(standard_error(x), std::sqrt(28.75 / 3) / 2);
    EXPECT_DOUBLE_EQ(median(x), 3.0);
    EXPECT_DOUBLE_EQ(percentile(x, 0.25), 1.75);
    EXPECT_DOUBLE_EQ(percentile(x, 0.9), 6.8);
    EXPECT_DOUBLE_EQ(percentile(x, 0), 1.0);
    EXPECT_DOUBLE_EQ(percentile(x, 1), 8.0);
    EXPECT_DOUBLE_EQ(median_absolute_deviation(x), 1.5);
}

TEST(Stats, OddCountsHaveAMiddle) {
    const std::vector<double> x = {5, 1, 3};
    EXPECT_EQ(median(x), 3.0);
}

TEST(Stats, TooFewValuesHaveNoSpread) {
    EXPECT_TRUE(std::isnan(mean({})));
    EXPECT_TRUE(std::isnan(median({})));
    const std::array<double, 1> one = {2.0};
    EXPECT_EQ(mean(one), 2.0);
    EXPECT_EQ(median(one), 2.0);
    EXPECT_TRUE(std::isnan(stddev(one)));
    EXPECT_TRUE(std::isnan(standard_error(one)));
}

TEST(Stats, ALargeOffsetDoesNotHideTheSpread) {
    const std::vector<double> x = {1e9 + 1, 1e9 + 2, 1e9 + 3};
    EXPECT_DOUBLE_EQ(stddev(x), 1.0);
}

}  // namespace
}  // namespace knlp
