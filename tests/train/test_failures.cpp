#include "tiny_run.h"

#include "knlp/core/json.h"
#include "knlp/core/safetensors.h"
#include "knlp/data/batches.h"
#include "tests/support/expect_error.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;

const Values kDiverging = {
    {"LEARNING_RATE", "100"},       {"GPT2_DECAY_LR", "n"},       {"GPT2_WARMUP_STEPS", "0"},
    {"MAX_BAD_STEPS", "2"},         {"GPT2_MAX_ITERS", "400"},    {"WEIGHT_DECAY", "10"},
    {"GPT2_EVAL_INTERVAL", "1000"}, {"CHECKPOINT_INTERVAL", "2"}, {"GRADIENT_CLIP_NORM", "0"}};

TEST(Failure, DivergenceSaysStepRateTensorCheckpointAndSavesTheBatch) {
    TinyRuns runs;
    const std::string text =
        expect_error(kRun,
                     {"diverged", "lr 1.000e+02", "2 bad steps in a row", "first bad tensor",
                      "last good checkpoint: ", "bad-batch-step-"},
                     [&] { runs.train("a", kDiverging); });
    EXPECT_EQ(read_json(runs.run("a") / "status.json")["state"], "failed");
    EXPECT_TRUE(fs::exists(runs.run("a") / "error.txt"));
    EXPECT_FALSE(events(runs.run("a"), "warn").empty());
    const fs::path batch = text.substr(
        text.find(runs.run("a").string() + "/bad-batch"),
        text.find(".safetensors;") + 12 - text.find(runs.run("a").string() + "/bad-batch"));
    const SafetensorsFile file(batch);
    const int64_t step = std::stoll(file.metadata().at("step"));
    const data::Dataset dataset = data::open_dataset(runs.data());
    const data::Batch expected = data::make_batch(dataset.train, 1, step, 0, 6, 16);
    const TensorView* inputs = file.find("inputs");
    ASSERT_NE(inputs, nullptr);
    EXPECT_EQ(inputs->shape, (std::vector<int64_t>{6, 16}));
    EXPECT_EQ(std::memcmp(inputs->bytes.data(), expected.inputs.data(), inputs->bytes.size()), 0);
}

TEST(Failure, AnomalyIsToldByTheFirstTensorThatHasOne) {
    TinyRuns runs;
    train::TrainRequest request;
    request.debug_anomaly = true;
    const std::string text = expect_error(
        kRun, {"step ", "micro-batch 0", "first tensor that is not finite is ", "bad-batch-step-"},
        [&] { runs.train("a", kDiverging, request); });
    EXPECT_EQ(text.find("is the loss"), std::string::npos) << "the loss is the last of a pass";
    EXPECT_EQ(read_json(runs.run("a") / "status.json")["state"], "failed");
}

TEST(Failure, LookingForAnomaliesChangesNothingElse) {
    TinyRuns runs;
    train::TrainRequest request;
    request.debug_anomaly = true;
    runs.train("plain");
    runs.train("watched", {}, request);
    const auto plain = events(runs.run("plain"), "eval"),
               watched = events(runs.run("watched"), "eval");
    ASSERT_EQ(plain.size(), watched.size());
    for (size_t i = 0; i < plain.size(); ++i)  // other kernels: 1e-4, as between any two of them
        EXPECT_NEAR(plain[i]["val_loss"].get<double>(), watched[i]["val_loss"].get<double>(), 1e-4);
}

TEST(Failure, SecondProcessOnARunIsTurnedAway) {
    TinyRuns runs;
    runs.train_until("a", 2, 0);
    track::RunDir held = track::RunDir::open(runs.run("a"));
    held.lock();
    expect_error(kLocked, {"a"}, [&] { runs.resume("a"); });
}

TEST(Failure, UnwritableRunDirectoryIsRefusedBeforeAnyWork) {
    TinyRuns runs;
    std::ofstream(runs.run("plain")) << "x";
    config::Symbols symbols = config::Symbols::from_values(runs.values());
    train::TrainRequest request;
    request.out = runs.run("plain") / "run";
    expect_error(kRun, {"cannot be written"}, [&] { train::run_training(symbols, request); });
}

TEST(Failure, TokensThatCannotBeTrainedOnAreRefusedBeforeThereIsARun) {
    TinyRuns runs;
    const auto refused = [&](const std::string& bytes, std::initializer_list<std::string> parts) {
        const fs::path bad = runs.run("bad");
        fs::create_directories(bad);
        fs::copy(runs.data() / "val.bin", bad, fs::copy_options::overwrite_existing);
        std::ofstream(bad / "train.bin", std::ios::binary) << bytes;
        expect_error(kData, parts, [&] {
            runs.train("a", {{"GPT2_CUSTOM_DATASET_PATH", bad.string()}});
        });
        EXPECT_FALSE(fs::exists(runs.run("a")));
    };
    refused(std::string(64, 'a') + std::string("\x01\x01", 2), {"train.bin", "token 24929", "257"});
    refused(std::string(33, '\0'), {"train.bin", "33 bytes"});
    refused(std::string(32, '\0'), {"train.bin", "16 tokens", "at least 17"});
}

TEST(Failure, RunDirectoryThatIsRemovedMeanwhileEndsTheRunWithItsPath) {
    TinyRuns runs;
    train::TrainRequest request;
    request.on_micro_batch = [&](int64_t step, int64_t micro) {
        if (step != 4 || micro != 0) return;
        fs::rename(runs.run("a"), runs.run("gone"));  // at once, though a save may be writing there
        fs::remove_all(runs.run("gone"));
    };
    expect_error(kRun, {runs.run("a").string(), "removed"}, [&] { runs.train("a", {}, request); });
    EXPECT_FALSE(fs::exists(runs.run("a")));
}

TEST(Failure, ResumeAndInitFromExcludeEachOther) {
    TinyRuns runs;
    config::Symbols symbols = config::Symbols::from_values(runs.values());
    train::TrainRequest request;
    request.resume = request.init_from = runs.run("a");
    expect_error(kUsage, {"--resume", "--init-from"},
                 [&] { train::run_training(symbols, request); });
}

TEST(Failure, DamagedOptimizerFileIsNamedWhenNothingElseIsLeft) {
    TinyRuns runs;
    runs.train_until("a", 2, 0, {{"GPT2_EVAL_INTERVAL", "100"}});
    const fs::path file = newest(runs.run("a")) / "optim.safetensors";
    fs::resize_file(file, fs::file_size(file) - 1);
    // No checkpoint verifies, so the run begins again; the damaged one is set aside, not deleted.
    EXPECT_EQ(runs.resume("a").status, 0);
    EXPECT_TRUE(fs::exists(runs.run("a") / "checkpoints" / "damaged-step-00000002"));
}

}  // namespace
