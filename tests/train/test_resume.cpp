#include "tiny_run.h"

#include "knlp/config/build_info.h"
#include "knlp/core/json.h"
#include "tests/support/expect_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;

void expect_same_run(const fs::path& straight, const fs::path& resumed) {
    EXPECT_EQ(events(straight), events(resumed));
    for (const char* name : {"model.safetensors", "optim.safetensors"})
        EXPECT_TRUE(same_bytes(newest(straight) / name, newest(resumed) / name)) << name;
    EXPECT_TRUE(same_bytes(straight / "eval_windows.f32", resumed / "eval_windows.f32"));
    EXPECT_TRUE(same_bytes(straight / "samples.txt", resumed / "samples.txt"));
}

TEST(Resume, StoppedAtAnyStepEqualsTheUninterruptedRun) {
    TinyRuns runs;
    runs.train("straight");
    for (const int64_t step : {1, 4, 9}) {
        const std::string name = "stopped-" + std::to_string(step);
        EXPECT_EQ(runs.train_until(name, step, 0), 75);
        EXPECT_EQ(runs.resume(name).status, 0);
        expect_same_run(runs.run("straight"), runs.run(name));
    }
}

TEST(Resume, UnfinishedAccumulationIsDiscardedAndReplayed) {
    TinyRuns runs;
    runs.train("straight");
    EXPECT_EQ(runs.train_until("stopped", 5, 2, {}, 2), 130);
    EXPECT_EQ(read_json(newest(runs.run("stopped")) / "state.json")["step"], 5);
    EXPECT_EQ(runs.resume("stopped").status, 0);
    expect_same_run(runs.run("straight"), runs.run("stopped"));
}

TEST(Resume, Bfloat16AndSpamContinueWithTheSameBits) {
    if (config::built("ENABLE_SPAM") == "n") GTEST_SKIP() << "built without ENABLE_SPAM";
    TinyRuns runs;
    const Values changes = {{"MIXED_PRECISION", "y"},
                            {"OPTIMIZER_SELECT_ADAMWSPAM", "y"},
                            {"SPAM_MODE_KNLP", "y"},
                            {"SPAM_INTERVAL", "4"},
                            {"SPAM_WARMUP_STEPS", "3"}};
    runs.train("straight", changes);
    EXPECT_EQ(runs.train_until("stopped", 5, 1, changes), 75);
    EXPECT_EQ(runs.resume("stopped").status, 0);
    expect_same_run(runs.run("straight"), runs.run("stopped"));
}

TEST(Resume, AutomaticMicroBatchIsKept) {
    TinyRuns runs;
    const Values changes = {{"HYPER_PARAM_AUTO", "y"},
                            {"TARGET_EFFECTIVE_BATCH", "6"},
                            {"GEMM_ATEN", ""},
                            {"BATCH_SIZE", ""},
                            {"GRADIENT_ACCUMULATION", ""}};
    runs.train("straight", changes);
    runs.train_until("stopped", 5, 0, changes);
    const auto before = read_json(newest(runs.run("stopped")) / "state.json");
    EXPECT_EQ(runs.resume("stopped").status, 0);
    const auto after = read_json(newest(runs.run("stopped")) / "state.json");
    for (const char* name : {"batch", "accumulation", "gemm", "isa", "threads"})
        EXPECT_EQ(before[name], after[name]);
}

TEST(Resume, ThreeTimesStillEqualsOnceAndStepsIncrease) {
    TinyRuns runs;
    runs.train("straight");
    runs.train_until("stopped", 2, 1);
    EXPECT_EQ(runs.resume_until("stopped", 4, 2), 75);
    EXPECT_EQ(runs.resume_until("stopped", 7, 0), 75);
    EXPECT_EQ(runs.resume("stopped").status, 0);
    expect_same_run(runs.run("straight"), runs.run("stopped"));
    int64_t last = -1;
    for (const auto& event : events(runs.run("stopped"), "train")) {
        EXPECT_GT(event["step"], last);
        last = event["step"];
    }
}

TEST(Resume, ALargerBudgetGoesOnAsIfThereHadBeenNoEnd) {
    TinyRuns runs;
    const Values constant = {{"LR_SCHEDULE_CONSTANT", "y"}, {"GPT2_EVAL_INTERVAL", "4"}};
    Values shorter = constant;
    shorter["GPT2_MAX_ITERS"] = "5";
    runs.train("straight", constant);
    runs.train("extended", shorter);
    EXPECT_EQ(runs.resume("extended", {{"GPT2_MAX_ITERS", "10"}}).status, 0);
    expect_same_run(runs.run("straight"), runs.run("extended"));
}

TEST(Resume, WithoutACheckpointTheRunBeginsAgain) {
    TinyRuns runs;
    runs.train("straight");
    EXPECT_EQ(runs.train_until("stopped", 0, 1), 75);
    EXPECT_TRUE(train::list_checkpoints(runs.run("stopped")).empty());
    EXPECT_EQ(runs.resume("stopped").status, 0);
    expect_same_run(runs.run("straight"), runs.run("stopped"));
}

TEST(Resume, DamagedNewestCheckpointFallsBackAndEndsTheSame) {
    TinyRuns runs;
    runs.train("straight");
    runs.train_until("stopped", 8, 0);
    const fs::path damaged = newest(runs.run("stopped")) / "optim.safetensors";
    std::string bytes = bytes_of(damaged);
    bytes[bytes.size() / 2] ^= 1;
    std::ofstream(damaged, std::ios::binary) << bytes;
    EXPECT_EQ(runs.resume("stopped").status, 0);
    expect_same_run(runs.run("straight"), runs.run("stopped"));
}

TEST(Resume, FinishedRunStaysFinished) {
    TinyRuns runs;
    runs.train("a");
    const auto before = events(runs.run("a"));
    EXPECT_EQ(runs.resume("a").status, 0);
    EXPECT_EQ(events(runs.run("a")), before);
}

TEST(Resume, ChangedSymbolsAreListedAndRefused) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    const auto before = events(runs.run("a"));
    const std::string text = expect_error(
        kConfig,
        {"LEARNING_RATE=5e-3 (was 1e-2)", "GPT2_DROPOUT=0.2 (was 0.1)", "--allow-config-change"},
        [&] {
            runs.resume("a", {{"LEARNING_RATE", "5e-3"}, {"GPT2_DROPOUT", "0.2"}});
        });
    EXPECT_EQ(events(runs.run("a")), before);
    train::TrainRequest allow;
    allow.allow_config_change = true;
    EXPECT_EQ(runs.resume("a", {{"LEARNING_RATE", "5e-3"}}, allow).status, 0);
}

TEST(Resume, BudgetAndLoggingMayChange) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    EXPECT_EQ(runs.resume("a", {{"GPT2_MAX_ITERS", "7"}, {"GPT2_LOG_INTERVAL", "1"}}).status, 0);
    EXPECT_EQ(events(runs.run("a"), "final").at(0)["step"], 7);
}

TEST(Resume, OtherTokensThanTheRunBeganWithAreRefused) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    const auto before = events(runs.run("a"));
    fs::remove_all(runs.data());
    data::make_synthetic("markov", 20000, 2, {.name = "tiny"}, runs.data());
    expect_error(kData, {"train tokens", runs.data().string(), "SHA-256", "--allow-config-change"},
                 [&] { runs.resume("a"); });
    EXPECT_EQ(events(runs.run("a")), before);
    train::TrainRequest allow;
    allow.allow_config_change = true;
    EXPECT_EQ(runs.resume("a", {}, allow).status, 0);
}

TEST(Resume, LostMetricsAreRefused) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    fs::remove(runs.run("a") / "metrics.jsonl");
    expect_error(kData, {"metrics.jsonl", "has 0 bytes"}, [&] { runs.resume("a"); });
}

TEST(Resume, ADirectoryThatIsNoRunIsRefused) {
    TinyRuns runs;
    fs::create_directory(runs.run("empty"));
    config::Symbols symbols = config::Symbols::from_values(runs.values());
    train::TrainRequest request;
    request.resume = runs.run("empty");
    expect_error(kData, {"empty"}, [&] { train::run_training(symbols, request); });
}

}  // namespace
