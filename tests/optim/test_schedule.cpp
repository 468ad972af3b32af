#include "knlp/optim/schedule.h"

#include <gtest/gtest.h>

namespace {

using knlp::config::Schedule;
using knlp::config::Train;
using knlp::optim::learning_rate;
using knlp::optim::progress_of;

Train sixhundred() {
    Train train;
    train.max_iters = 600;
    train.warmup_steps = 50;
    train.learning_rate = 1e-3;
    train.min_lr = 1e-4;
    return train;
}

TEST(Schedule, CosineMatchesTheVector) {
    const Train train = sixhundred();
    EXPECT_DOUBLE_EQ(learning_rate(train, {.step = 0}), 2e-5);
    EXPECT_DOUBLE_EQ(learning_rate(train, {.step = 49}), 1e-3);
    EXPECT_DOUBLE_EQ(learning_rate(train, {.step = 50}), 1e-3);
    EXPECT_NEAR(learning_rate(train, {.step = 325}), 5.5e-4, 1e-15);
    EXPECT_NEAR(learning_rate(train, {.step = 600}), 1e-4, 1e-18);
}

TEST(Schedule, FirstRateIsTheHighestDividedByWarmUp) {
    Train train = sixhundred();
    for (const int64_t warmup : {1, 7, 2000}) {
        train.warmup_steps = warmup;
        EXPECT_DOUBLE_EQ(learning_rate(train, {}), 1e-3 / static_cast<double>(warmup));
    }
    train.max_time_s = 100;
    EXPECT_DOUBLE_EQ(learning_rate(train, {}), 1e-3 / 2000);
}

TEST(Schedule, WithoutWarmUpStartsAtTheHighest) {
    Train train = sixhundred();
    train.warmup_steps = 0;
    EXPECT_DOUBLE_EQ(learning_rate(train, {}), 1e-3);
    EXPECT_LT(learning_rate(train, {.step = 1}), 1e-3);
}

TEST(Schedule, LinearWsdAndConstantHaveTheirShapes) {
    Train train = sixhundred();
    train.schedule = Schedule::kLinear;
    EXPECT_NEAR(learning_rate(train, {.step = 325}), 5.5e-4, 1e-15);
    EXPECT_NEAR(learning_rate(train, {.step = 600}), 1e-4, 1e-18);
    train.schedule = Schedule::kWsd;
    EXPECT_DOUBLE_EQ(learning_rate(train, {.step = 489}), 1e-3);      // q = 439 / 550 < 0.8
    EXPECT_NEAR(learning_rate(train, {.step = 545}), 5.5e-4, 1e-15);  // q = 0.9
    EXPECT_NEAR(learning_rate(train, {.step = 600}), 1e-4, 1e-18);
    train.schedule = Schedule::kConstant;
    EXPECT_DOUBLE_EQ(learning_rate(train, {.step = 599}), 1e-3);
    train.schedule = Schedule::kCosine;
    train.decay_lr = false;
    EXPECT_DOUBLE_EQ(learning_rate(train, {.step = 599}), 1e-3);
}

TEST(Schedule, ProgressIsTheBudgetFurthestUsed) {
    Train train;
    train.max_iters = 100;
    train.max_tokens = 1000;
    train.max_time_s = 10;
    EXPECT_DOUBLE_EQ(progress_of(train, {.step = 50, .tokens = 100, .elapsed_s = 1}), 0.5);
    EXPECT_DOUBLE_EQ(progress_of(train, {.step = 1, .tokens = 700, .elapsed_s = 1}), 0.7);
    EXPECT_DOUBLE_EQ(progress_of(train, {.step = 1, .tokens = 100, .elapsed_s = 9}), 0.9);
    EXPECT_DOUBLE_EQ(progress_of(train, {.step = 300}), 1.0);
    EXPECT_DOUBLE_EQ(progress_of(Train{}, {.step = 300, .tokens = 5, .elapsed_s = 5}), 0.0);
}

TEST(Schedule, TokenBudgetEqualsTheSameBudgetInSteps) {
    Train steps = sixhundred(), tokens = sixhundred();
    tokens.max_iters = 0;
    tokens.max_tokens = 600 * 2048;
    for (int64_t step = 0; step <= 600; step += 25)
        EXPECT_NEAR(learning_rate(tokens, {.step = step, .tokens = step * 2048}),
                    learning_rate(steps, {.step = step}), 1e-15);
}

TEST(Schedule, TimeBudgetWarmsUpForItsFractionAndCompletes) {
    Train train = sixhundred();
    train.max_iters = 0;
    train.max_time_s = 1000;
    train.warmup_fraction = 0.1;
    EXPECT_NEAR(learning_rate(train, {.step = 3, .elapsed_s = 50}), 5e-4, 1e-15);
    EXPECT_NEAR(learning_rate(train, {.step = 9, .elapsed_s = 100}), 1e-3, 1e-15);
    EXPECT_NEAR(learning_rate(train, {.step = 20, .elapsed_s = 550}), 5.5e-4, 1e-15);
    EXPECT_NEAR(learning_rate(train, {.step = 40, .elapsed_s = 1000}), 1e-4, 1e-18);
}

TEST(Schedule, WarmUpLongerThanTheBudgetNeverDecays) {
    Train train = sixhundred();
    train.warmup_steps = 2000;
    EXPECT_DOUBLE_EQ(learning_rate(train, {.step = 599}), 1e-3 * 600 / 2000);
}

}  // namespace
