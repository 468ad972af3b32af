#include "knlp/bench/timing.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/expect_error.h"

namespace knlp::bench {

TEST(Timing, SummaryAgreesWithHandComputedStatistics) {
    // Sorted 1..10: median 5.5, type-7 percentiles 1.9 and 9.1, |x - 5.5| has median 2.5.
    const Timing t = summarize({3, 1, 2, 10, 9, 8, 4, 5, 7, 6});
    EXPECT_DOUBLE_EQ(t.median_s, 5.5);
    EXPECT_DOUBLE_EQ(t.p10_s, 1.9);
    EXPECT_DOUBLE_EQ(t.p90_s, 9.1);
    EXPECT_DOUBLE_EQ(t.mad_s, 2.5);
    EXPECT_EQ(t.samples_s.front(), 3) << "samples stay in the order they were taken";
    EXPECT_TRUE(t.noisy());
}

TEST(Timing, SteadySamplesAreNotNoisy) {
    EXPECT_FALSE(summarize({1.00, 1.01, 0.99, 1.02, 1.00}).noisy());
    EXPECT_FALSE(
        summarize({1.00, 1.01, 0.99, 1.02, 1.00, 1.00, 1.01, 1.00, 1.00, 9.0, 1.0, 1.0}).noisy())
        << "one hiccup among many does not spoil a median";
    EXPECT_TRUE(summarize({1.0, 1.2, 0.8, 1.3, 1.0, 0.7}).noisy());
}

TEST(Measure, ExecutesWarmUpAndEverySample) {
    int64_t calls = 0;
    const Timing t = measure([&] { ++calls; }, {.warm_up = 3, .samples = 8});
    EXPECT_EQ(t.samples_s.size(), 8u);
    EXPECT_EQ(calls, 11);
}

TEST(Measure, RepeatsShortWorkWithinASample) {
    int64_t calls = 0;
    volatile int64_t sink = 0;
    const Timing t =
        measure([&] { sink = ++calls; }, {.warm_up = 0, .samples = 5, .min_sample_s = 1e-4});
    EXPECT_EQ(t.samples_s.size(), 5u);
    EXPECT_GT(calls, 10) << "an increment does not fill 0.1 ms";
}

TEST(Measure, StopsEarlyButNotBelowSevenSamples) {
    int64_t calls = 0;
    measure([&] { ++calls; }, {.warm_up = 0, .samples = 1000000, .max_total_s = 1e-9});
    EXPECT_EQ(calls, 7);
}

TEST(SpeedUp, IsTheRatioOfMedians) {
    EXPECT_DOUBLE_EQ(speed_up(summarize({1, 1, 1, 1, 1, 1, 1}), summarize({3, 3, 3, 3, 3, 3, 3})),
                     3.0);
}

TEST(SpeedUp, IsRefusedFromFewerThanSevenSamples) {
    test::expect_error(kUsage, {"6 samples", "7"}, [] {
        speed_up(summarize({1, 1, 1, 1, 1, 1}), summarize({3, 3, 3, 3, 3, 3, 3}));
    });
    test::expect_error(kUsage, {"sample"}, [] { summarize({}); });
}

}  // namespace knlp::bench
