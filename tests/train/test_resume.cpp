#include "tiny_run.h"

#include "knlp/config/build_info.h"
#include "knlp/core/json.h"
#include "knlp/data/batches.h"
#include "knlp/model/loaded_model.h"
#include "knlp/track/recorded.h"
#include "knlp/train/evaluator.h"
#include "tests/support/expect_error.h"
#include "tests/support/scoped_environment.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <fstream>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;

std::vector<std::string> warnings_of(const fs::path& run) {
    return read_json(run / "manifest.json")["warnings"].get<std::vector<std::string>>();
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

TEST(Resume, ManifestKeepsTheDigestsOfTheFirstWeights) {
    TinyRuns runs;
    runs.train_until("stopped", 5, 0);
    const auto digests = [&] {
        return read_json(runs.run("stopped") / "manifest.json")["first_weights"];
    };
    const auto before = digests();
    ASSERT_TRUE(before.is_object() && before.contains("h.0.attn.c_attn.weight"));
    EXPECT_EQ(runs.resume("stopped").status, 0);
    EXPECT_EQ(digests(), before);
    runs.train("again", {{"GPT2_MAX_ITERS", "1"}});
    EXPECT_EQ(read_json(runs.run("again") / "manifest.json")["first_weights"], before);
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
    expect_same_run(runs.run("straight"), runs.run("stopped"), true);
    const std::string said = "checkpoint step-00000008 is damaged";
    EXPECT_THAT(warnings_of(runs.run("stopped")), testing::Contains(testing::HasSubstr(said)));
    EXPECT_THAT(bytes_of(runs.run("stopped") / "output.log"), testing::HasSubstr(said));
    EXPECT_THAT(events(runs.run("stopped"), "warn").at(0)["text"].get<std::string>(),
                testing::HasSubstr(said));
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
}

TEST(Resume, WhatItChangedStaysInTheRecord) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    train::TrainRequest allow;
    allow.allow_config_change = true;
    // Twice: what the first said must outlive the second.
    for (const auto& [rate, iters] : {std::pair("5e-3", "7"), std::pair("4e-3", "10")})
        EXPECT_EQ(
            runs.resume("a", {{"LEARNING_RATE", rate}, {"GPT2_MAX_ITERS", iters}}, allow).status,
            0);
    const std::string first =
                          "going on with a changed configuration: LEARNING_RATE=5e-3 (was 1e-2)",
                      second =
                          "going on with a changed configuration: LEARNING_RATE=4e-3 (was 5e-3)";
    EXPECT_EQ(warnings_of(runs.run("a")), (std::vector<std::string>{first, second}));
    const auto warned = events(runs.run("a"), "warn");
    ASSERT_EQ(warned.size(), 2u);
    EXPECT_EQ(warned[0], nlohmann::json({{"event", "warn"}, {"step", 5}, {"text", first}}));
    EXPECT_EQ(warned[1], nlohmann::json({{"event", "warn"}, {"step", 7}, {"text", second}}));
    EXPECT_THAT(bytes_of(runs.run("a") / "output.log"), testing::HasSubstr(first));
    const auto attempts = read_json(runs.run("a") / "manifest.json")["attempts"];
    ASSERT_EQ(attempts.size(), 3u);
    EXPECT_TRUE(attempts[0]["changed_symbols"].empty());
    EXPECT_EQ(attempts[1]["changed_symbols"],
              nlohmann::json::parse(R"([{"name":"LEARNING_RATE","old":"1e-2","new":"5e-3"}])"));
    EXPECT_EQ(attempts[2]["from_step"], 7);
    EXPECT_EQ(attempts[1]["budgets"]["max_iters"], 7);
    EXPECT_NE(attempts[0]["config_sha256"], attempts[1]["config_sha256"]);
    for (const auto& attempt : attempts) EXPECT_TRUE(attempt["ended"].is_string());
}

TEST(Resume, AnotherBatchIsRefusedOrGoesOnWhereTheTokensEnded) {
    TinyRuns runs;
    const Values changes = {{"GPT2_DROPOUT", "0"}, {"GPT2_LOG_INTERVAL", "1"}};
    runs.train_until("a", 5, 0, changes);
    expect_error(kConfig, {"BATCH_SIZE=4 (was 2)", "--allow-config-change"}, [&] {
        runs.resume("a", {{"BATCH_SIZE", "4"}});
    });
    const fs::path checkpoint = newest(runs.run("a"));
    model::LoadedModel before({.path = checkpoint, .device = "cpu", .threads = 1});
    const data::Dataset dataset = data::open_dataset(runs.data());
    std::vector<int64_t> starts;  // of rows 0 to 11 of step 5
    for (uint64_t row = 0; row < 12; ++row)
        starts.push_back(data::window_start(1, "train", 5, row, dataset.train.size(), 16));
    const double expected = train::evaluate_windows(before.gpt2(), dataset.train, starts, 4,
                                                    config::Precision::kFloat32)
                                .loss;
    train::TrainRequest allow;
    allow.allow_config_change = true;
    EXPECT_EQ(runs.resume("a", {{"BATCH_SIZE", "4"}}, allow).status, 0);
    EXPECT_THAT(warnings_of(runs.run("a")),
                testing::ElementsAre(testing::HasSubstr("BATCH_SIZE=4 (was 2)"),
                                     "a step takes 12 sequences from step 5 on, 6 before; 480 "
                                     "tokens were seen"));
    const auto steps = events(runs.run("a"), "train");
    ASSERT_EQ(steps.size(), 10u);
    for (int64_t step = 0; step < 10; ++step)
        EXPECT_EQ(steps[static_cast<size_t>(step)]["tokens"],
                  96 * std::min<int64_t>(step, 5) + 192 * std::max<int64_t>(step - 5, 0));
    // Means of the same 192 float32 losses in another order.
    EXPECT_NEAR(steps[5]["loss"].get<double>(), expected, 1e-5);
    EXPECT_EQ(read_json(newest(runs.run("a")) / "state.json")["tokens_seen"], 5 * 96 + 5 * 192);
}

TEST(Resume, AnotherModelIsRefusedWithTheTensorsThatDiffer) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    const auto before = events(runs.run("a"));
    expect_error(kConfig, {"GPT2_N_LAYER=2 (was 1)"}, [&] {
        runs.resume("a", {{"GPT2_N_LAYER", "2"}});
    });
    train::TrainRequest allow;
    allow.allow_config_change = true;
    const auto refused = [&](const Values& changes, std::initializer_list<std::string> parts) {
        expect_error(kData, parts, [&] { runs.resume("a", changes, allow); });
    };
    refused({{"GPT2_N_LAYER", "2"}},
            {"step-00000005: n_layer is 1 there and 2 here; tensors that differ: h.1.ln_1.weight "
             "absent there and [16] here, ",
             "; model configuration "});
    refused({{"GPT2_BLOCK_SIZE", "32"}}, {"wpe.weight [16, 16] there and [32, 16] here; "});
    refused({{"GPT2_BIAS", "n"}},
            {"bias is true there and false here", "h.0.ln_1.bias [16] there and absent here"});
    refused({{"GPT2_WEIGHT_TYING", "n"}}, {"weight_tying is true there and false here",
                                           "lm_head.weight absent there and [257, 16] here"});
    refused({{"GPT2_N_HEAD", "4"}}, {"n_head is 2 there and 4 here; model configuration "});
    EXPECT_EQ(events(runs.run("a")), before);
}

TEST(Resume, BudgetAndLoggingMayChange) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    EXPECT_EQ(runs.resume("a", {{"GPT2_MAX_ITERS", "7"},
                                {"GPT2_LOG_INTERVAL", "1"},
                                {"SYS_MONITOR_INTERVAL_MS", "100"}})
                  .status,
              0);
    EXPECT_EQ(events(runs.run("a"), "final").at(0)["step"], 7);
}

TEST(Resume, SystemStatisticsAreAppended) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    const std::string before = bytes_of(runs.run("a") / "sys_stats.jsonl");
    EXPECT_EQ(runs.resume("a").status, 0);
    const std::string after = bytes_of(runs.run("a") / "sys_stats.jsonl");
    EXPECT_THAT(after, testing::StartsWith(before));
    EXPECT_GT(after.size(), before.size());
}

TEST(Resume, SystemStatisticsThatCannotBeWrittenChangeNothing) {
    TinyRuns runs;
    runs.train("straight");
    runs.train_until("a", 5, 0);
    const fs::path file = runs.run("a") / "sys_stats.jsonl";
    fs::remove(file);
    fs::create_symlink("/dev/full", file);
    EXPECT_EQ(runs.resume("a").status, 0);
    EXPECT_THAT(bytes_of(runs.run("a") / "output.log"),
                testing::HasSubstr("system statistics are no longer written"));
    expect_same_run(runs.run("straight"), runs.run("a"));
}

TEST(Resume, OtherTokensThanTheRunBeganWithAreRefused) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    const auto before = events(runs.run("a"));
    const auto files = read_json(runs.run("a") / "manifest.json")["data"]["files"];
    fs::remove_all(runs.data());
    data::make_synthetic("markov", 20000, 2, {.name = "tiny"}, runs.data());
    expect_error(kData, {"train tokens", runs.data().string(), "SHA-256", "--allow-config-change"},
                 [&] { runs.resume("a"); });
    EXPECT_EQ(events(runs.run("a")), before);
    train::TrainRequest allow;
    allow.allow_config_change = true;
    EXPECT_EQ(runs.resume("a", {}, allow).status, 0);
    EXPECT_THAT(warnings_of(runs.run("a")),
                testing::ElementsAre(testing::HasSubstr("going on with other data")));
    EXPECT_EQ(events(runs.run("a"), "warn").size(), 1u);
    const auto attempt = read_json(runs.run("a") / "manifest.json")["attempts"].back();
    for (const auto& was : attempt["replaced_data"]) EXPECT_THAT(files, testing::Contains(was));
    EXPECT_EQ(attempt["replaced_data"].size(), 2u);
}

TEST(Resume, AFineTunedRunKeepsItsParent) {
    TinyRuns runs;
    runs.train("base", {{"GPT2_MAX_ITERS", "2"}});
    train::TrainRequest request;
    request.init_from = runs.run("base");
    request.on_micro_batch = [](int64_t step, int64_t) {
        if (step == 5) request_stop(15);
    };
    EXPECT_EQ(runs.train("a", {}, request).status, 75);
    clear_stop();
    const auto parents = read_json(runs.run("a") / "manifest.json")["parents"];
    EXPECT_EQ(parents.at(0)["path"], track::recorded_path(runs.run("base")));
    EXPECT_EQ(runs.resume("a").status, 0);
    EXPECT_EQ(read_json(runs.run("a") / "manifest.json")["parents"], parents);
}

TEST(Resume, ARunStopsWhileItsBatchJobHasTimeToSave) {
    TinyRuns runs;
    EXPECT_EQ(runs.train("whole").status, 0);
    const ScopedEnvironment id("SLURM_JOB_ID", "7");
    {
        const ScopedEnvironment past("SLURM_JOB_END_TIME", "1");
        EXPECT_EQ(runs.train("a").status, 75);
        clear_stop();
        // One step is taken whatever the clock says: a job that is queued again gets on.
        EXPECT_EQ(track::last_saved(runs.run("a")).step, 1);
        EXPECT_EQ(runs.resume("a").status, 75);
        clear_stop();
        EXPECT_EQ(track::last_saved(runs.run("a")).step, 2);
    }
    const ScopedEnvironment later("SLURM_JOB_END_TIME", "99999999999");
    EXPECT_EQ(runs.resume("a").status, 0);
    expect_same_run(runs.run("a"), runs.run("whole"));
}

TEST(Resume, AStopInAnEvaluationLosesNoRecordOfTheCheckpointThatWasDue) {
    TinyRuns runs;
    const Values every = {{"CHECKPOINT_INTERVAL", "1"}, {"GPT2_EVAL_INTERVAL", "1"}};
    EXPECT_EQ(runs.train("whole", every).status, 0);
    {
        const ScopedEnvironment id("SLURM_JOB_ID", "7"), past("SLURM_JOB_END_TIME", "1");
        EXPECT_EQ(runs.train("a", every).status, 75);
        clear_stop();
    }
    EXPECT_EQ(runs.resume("a").status, 0);
    expect_same_run(runs.run("whole"), runs.run("a"));
}

TEST(Resume, ARunThatSavesNothingStaysToTheEndOfItsBatchJob) {
    TinyRuns runs;
    const ScopedEnvironment id("SLURM_JOB_ID", "7"), past("SLURM_JOB_END_TIME", "1");
    EXPECT_EQ(runs.train("a", {{"SAVE_CHECKPOINT", "n"}, {"CHECKPOINT_INTERVAL", ""}}).status, 0);
}

TEST(Resume, ADryRunChangesNothing) {
    TinyRuns runs;
    runs.train_until("a", 5, 0);
    const auto before = events(runs.run("a"));
    const std::string status = bytes_of(runs.run("a") / "status.json");
    train::TrainRequest dry;
    dry.dry_run = true;
    EXPECT_EQ(runs.resume("a", {}, dry).status, 0);
    expect_error(kConfig, {"LEARNING_RATE=5e-3 (was 1e-2)"}, [&] {
        runs.resume("a", {{"LEARNING_RATE", "5e-3"}}, dry);
    });
    EXPECT_EQ(events(runs.run("a")), before);
    EXPECT_EQ(bytes_of(runs.run("a") / "status.json"), status);
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
