#include "src/train/state.h"

#include "knlp/core/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace {

using namespace knlp;
using namespace knlp::train;

StateFile example() {
    StateFile file;
    file.state = {.step = 7,
                  .tokens = 700,
                  .elapsed_s = 0.1 + 0.2,
                  .train_s = 0.2 / 3,
                  .eval_s = 0.7 / 9,
                  .save_s = 0.01,
                  .best = {1.0 / 3, 4},
                  .last_val_loss = 0.7,
                  .last_eval_step = 4,
                  .last_logged_step = 6,
                  .since_log = {1e-17, 1},
                  .since_eval = {5.5, 3},
                  .recent = {{0.1, 1.0 / 3, 7}},
                  .bad_in_a_row = 1,
                  .bad_total = 2,
                  .metrics_offset = 12345,
                  .unrecorded_save = 6};
    file.resume = file.state;
    file.resume.best = {};
    file.choices = {.threads = 2, .isa = "avx2", .gemm = "aten", .micro = 2, .accumulation = 3};
    file.optimizer = "adamw";
    file.optimizer_scalars = "{\"step\":7}";
    file.seed = 18446744073709551615ull;
    return file;
}

TEST(StateFile, EveryFieldSurvivesExactly) {
    test::TempDir dir;
    const StateFile file = example();
    write_file_atomic(dir.file("state.json"), state_text(file));
    const StateFile read = read_state_file(dir.file("state.json"));
    EXPECT_EQ(state_text(read), state_text(file));
    EXPECT_EQ(read.state.elapsed_s, 0.1 + 0.2);
    EXPECT_EQ(read.state.train_s, 0.2 / 3);
    EXPECT_EQ(read.state.best.val_loss, 1.0 / 3);
    EXPECT_EQ(read.state.since_log.loss, 1e-17);
    EXPECT_TRUE(std::isinf(read.resume.best.val_loss));
    EXPECT_EQ(read.resume.best.step, -1);
    EXPECT_EQ(read.seed, 18446744073709551615ull);
    EXPECT_EQ(read.choices.accumulation, 3);
}

TEST(StateFile, OfBeforeRecentLossesWereKeptIsRead) {
    test::TempDir dir;
    nlohmann::json whole = nlohmann::json::parse(state_text(example()));
    whole.erase("recent_losses");
    whole["resume"].erase("recent_losses");
    write_file_atomic(dir.file("state.json"), whole.dump());
    EXPECT_TRUE(read_state_file(dir.file("state.json")).resume.recent.losses.empty());
}

TEST(StateFile, OfBeforeProductsOfBfloat16WereNotedIsRead) {
    test::TempDir dir;
    StateFile file = example();
    for (const std::optional<bool> used : {std::optional<bool>(), std::optional(true)}) {
        file.choices.bf16_dot_products = used;
        write_file_atomic(dir.file("state.json"), state_text(file));
        EXPECT_EQ(read_state_file(dir.file("state.json")).choices.bf16_dot_products, used);
    }
    nlohmann::json whole = nlohmann::json::parse(state_text(file));
    whole.erase("bf16_dot_products");
    write_file_atomic(dir.file("state.json"), whole.dump());
    EXPECT_FALSE(read_state_file(dir.file("state.json")).choices.bf16_dot_products.has_value());
}

TEST(RecentLosses, ScoreIsInStandardDeviationsOfTheStepsBefore) {
    RecentLosses recent;
    // Mean 3, sample variance n / (n - 1) times that of ±1.
    for (size_t i = 0; i < RecentLosses::kSteps; ++i)
        EXPECT_EQ(recent.add(i % 2 == 0 ? 2.0 : 4.0), 0.0);
    const double n = RecentLosses::kSteps, deviation = std::sqrt(n / (n - 1));
    EXPECT_NEAR(recent.add(13.0), 10 / deviation, 1e-12);  // a sum of 128 terms of order 1
    EXPECT_EQ(recent.losses.size(), RecentLosses::kSteps);
    EXPECT_EQ(recent.losses.back(), 13.0);
    EXPECT_EQ(recent.losses.front(), 4.0);
}

TEST(RecentLosses, ConstantLossHasNoSpikes) {
    RecentLosses recent;
    for (int i = 0; i < 300; ++i) EXPECT_EQ(recent.add(1.5), 0.0);
}

TEST(StateFile, EachMissingFieldIsRefusedByName) {
    test::TempDir dir;
    const nlohmann::json whole = nlohmann::json::parse(state_text(example()));
    for (const char* name :
         {"step", "tokens_seen", "elapsed_s", "train_s", "best_step", "since_log", "metrics_offset",
          "unrecorded_save", "resume", "threads", "isa", "gemm", "batch", "accumulation",
          "optimizer", "rng", "schema"}) {
        nlohmann::json without = whole;
        without.erase(name);
        write_file_atomic(dir.file("state.json"), without.dump());
        test::expect_error(kData, {"state.json", name},
                           [&] { read_state_file(dir.file("state.json")); });
    }
}

TEST(StateFile, NegativeCountsAreRefused) {
    test::TempDir dir;
    for (const char* name : {"step", "tokens_seen", "metrics_offset", "threads", "batch"}) {
        nlohmann::json whole = nlohmann::json::parse(state_text(example()));
        whole[name] = -5;
        write_file_atomic(dir.file("state.json"), whole.dump());
        test::expect_error(kData, {"state.json", "-5"},
                           [&] { read_state_file(dir.file("state.json")); });
    }
}

TEST(StateFile, AnEmptyWindowHasNoMean) {
    EXPECT_TRUE(std::isnan(Window{}.mean()));
    Window window;
    window.add(1);
    window.add(2);
    EXPECT_DOUBLE_EQ(window.mean(), 1.5);
}

}  // namespace
