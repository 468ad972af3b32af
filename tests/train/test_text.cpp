#include "src/train/progress.h"
#include "src/train/text.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

namespace {

using namespace knlp::train;

TEST(TrainText, CountsAreGroupedOrShortened) {
    EXPECT_EQ(count_text(7), "7");
    EXPECT_EQ(count_text(842624), "842,624");
    EXPECT_EQ(count_text(-1234), "-1,234");
    EXPECT_EQ(count_text(124439808), "124.4 M");
}

TEST(ProgressLine, ShowsLossSpeedAndTimeLeft) {
    const std::string text = progress_text({.step = 120,
                                            .planned_steps = 600,
                                            .progress = 0.2,
                                            .loss = 2.5,
                                            .lr = 1e-3,
                                            .tokens_per_s = 15300,
                                            .elapsed_s = 20,
                                            .eta_s = 80});
    EXPECT_THAT(text, testing::HasSubstr("step 120/600"));
    EXPECT_THAT(text, testing::HasSubstr("loss 2.5000"));
    EXPECT_THAT(text, testing::HasSubstr("15,300 tokens/s"));
    EXPECT_THAT(text, testing::HasSubstr("ETA 1 min 20 s"));
}

}  // namespace
