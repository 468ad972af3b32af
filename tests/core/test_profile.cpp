#include "knlp/core/profile.h"

#include "knlp/core/host.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace knlp::profile {
namespace {

/// Works until the clock has moved on by `seconds`: what is booked can then not be less.
void spend(double seconds) {
    const double begin = steady_seconds();
    while (steady_seconds() - begin < seconds) {
    }
}

double sum_of_groups(const Totals& totals) {
    double sum = 0;
    for (const Counts& group : totals.groups) sum += group.seconds;
    return sum;
}

TEST(Profile, OffMarksCountNothing) {
    { const Scope scope(Group::kNorm, 1, 2); }
    start();
    const Totals totals = stop();
    EXPECT_EQ(totals.of(Group::kNorm).calls, 0);
    EXPECT_EQ(active, nullptr);
}

TEST(Profile, GroupsAddUpToTheWhole) {
    start();
    {
        const Scope scope(Group::kLinearForward, 10, 20);
        spend(1e-4);
    }
    spend(1e-4);
    const Totals totals = stop();
    EXPECT_NEAR(sum_of_groups(totals), totals.seconds, 1e-9);
    EXPECT_GE(totals.of(Group::kLinearForward).seconds, 1e-4);
    EXPECT_GE(totals.of(Group::kOther).seconds, 1e-4);
}

TEST(Profile, InnerTimeIsTakenOffTheOuterRegion) {
    start();
    const double begin = steady_seconds();
    {
        const Scope outer(Group::kHead);
        const Scope inner(Group::kAttention);
        spend(2e-3);
    }
    const double whole = steady_seconds() - begin;
    const Totals totals = stop();
    EXPECT_GE(totals.of(Group::kAttention).seconds, 2e-3);
    // Whatever a loaded machine adds, outer time is what the inner one left over.
    EXPECT_LE(totals.of(Group::kHead).seconds, whole - totals.of(Group::kAttention).seconds + 1e-9);
}

TEST(Profile, CallsFlopsAndBytesAreSums) {
    start();
    for (int i = 0; i < 3; ++i) {
        const Scope scope(Group::kOptimizer, 5, 28);
        const Scope inner(Group::kOptimizer, 1, 2, "norm of the gradient");
    }
    const Totals totals = stop();
    EXPECT_EQ(totals.of(Group::kOptimizer).calls, 6);
    EXPECT_EQ(totals.of(Group::kOptimizer).flops, 18);
    EXPECT_EQ(totals.of(Group::kOptimizer).bytes, 90);
}

TEST(Profile, NodesKeepTheNesting) {
    static const char* const forward = "forward";
    start();
    for (int i = 0; i < 2; ++i) {
        const Scope outer(Group::kOther, 0, 0, forward);
        { const Scope scope(Group::kNorm); }
        { const Scope scope(Group::kAttention); }
    }
    { const Scope scope(Group::kNorm); }
    const Totals totals = stop();
    ASSERT_EQ(totals.nodes.size(), 5u);
    EXPECT_EQ(totals.nodes[0].parent, -1);
    EXPECT_STREQ(totals.nodes[1].name, forward);
    EXPECT_EQ(totals.nodes[2].parent, 1);
    EXPECT_EQ(totals.nodes[2].own.calls, 2);
    EXPECT_STREQ(totals.nodes[3].name, "attention");
    EXPECT_EQ(totals.nodes[4].parent, 0);
    EXPECT_EQ(totals.of(Group::kNorm).calls, 3);
}

TEST(Profile, OtherThreadsDoNotBook) {
    start();
    std::thread([] { const Scope scope(Group::kAttention, 1, 1); }).join();
    const Totals totals = stop();
    EXPECT_EQ(totals.of(Group::kAttention).calls, 0);
}

TEST(Profile, StartDropsWhatWasBookedBefore) {
    start();
    { const Scope scope(Group::kData, 1, 1); }
    start();
    EXPECT_EQ(stop().of(Group::kData).calls, 0);
}

TEST(ProfileDeathTest, StopInsideARegionIsOurMistake) {
    EXPECT_DEATH(
        {
            start();
            const Scope scope(Group::kData);
            stop();
        },
        "current == 0");
}

TEST(Profile, GroupsHaveNames) {
    EXPECT_EQ(name_of(Group::kLinearForward), std::string("linear_forward"));
    EXPECT_EQ(name_of(Group::kOther), std::string("other"));
    EXPECT_EQ(static_cast<int64_t>(Group::kOther) + 1, kGroups);
}

}  // namespace
}  // namespace knlp::profile
