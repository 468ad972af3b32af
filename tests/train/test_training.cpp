#include "tiny_run.h"

#include "knlp/config/build_info.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/safetensors.h"
#include "knlp/data/token_file.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/loaded_model.h"
#include "knlp/model/model_files.h"
#include "knlp/track/manifest.h"
#include "tests/support/expect_error.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <fstream>
#include <new>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;

std::vector<int64_t> steps_of(const std::vector<nlohmann::json>& all) {
    std::vector<int64_t> steps;
    for (const auto& event : all) steps.push_back(event["step"]);
    return steps;
}

TEST(Training, EventsStandWhereTheIntervalsSay) {
    TinyRuns runs;
    EXPECT_EQ(runs.train("a").status, 0);
    EXPECT_EQ(steps_of(events(runs.run("a"), "train")), (std::vector<int64_t>{0, 3, 6, 9}));
    EXPECT_EQ(steps_of(events(runs.run("a"), "eval")), (std::vector<int64_t>{0, 4, 8, 10}));
    EXPECT_EQ(steps_of(events(runs.run("a"), "final")), (std::vector<int64_t>{10}));
    for (const auto& event : events(runs.run("a"), "train"))
        EXPECT_EQ(event["tokens"], event["step"].get<int64_t>() * 2 * 3 * 16);
}

TEST(Training, FirstLearningRateIsTheHighestDividedByWarmUp) {
    TinyRuns runs;
    runs.train("a", {{"GPT2_WARMUP_STEPS", "4"}, {"LEARNING_RATE", "2e-3"}});
    EXPECT_DOUBLE_EQ(events(runs.run("a"), "train")[0]["lr"].get<double>(), 2e-3 / 4);
}

TEST(Training, LastStepIsLoggedAndEvaluatedWhateverTheIntervals) {
    TinyRuns runs;
    runs.train(
        "a", {{"GPT2_MAX_ITERS", "6"}, {"GPT2_EVAL_INTERVAL", "100"}, {"GPT2_LOG_INTERVAL", "4"}});
    EXPECT_EQ(steps_of(events(runs.run("a"), "train")), (std::vector<int64_t>{0, 4, 5}));
    EXPECT_EQ(steps_of(events(runs.run("a"), "eval")), (std::vector<int64_t>{0, 6}));
}

TEST(Training, SameSeedGivesTheSameRecordAndAnotherSeedAnother) {
    TinyRuns runs;
    runs.train("a");
    runs.train("b");
    runs.train("c", {{"SEED", "2"}});
    EXPECT_EQ(events(runs.run("a")), events(runs.run("b")));
    EXPECT_TRUE(same_bytes(newest(runs.run("a")) / "model.safetensors",
                           newest(runs.run("b")) / "model.safetensors"));
    EXPECT_NE(events(runs.run("a"), "train"), events(runs.run("c"), "train"));
}

TEST(Training, EvaluationIntervalDoesNotChangeTheTraining) {
    TinyRuns runs;
    runs.train("often", {{"GPT2_EVAL_INTERVAL", "1"}});
    runs.train("never", {{"GPT2_EVAL_INTERVAL", "1000"}});
    EXPECT_EQ(events(runs.run("often"), "train"), events(runs.run("never"), "train"));
    EXPECT_TRUE(same_bytes(newest(runs.run("often")) / "model.safetensors",
                           newest(runs.run("never")) / "model.safetensors"));
}

TEST(Training, BestCheckpointIsThatOfTheLowestEvaluation) {
    TinyRuns runs;
    runs.train("a",
               {{"GPT2_MAX_ITERS", "12"}, {"CHECKPOINT_KEEP", "1"}, {"GPT2_EVAL_INTERVAL", "3"}});
    double best = 1e9;
    int64_t step = -1;
    for (const auto& event : events(runs.run("a"), "eval")) {
        if (event["step"] == 0) continue;
        EXPECT_EQ(event["best"].get<bool>(), event["val_loss"].get<double>() < best);
        if (event["best"]) step = event["step"];
        best = std::min(best, event["val_loss"].get<double>());
    }
    const auto all = train::list_checkpoints(runs.run("a"));
    ASSERT_FALSE(all.empty());
    EXPECT_LE(all.size(), 2u);
    EXPECT_TRUE(std::any_of(all.begin(), all.end(),
                            [&](const auto& info) { return info.best && info.step == step; }));
    EXPECT_EQ(all.back().step, 12);
    for (const auto& info : all) EXPECT_EQ(train::verify_checkpoint(info.path), "");
}

TEST(Training, LossFallsOnTextWithStructure) {
    TinyRuns runs;
    runs.train("a", {{"GPT2_MAX_ITERS", "60"},
                     {"BATCH_SIZE", "8"},
                     {"GRADIENT_ACCUMULATION", "1"},
                     {"GPT2_DROPOUT", "0"},
                     {"GPT2_EVAL_INTERVAL", "60"}});
    const auto evals = events(runs.run("a"), "eval");
    EXPECT_NEAR(evals.front()["val_loss"].get<double>(), std::log(257.0), 0.15);
    EXPECT_LT(evals.back()["val_loss"].get<double>(),
              0.75 * evals.front()["val_loss"].get<double>());
}

TEST(Training, RunDirectoryIsCompleteAndUsableAlone) {
    TinyRuns runs;
    runs.train("a");
    for (const char* name : {"config", "config.resolved.json", "manifest.json", "metrics.jsonl",
                             "summary.json", "status.json", "sys_stats.jsonl", "samples.txt",
                             "output.log", "eval_windows.f32", "tokenizer"})
        EXPECT_TRUE(fs::exists(runs.run("a") / name)) << name;
    EXPECT_EQ(data::load_tokenizer(runs.run("a") / "tokenizer")->vocab_size(), 257);
    const model::ModelSource source = model::find_model(runs.run("a"));
    EXPECT_EQ(source.model.d_model, 16);
    EXPECT_EQ(fs::canonical(source.tokenizer), fs::canonical(runs.run("a") / "tokenizer"));
    EXPECT_EQ(fs::file_size(runs.run("a") / "eval_windows.f32"), 4 * 256 / 16);
    EXPECT_FALSE(fs::exists(runs.run("a") / "eval_documents.i64"));  // a text without documents
    EXPECT_EQ(read_json(runs.run("a") / "status.json")["state"], "done");
}

TEST(Training, RecordingWhatTheMachineDoesChangesNothingThatIsComputed) {
    TinyRuns runs;
    runs.train("with", {{"SYS_MONITOR_INTERVAL_MS", "100"}});
    runs.train("without", {{"SYS_MONITOR", "n"}});
    EXPECT_FALSE(fs::exists(runs.run("without") / "sys_stats.jsonl"));
    expect_same_run(runs.run("with"), runs.run("without"));
}

TEST(Training, ChoicesOfTheMachineAreRecorded) {
    TinyRuns runs;
    runs.train("a", {{"HYPER_PARAM_AUTO", "y"},
                     {"TARGET_EFFECTIVE_BATCH", "6"},
                     {"BATCH_SIZE", ""},
                     {"GRADIENT_ACCUMULATION", ""}});
    const auto state = read_json(newest(runs.run("a")) / "state.json");
    EXPECT_EQ(state["batch"].get<int64_t>() * state["accumulation"].get<int64_t>(), 6);
    EXPECT_EQ(state["gemm"], "aten");
    EXPECT_EQ(state["threads"], 1);
    EXPECT_THAT(state["isa"].get<std::string>(), testing::AnyOf("scalar", "avx2", "avx512"));
    const auto resolved = read_json(runs.run("a") / "config.resolved.json");
    EXPECT_EQ(resolved["BATCH_SIZE"]["origin"], "auto");
    EXPECT_EQ(resolved["NUM_THREADS"]["origin"], "auto");
}

/// Memory runs out in the first `times` first passes.
train::TrainRequest short_of_memory(int times) {
    train::TrainRequest request;
    request.on_micro_batch = [left = times](int64_t, int64_t) mutable {
        if (left-- > 0) throw std::bad_alloc();
    };
    return request;
}

TEST(Training, AutomaticMicroBatchShrinksUntilTheFirstPassFits) {
    TinyRuns runs;
    const Values automatic = {{"HYPER_PARAM_AUTO", "y"},
                              {"TARGET_EFFECTIVE_BATCH", "6"},
                              {"BATCH_SIZE", ""},
                              {"GRADIENT_ACCUMULATION", ""}};
    runs.train("roomy", automatic);
    ASSERT_EQ(read_json(newest(runs.run("roomy")) / "state.json")["batch"], 6);
    runs.train("narrow", automatic, short_of_memory(2));  // 6, then 3, then 2
    const auto state = read_json(newest(runs.run("narrow")) / "state.json");
    EXPECT_EQ(state["batch"], 2);
    EXPECT_EQ(state["accumulation"], 3);
    EXPECT_EQ(read_json(runs.run("narrow") / "config.resolved.json")["BATCH_SIZE"]["value"], 2);
    const auto manifest = track::read_manifest(runs.run("narrow"));
    EXPECT_EQ(manifest["batch"]["micro"], 2);
    EXPECT_THAT(manifest["warnings"].dump(), testing::HasSubstr("micro=6; trying micro=3"));

    runs.train("chosen");  // BATCH_SIZE=2, GRADIENT_ACCUMULATION=3
    EXPECT_EQ(events(runs.run("narrow")), events(runs.run("chosen")));
    for (const char* name : {"model.safetensors", "optim.safetensors"})
        EXPECT_TRUE(
            same_bytes(newest(runs.run("narrow")) / name, newest(runs.run("chosen")) / name));
}

TEST(Training, MicroBatchThatWasAskedForDoesNotShrink) {
    TinyRuns runs;
    expect_error(kRun, {"out of memory", "BATCH_SIZE"},
                 [&] { runs.train("a", {}, short_of_memory(1)); });
    EXPECT_EQ(read_json(runs.run("a") / "status.json")["state"], "failed");
}

TEST(Training, RunThatGoesOnDoesNotBeginAnewToShrink) {
    TinyRuns runs;
    runs.train_until("a", 5, 0,
                     {{"HYPER_PARAM_AUTO", "y"},
                      {"TARGET_EFFECTIVE_BATCH", "6"},
                      {"BATCH_SIZE", ""},
                      {"GRADIENT_ACCUMULATION", ""}});
    train::TrainRequest request = short_of_memory(1);
    request.allow_config_change = true;
    // The change makes the micro-batch a new choice; a model built again would lose five steps.
    expect_error(kRun, {"out of memory", "BATCH_SIZE"}, [&] {
        runs.resume("a", {{"LEARNING_RATE", "5e-4"}}, request);
    });
}

TEST(Training, OptimizerStateIsSavedUnderTheNamesOfTheParameters) {
    if (config::built("ENABLE_SPAM") == "n") GTEST_SKIP() << "built without ENABLE_SPAM";
    TinyRuns runs;
    runs.train(
        "a",
        {{"OPTIMIZER_SELECT_ADAMWSPAM", "y"}, {"SPAM_MODE_KNLP", "y"}, {"GPT2_MAX_ITERS", "2"}});
    const SafetensorsFile weights(newest(runs.run("a")) / "model.safetensors");
    const SafetensorsFile optimizer(newest(runs.run("a")) / "optim.safetensors");
    EXPECT_EQ(optimizer.tensors().size(), 3 * weights.tensors().size());
    for (const TensorView& tensor : weights.tensors())
        for (const char* suffix : {".exp_avg", ".exp_avg_sq", ".max_exp_avg_sq"})
            EXPECT_NE(optimizer.find(tensor.name + suffix), nullptr) << tensor.name << suffix;
}

TEST(Training, SummarySaysWhereTheTimeWentAndTheSpeedOfTheLog) {
    TinyRuns runs;
    runs.train("a");
    const auto summary = read_json(runs.run("a") / "summary.json");
    EXPECT_EQ(summary["tokens_per_s"].get<double>(),
              track::logged_tokens_per_s(track::read_metrics(runs.run("a"))));
    for (const char* name : {"train_time", "eval_time", "save_time", "startup_s"})
        EXPECT_GT(summary[name], 0) << name;
    EXPECT_LE(summary["train_time"].get<double>() + summary["eval_time"].get<double>() +
                  summary["save_time"].get<double>(),
              summary["total_time"]);
    EXPECT_LE(summary["peak_rss_outside_saves_bytes"], summary["peak_rss_bytes"]);
}

TEST(Training, CheckpointsEnterTheLogBeforeTheNextEvaluationOrSave) {
    TinyRuns runs;
    runs.train("a");  // saves after 3, 6 and 9 steps and at best evaluations, which come every 4
    std::vector<std::string> order;
    for (const auto& event : events(runs.run("a")))
        if (event["event"] != "train")
            order.push_back(event["event"].get<std::string>() + " " + event["step"].dump());
    const auto at = [&](const char* event) {
        return std::find(order.begin(), order.end(), event) - order.begin();
    };
    EXPECT_EQ(at("ckpt 3") + 1, at("eval 4"));
    EXPECT_LT(at("ckpt 6"), at("eval 8"));
    EXPECT_EQ(at("ckpt 9") + 1, at("eval 10"));
}

TEST(Training, TokenBudgetStopsAtTheStepThatReachesIt) {
    TinyRuns runs;
    runs.train("a", {{"GPT2_MAX_ITERS", "0"}, {"GPT2_MAX_TOKENS", "300"}});  // 96 tokens a step
    const auto last = events(runs.run("a"), "final").at(0);
    EXPECT_EQ(last["step"], 4);
    EXPECT_EQ(last["exit"], "max_tokens");
}

TEST(Training, MoreThreadsThanCoresIsAWarningOfTheRun) {
    TinyRuns runs;
    runs.train("a", {{"NUM_THREADS", std::to_string(usable_cores() + 1)}, {"GPT2_MAX_ITERS", "1"}});
    const auto warnings = read_json(runs.run("a") / "manifest.json")["warnings"];
    EXPECT_EQ(std::count_if(warnings.begin(), warnings.end(),
                            [](const nlohmann::json& text) {
                                return text == crowded_text(usable_cores() + 1);
                            }),
              1);
}

TEST(Training, SanityCheckLeavesTheRunAsItWouldHaveBeen) {
    TinyRuns runs;
    runs.train("plain", {{"GPT2_MAX_ITERS", "4"}});
    runs.train("checked", {{"GPT2_MAX_ITERS", "4"}, {"SANITY_OVERFIT", "y"}});
    EXPECT_EQ(events(runs.run("plain")), events(runs.run("checked")));
    for (const char* name : {"model.safetensors", "optim.safetensors"})
        EXPECT_TRUE(
            same_bytes(newest(runs.run("plain")) / name, newest(runs.run("checked")) / name));
}

TEST(Training, FineTuningStartsFromTheWeightsWithAFreshOptimizer) {
    TinyRuns runs;
    runs.train("a");
    train::TrainRequest request;
    request.init_from = runs.run("a");
    runs.train("b", {{"GPT2_MAX_ITERS", "3"}}, request);
    const auto evals = events(runs.run("b"), "eval");
    EXPECT_EQ(evals.front()["step"], 0);
    double best = 1e9;
    for (const auto& event : events(runs.run("a"), "eval"))
        best = std::min(best, event["val_loss"].get<double>());
    EXPECT_DOUBLE_EQ(evals.front()["val_loss"].get<double>(), best);
    EXPECT_EQ(read_json(newest(runs.run("b")) / "state.json")["optimizer_scalars"]["step"], 3);
}

TEST(Training, InitialWeightsAreNamedWithTheirHashInEveryManifestOfTheRun) {
    TinyRuns runs;
    runs.train("a", {{"GPT2_MAX_ITERS", "3"}});
    train::TrainRequest request;
    request.init_from = newest(runs.run("a"));
    runs.train("b", {{"GPT2_MAX_ITERS", "3"}}, request);
    const auto parents = [&] { return track::read_manifest(runs.run("b")).at("parents"); };
    const nlohmann::json first = parents();
    ASSERT_EQ(first.size(), 1u);
    EXPECT_EQ(first[0]["sha256"], sha256_file(request.init_from / "model.safetensors"));
    runs.resume("b", {{"GPT2_MAX_ITERS", "6"}});
    EXPECT_EQ(parents(), first);
}

TEST(Training, RunThatBeginsAgainRefusesInitialWeightsThatChanged) {
    TinyRuns runs;
    runs.train("a", {{"GPT2_MAX_ITERS", "3"}});
    runs.train("other", {{"GPT2_MAX_ITERS", "3"}, {"SEED", "2"}});
    const fs::path start = runs.run("start");
    fs::copy(newest(runs.run("a")), start, fs::copy_options::recursive);
    train::TrainRequest request;
    request.init_from = start;
    runs.train("b",
               {{"GPT2_MAX_ITERS", "3"}, {"SAVE_CHECKPOINT", "n"}, {"CHECKPOINT_INTERVAL", ""}},
               request);
    fs::copy(newest(runs.run("other")), start,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    expect_error(kData, {"start", "SHA-256", "--allow-config-change"}, [&] { runs.resume("b"); });
    EXPECT_NO_THROW(runs.resume("b", {}, {.allow_config_change = true}));
}

TEST(Training, FineTuningRefusesAnotherShape) {
    TinyRuns runs;
    runs.train("a", {{"GPT2_MAX_ITERS", "2"}});
    train::TrainRequest request;
    request.init_from = runs.run("a");
    expect_error(kData,
                 {"n_head is 2 there and 4 here, d_model is 16 there and 32 here",
                  "wte.weight [257, 16] there and [257, 32] here", "model configuration "},
                 [&] {
                     runs.train("b", {{"GPT2_N_EMBD", "32"}, {"GPT2_N_HEAD", "4"}}, request);
                 });
    request.dry_run = true;
    expect_error(kData, {"n_head is 2 there and 4 here"}, [&] {
        runs.train("b", {{"GPT2_N_HEAD", "4"}}, request);
    });
    EXPECT_FALSE(fs::exists(runs.run("b")));
}

TEST(Training, OneFlippedBitOfTheWeightsIsFoundWhenTheyAreUsed) {
    TinyRuns runs;
    runs.train("a", {{"GPT2_MAX_ITERS", "2"}});
    const fs::path weights = newest(runs.run("a")) / "model.safetensors";
    std::string bytes = bytes_of(weights);
    bytes[bytes.size() - 3] ^= 1;  // within the last tensor, where any value is a number
    std::ofstream(weights, std::ios::binary) << bytes;
    const std::initializer_list<std::string> said = {weights.string() + ": damaged",
                                                     "MANIFEST.json"};
    for (const fs::path& path : {weights.parent_path(), runs.run("a")})
        expect_error(kData, said,
                     [&] { model::LoadedModel({.path = path, .device = "cpu", .threads = 1}); });
    train::TrainRequest request;
    request.init_from = runs.run("a");
    expect_error(kData, said, [&] { runs.train("b", {{"GPT2_MAX_ITERS", "2"}}, request); });
    EXPECT_FALSE(fs::exists(runs.run("b")));
}

TEST(Training, FineTuningLooksForTheModelBeforeItPreparesData) {
    TinyRuns runs;
    std::ofstream(runs.run("book.txt")) << std::string(20000, 'x');
    train::TrainRequest request;
    request.init_from = runs.run("nowhere");
    for (const bool dry : {false, true}) {
        request.dry_run = dry;
        expect_error(kData, {"nowhere"}, [&] {
            runs.train("b", {{"GPT2_CUSTOM_DATASET_PATH", runs.run("book.txt").string()}}, request);
        });
    }
    EXPECT_FALSE(fs::exists(runs.path() / "prepared"));
}

TEST(Training, EvaluationAloneMeasuresWhatTheRunMeasuredAndWritesNothing) {
    TinyRuns runs;
    runs.train("a");
    const auto evals = events(runs.run("a"), "eval");
    const auto listing = [&] {
        std::map<fs::path, std::string> all;
        for (const auto& entry : fs::recursive_directory_iterator(runs.path()))
            if (entry.is_regular_file()) all[entry.path()] = read_file(entry.path());
        return all;
    };
    const auto before = listing();
    const auto expect_same = [](const train::TrainOutcome& outcome, const nlohmann::json& event) {
        ASSERT_TRUE(outcome.measured);
        EXPECT_EQ(outcome.status, 0);
        EXPECT_EQ(outcome.measured->step, event["step"]);
        EXPECT_DOUBLE_EQ(outcome.measured->eval.loss, event["val_loss"].get<double>());
        EXPECT_DOUBLE_EQ(outcome.measured->eval.standard_error, event["val_se"].get<double>());
        EXPECT_EQ(outcome.measured->batches_sha256, event["batches_sha256"]);
    };
    const train::TrainRequest only{.eval_only = true};
    expect_same(runs.resume("a", {}, only), evals.back());
    expect_same(runs.train("b", {}, only), evals.front());  // fresh weights
    train::TrainRequest from = only;
    from.init_from = newest(runs.run("a"));
    ASSERT_EQ(runs.train("b", {}, from).measured->eval.loss, evals.back()["val_loss"]);
    EXPECT_EQ(listing(), before);
}

TEST(Training, DryRunWritesNothing) {
    TinyRuns runs;
    train::TrainRequest request;
    request.dry_run = true;
    const auto outcome = runs.train("a", {}, request);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_TRUE(outcome.run_directory.empty());
    EXPECT_FALSE(fs::exists(runs.run("a")));
    EXPECT_FALSE(fs::exists(runs.path() / "results"));
}

TEST(Training, VocabularySmallerThanTheTokenizersIsRefused) {
    TinyRuns runs;
    expect_error(kConfig, {"GPT2_VOCAB_SIZE=100", "257"}, [&] {
        runs.train("a", {{"GPT2_VOCAB_SIZE", "100"}});
    });
    EXPECT_FALSE(fs::exists(runs.run("a")));
}

TEST(Training, TokenFilesAloneAreHashedAndReadAsBytes) {
    TinyRuns runs;
    const fs::path shards = runs.run("shards");
    fs::create_directory(shards);
    const fs::path files[] = {"a_train_000001.bin", "a_train_000002.bin", "a_val_000000.bin"};
    std::vector<int32_t> ids(1000);
    for (int32_t i = 0; i < 3; ++i) {
        for (int32_t at = 0; at < 1000; ++at) ids[at] = (7 * at + i) % 250;
        data::write_tokens(shards / files[i], ids, 257, data::TokenLayout::kLlmc);
    }
    runs.train("a", {{"GPT2_CUSTOM_DATASET_PATH", shards.string()}});
    const nlohmann::json manifest = read_json(runs.run("a") / "manifest.json");
    EXPECT_EQ(manifest["tokenizer"]["kind"], "byte");
    ASSERT_EQ(manifest["data"]["files"].size(), 3u);
    for (size_t i = 0; i < 3; ++i)
        EXPECT_EQ(manifest["data"]["files"][i]["sha256"], sha256_file(shards / files[i]));
}

TEST(Training, WithoutAnyBudgetIsRefused) {
    TinyRuns runs;
    expect_error(kConfig, {"GPT2_MAX_ITERS"}, [&] { runs.train("a", {{"GPT2_MAX_ITERS", "0"}}); });
}

TEST(Training, ScheduleThatCannotCompleteWarnsAndStrictRefuses) {
    TinyRuns runs;
    const Values changes = {{"GPT2_WARMUP_STEPS", "100"}, {"GPT2_MAX_ITERS", "3"}};
    EXPECT_EQ(runs.train("a", changes).status, 0);
    const auto manifest = read_json(runs.run("a") / "manifest.json");
    EXPECT_EQ(manifest["schedule_incomplete"], true);
    EXPECT_FALSE(manifest["warnings"].empty());
    train::TrainRequest strict;
    strict.strict = true;
    expect_error(kRun, {"schedule cannot complete", "STRICT"},
                 [&] { runs.train("b", changes, strict); });
    EXPECT_FALSE(fs::exists(runs.run("b")));
}

}  // namespace
