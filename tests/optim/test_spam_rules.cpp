#include "knlp/optim/spam.h"

#include <gtest/gtest.h>

namespace {

using knlp::config::Optimizer;
using knlp::optim::kNeverReset;
using knlp::optim::spam_clips;
using knlp::optim::spam_warmup;

Optimizer knlp_mode() {
    Optimizer options;
    options.spam_knlp = true;
    options.spam_theta = 50;
    options.spam_grace_steps = 0;
    options.spam_interval = 1000;
    options.spam_warmup_steps = 100;
    options.beta2 = 0.999;
    return options;
}

TEST(SpamWarmUp, PaperScaleMatchesTheCheckValues) {
    const Optimizer paper;  // the defaults are the paper's
    EXPECT_NEAR(spam_warmup(paper, 0), 0.010000, 5e-7);
    EXPECT_NEAR(spam_warmup(paper, 1), 0.010107, 5e-7);
    EXPECT_NEAR(spam_warmup(paper, 75), 0.499851, 5e-7);
    EXPECT_NEAR(spam_warmup(paper, 149), 0.999572, 5e-7);
    EXPECT_DOUBLE_EQ(spam_warmup(paper, 150), 1.0);
    EXPECT_DOUBLE_EQ(spam_warmup(paper, kNeverReset), 1.0);
}

TEST(SpamWarmUp, KnlpScaleIsAHalfCosineWithAFloor) {
    const Optimizer options = knlp_mode();
    EXPECT_DOUBLE_EQ(spam_warmup(options, 0), 1e-3);
    EXPECT_NEAR(spam_warmup(options, 50), 0.5, 1e-15);
    EXPECT_DOUBLE_EQ(spam_warmup(options, 100), 1.0);
    EXPECT_DOUBLE_EQ(spam_warmup(options, kNeverReset), 1.0);
}

TEST(SpamClip, PaperWaitsForTheGracePeriodAtStartAndAfterAReset) {
    const Optimizer paper;
    EXPECT_FALSE(spam_clips(paper, 19, 18));
    EXPECT_TRUE(spam_clips(paper, 20, 19));
    EXPECT_TRUE(spam_clips(paper, 499, 498));
    EXPECT_FALSE(spam_clips(paper, 500, 0));
    EXPECT_FALSE(spam_clips(paper, 519, 19));
    EXPECT_TRUE(spam_clips(paper, 520, 20));
}

TEST(SpamClip, KnlpNeverClipsRightAfterAReset) {
    const Optimizer options = knlp_mode();  // 50 (1 - 0.999^21) > 1 > 50 (1 - 0.999^20)
    EXPECT_FALSE(spam_clips(options, 1, 0));
    EXPECT_FALSE(spam_clips(options, 1000, 0));
    EXPECT_FALSE(spam_clips(options, 1020, 20));
    EXPECT_TRUE(spam_clips(options, 1021, 21));
}

TEST(SpamClip, CanBeSwitchedOff) {
    Optimizer options;
    options.spam_clip = false;
    EXPECT_FALSE(spam_clips(options, 100, 100));
}

}  // namespace
