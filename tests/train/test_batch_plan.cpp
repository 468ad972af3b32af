#include "src/train/batch_plan.h"

#include <gtest/gtest.h>

namespace {

using knlp::train::BatchPlan;
using knlp::train::choose_batch;
using knlp::train::divisors_descending;

TEST(BatchPlan, DivisorsDescendFromTheNumberToOne) {
    EXPECT_EQ(divisors_descending(12), (std::vector<int64_t>{12, 6, 4, 3, 2, 1}));
    EXPECT_EQ(divisors_descending(7), (std::vector<int64_t>{7, 1}));
    EXPECT_EQ(divisors_descending(1), (std::vector<int64_t>{1}));
}

TEST(BatchPlan, MicroTimesAccumulationIsTheEffectiveBatchForEveryMachine) {
    for (int64_t effective = 1; effective <= 300; ++effective)
        for (const int64_t budget : {0, 5, 64, 1000}) {
            const BatchPlan plan =
                choose_batch(effective, {.run_bytes = [](int64_t m) { return 3 + m; },
                                         .layer_bytes = [](int64_t m) { return m; },
                                         .run_budget = budget,
                                         .layer_budget = 0});
            EXPECT_EQ(plan.micro * plan.accumulation, effective);
            EXPECT_TRUE(plan.micro == 1 || 3 + plan.micro <= budget);
            EXPECT_TRUE(plan.automatic);
        }
}

TEST(BatchPlan, TakesTheLargestDivisorThatFits) {
    const auto plan = [](int64_t run_budget, int64_t layer_budget) {
        return choose_batch(256, {.run_bytes = [](int64_t m) { return 100 + 10 * m; },
                                  .layer_bytes = [](int64_t m) { return 2 * m; },
                                  .run_budget = run_budget,
                                  .layer_budget = layer_budget});
    };
    EXPECT_EQ(plan(1 << 20, 0).micro, 256);
    EXPECT_EQ(plan(100 + 10 * 100, 0).micro, 64);
    EXPECT_EQ(plan(1 << 20, 20).micro, 8);
    EXPECT_EQ(plan(0, 0).micro, 1);
}

TEST(BatchPlan, SmallerIsTheNextDivisorOfTheSameStep) {
    BatchPlan plan{.micro = 12, .accumulation = 1, .automatic = true};
    for (const int64_t micro : {6, 4, 3, 2, 1}) {
        plan = smaller_batch(plan);
        EXPECT_EQ(plan.micro, micro);
        EXPECT_EQ(plan.effective(), 12);
        EXPECT_TRUE(plan.automatic);
    }
}

}  // namespace
