#include "src/train/preflight.h"

#include "knlp/model/gpt2.h"
#include "knlp/train/step_memory.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace {

using namespace knlp;
using namespace knlp::train;
using test::expect_error;

TEST(MemoryPreflight, NamesTheBatchThatFitsAndCanBeForced) {
    MemoryEstimate estimate{.terms = {{"activations", 96}}, .available = 100, .fitting_batch = 12};
    expect_error(kRun, {"largest: activations 96 B; BATCH_SIZE=12 would fit", "--force"},
                 [&] { require_memory(estimate, false); });
    EXPECT_NO_THROW(require_memory(estimate, true));
    estimate.fitting_batch = 0;
    expect_error(kRun, {"not even BATCH_SIZE=1"}, [&] { require_memory(estimate, false); });
    estimate.terms[0].bytes = 95;
    EXPECT_NO_THROW(require_memory(estimate, false));
}

TEST(StepMemory, OfADeviceHoldsOneChunkOfLogits) {
    StepShape shape{.model = model::gpt2_preset("124M"), .device = {.cuda = 0}, .micro = 32};
    const int64_t rows = shape.micro * shape.model.n_ctx,
                  chunk = model::logit_rows(shape.model, rows, shape.device);
    const int64_t bytes = step_memory(shape, 0).total();
    shape.model.loss_chunk = rows;
    EXPECT_EQ(step_memory(shape, 0).total() - bytes,
              2 * 4 * (rows - chunk) * shape.model.padded_vocab());
}

TEST(DiskPreflight, WantsRoomFor2Point2Checkpoints) {
    test::TempDir dir;
    EXPECT_NO_THROW(require_disk(dir.path() / "not" / "yet", 1000, false));
    expect_error(kRun, {"2.2 checkpoints", "--force"},
                 [&] { require_disk(dir.path() / "not" / "yet", int64_t{1} << 60, false); });
    EXPECT_NO_THROW(require_disk(dir.path(), int64_t{1} << 60, true));
}

TEST(WritePreflight, PlaceUnderAFileIsRefusedAndNothingStays) {
    test::TempDir dir;
    std::ofstream(dir.file("plain")) << "x";
    expect_error(kRun, {"cannot be written", "--out"},
                 [&] { require_writable(dir.file("plain")); });
    EXPECT_NO_THROW(require_writable(dir.file("a/b/c")));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
    expect_error(kRun, {"/proc"}, [&] { require_writable("/proc/knlp-run"); });
}

config::Train steps(int64_t n) {
    config::Train train;
    train.max_iters = n;
    train.warmup_steps = 10;
    return train;
}

TEST(TimePreflight, CountsStepsAndEvaluations) {
    config::Train train = steps(100);
    train.eval_interval = 10;
    const TimeEstimate estimate =
        estimate_time(train, {.step_s = 2, .eval_s = 5, .tokens_per_step = 64});
    EXPECT_EQ(estimate.steps, 100);
    EXPECT_NEAR(estimate.total_s, 100 * 2 + 10 * 5 + 5, 1e-9);
    EXPECT_EQ(estimate.incomplete, "");
}

TEST(TimePreflight, TokenBudgetIsRoundedUpToWholeSteps) {
    config::Train train = steps(0);
    train.max_tokens = 1000;
    train.warmup_steps = 1;
    EXPECT_EQ(estimate_time(train, {.step_s = 1, .tokens_per_step = 64}).steps, 16);
}

TEST(TimePreflight, WarmUpOfMoreThanHalfTheRunIsIncomplete) {
    config::Train train = steps(19);
    EXPECT_NE(estimate_time(train, {.step_s = 1, .tokens_per_step = 1}).incomplete, "");
    train.max_iters = 20;
    EXPECT_EQ(estimate_time(train, {.step_s = 1, .tokens_per_step = 1}).incomplete, "");
}

TEST(TimePreflight, TimeBudgetThatReachesLessThanHalfTheStepsIsIncomplete) {
    config::Train train = steps(1000);
    train.max_time_s = 300;
    const TimeInputs inputs{.step_s = 1, .flops_per_s = 1e11, .tokens_per_step = 1};
    const TimeEstimate estimate = estimate_time(train, inputs);
    EXPECT_EQ(estimate.steps, 300);
    EXPECT_NE(estimate.incomplete, "");
    EXPECT_EQ(estimate.nearest_preset, "cpu-linuxdoc-gpt2");
    train.max_time_s = 600;
    EXPECT_EQ(estimate_time(train, inputs).incomplete, "");
}

TEST(TimePreflight, BudgetShorterThanAStepIsRefused) {
    config::Train train = steps(0);
    train.max_time_s = 300;
    const TimeInputs inputs{.step_s = 1500, .flops_per_s = 1e11, .tokens_per_step = 262144};
    const TimeEstimate estimate = estimate_time(train, inputs);
    expect_error(kRun, {"not one step fits", "25 min 00 s", "5 min 00 s", "GPT2_MAX_TIME"},
                 [&] { require_one_step(train, inputs, estimate); });
    EXPECT_NO_THROW(require_one_step(train, {.step_s = 299, .tokens_per_step = 1}, estimate));
}

TEST(TimePreflight, PresetsAreNamedDearestFirst) {
    double before = INFINITY;
    for (const PresetCost& preset : preset_costs()) {
        EXPECT_LT(preset.flops(), before) << preset.name;
        before = preset.flops();
    }
    // nano: 5.7 MFLOP a token, 2,048 tokens a step, 2,000 steps.
    EXPECT_NEAR(before, 5.7e6 * 2048 * 2000, 0.05 * before);
}

}  // namespace
