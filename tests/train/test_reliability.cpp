// What a run does when the world misbehaves: signals at awkward moments, calls that fail, a small
// disk, a clock that jumps.
#include "train_command.h"

#include "knlp/core/json.h"

#include <gmock/gmock-matchers.h>

#include <sstream>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;
using testing::HasSubstr;

void expect_same_checkpoint(const fs::path& straight, const fs::path& other) {
    for (const char* name : {"model.safetensors", "optim.safetensors"})
        EXPECT_TRUE(same_bytes(newest(straight) / name, newest(other) / name)) << other << name;
}

/// Everything below a directory that a write under way or a half-finished one would leave.
std::vector<std::string> leftovers(const fs::path& directory) {
    std::vector<std::string> names;
    if (!fs::exists(directory)) return names;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        const std::string name = entry.path().filename().string();
        if (name.ends_with(".partial") || name.find(".tmp.") != std::string::npos)
            names.push_back(entry.path().string());
    }
    return names;
}

TEST(StopMoments, WhileDataIsPreparedNothingIsLeftAndTheNextCallPreparesIt) {
    NEEDS_BINARY();
    const Command train;
    std::string text;  // more than is tokenized at once
    for (int i = 0; i < 400000; ++i) text += "the cat sat on the mat " + std::to_string(i) + "\n";
    write_file_atomic(train.runs.run("book.txt"), text);
    const std::vector<std::string> words = {
        "--out", "a", "--set", "GPT2_CUSTOM_DATASET_PATH=" + train.runs.run("book.txt").string()};
    const fs::path prepared = train.runs.run("prepared");
    const Finished stopped = train(words, train.shim(prepared, {{"KNLP_SIGTERM_AT", "2"}}));
    EXPECT_EQ(stopped.status, 75) << stopped.err;
    EXPECT_FALSE(fs::exists(prepared));
    EXPECT_FALSE(fs::exists(train.runs.run("a")));
    const Finished again = train(words);
    EXPECT_EQ(again.status, 0) << again.err;
}

TEST(StopMoments, WhileACheckpointIsWrittenItIsFinishedAndTheRunGoesOn) {
    NEEDS_BINARY();
    const Command train;
    EXPECT_EQ(train({"--out", "straight"}).status, 0);
    const Finished stopped = train({"--out", "a"}, train.shim(train.runs.run("a") / "checkpoints",
                                                              {{"KNLP_SIGTERM_AT", "4"}}));
    EXPECT_EQ(stopped.status, 75) << stopped.err;
    EXPECT_TRUE(leftovers(train.runs.run("a")).empty());
    EXPECT_EQ(train::verify_checkpoint(newest(train.runs.run("a"))), "");
    EXPECT_EQ(train({"--resume", "a"}).status, 0);
    expect_same_checkpoint(train.runs.run("straight"), train.runs.run("a"));
}

TEST(StopMoments, DuringAnEvaluationItIsGivenUpAndMadeAgain) {
    NEEDS_BINARY();
    const Command train(Values{{"GPT2_EVAL_INTERVAL", "1"}, {"GPT2_LOG_INTERVAL", "1"}});
    EXPECT_EQ(train({"--out", "straight"}).status, 0);
    int met = 0;
    // Steps and evaluations write a line each in turn: a signal before that of a step is noticed in
    // the evaluation which follows.
    for (const char* at : {"4", "5", "6", "7"}) {
        const std::string name = std::string("a") + at;
        const fs::path run = train.runs.run(name);
        const Finished stopped =
            train({"--out", name}, train.shim(run / "metrics.jsonl", {{"KNLP_SIGTERM_AT", at}}));
        EXPECT_EQ(stopped.status, 75) << stopped.err;
        const int64_t step = read_json(newest(run) / "state.json")["step"];
        met += events(run, "eval").back()["step"] < step;
        EXPECT_EQ(train({"--resume", name}).status, 0);
        EXPECT_EQ(events(train.runs.run("straight"), "eval"), events(run, "eval"));
        expect_same_checkpoint(train.runs.run("straight"), run);
    }
    EXPECT_GE(met, 1);
}

TEST(ClockJump, ADayBackwardsChangesNoFigureAndNoBit) {
    NEEDS_BINARY();
    const Command train(Values{{"GPT2_LOG_INTERVAL", "1"}});
    EXPECT_EQ(train({"--out", "straight"}).status, 0);
    int jumped = 0;
    // A reading of the clock for each line of metrics: one of these lies between the first and the
    // last.
    for (const char* after : {"10", "20", "30", "40"}) {
        const std::string name = std::string("after-") + after;
        const fs::path run = train.runs.run(name);
        const Finished done =
            train({"--out", name}, train.shim(run, {{"KNLP_CLOCK_BACK_AFTER", after}}));
        EXPECT_EQ(done.status, 0) << done.err;
        const nlohmann::json status = read_json(run / "status.json");
        jumped += status["heartbeat"].get<std::string>() < status["started"].get<std::string>();
        for (const nlohmann::json& event : track::read_metrics(run))
            for (const char* field : {"tokens_per_s", "elapsed_s", "eval_s"}) {
                if (!event.contains(field) || !event[field].is_number()) continue;
                EXPECT_GE(event[field].get<double>(), 0) << event;
            }
        EXPECT_GE(read_json(run / "summary.json")["total_time"].get<double>(), 0);
        EXPECT_EQ(events(train.runs.run("straight")), events(run));
        expect_same_checkpoint(train.runs.run("straight"), run);
    }
    EXPECT_GE(jumped, 1);
    EXPECT_EQ(run_knlp({"report", "list"}, train.runs.path()).status, 0);
}

TEST(SmallDisk, OneThatFillsUpKeepsTheLastCheckpointAndEndsWithStatus4) {
    NEEDS_BINARY();
    const Command train(Values{{"CHECKPOINT_KEEP", "1000"},
                               {"CHECKPOINT_INTERVAL", "1"},
                               {"GPT2_MAX_ITERS", "1000"},
                               {"ENABLE_TENSORBOARD", "n"}});
    if (run_program({"unshare", "-rm", "true"}).status != 0)
        GTEST_SKIP() << "file systems may not be mounted here";
    // The mount is gone with its namespace, so what lies on it is copied out first.
    const Finished done = run_shell(
        "unshare -rm bash -c 'mkdir small && mount -t tmpfs -o size=2m none small || exit 9; "
        "\"$KNLP\" train --out small/a; status=$?; cp -r small/a kept; exit $status'",
        train.runs.path());
    EXPECT_EQ(done.status, 4) << done.err;
    EXPECT_THAT(done.err, HasSubstr("E_IO"));
    EXPECT_THAT(done.err, HasSubstr("small/a"));
    EXPECT_TRUE(leftovers(train.runs.run("kept")).empty());
    EXPECT_GE(train::list_checkpoints(train.runs.run("kept")).size(), 2u);
    EXPECT_EQ(train::verify_checkpoint(newest(train.runs.run("kept"))), "");
}

TEST(RandomFailuresSlow, OfOneCallInAHundredNeverCrashNorDamageARun) {
    NEEDS_BINARY();
    const Command train;
    EXPECT_EQ(train({"--out", "straight"}).status, 0);
    int failed = 0;
    for (int seed = 1; seed <= 40; ++seed) {
        const std::string name = "a" + std::to_string(seed);
        const fs::path run = train.runs.run(name);
        const Finished done = train(
            {"--out", name},
            train.shim(train.runs.path(),
                       {{"KNLP_FAIL_PERMILLE", "10"}, {"KNLP_FAIL_SEED", std::to_string(seed)}}));
        EXPECT_THAT(done.status, testing::AnyOf(0, 3, 4)) << "seed " << seed << ": " << done.err;
        if (done.status != 0) {
            ++failed;
            EXPECT_THAT(done.err, HasSubstr("knlp: error[")) << "seed " << seed;
            // A file is named: one of the run, the configuration or the data.
            EXPECT_THAT(done.err, testing::AnyOf(HasSubstr(name + "/"), HasSubstr(name + ": "),
                                                 HasSubstr(".config: "),
                                                 HasSubstr(train.runs.data().string())))
                << "seed " << seed;
        }
        // A run that had begun can be gone on with.
        if (!fs::exists(run / "status.json")) continue;
        const Finished resumed = train({"--resume", name});
        EXPECT_EQ(resumed.status, 0) << "seed " << seed << ": " << resumed.err;
        expect_same_checkpoint(train.runs.run("straight"), run);
    }
    EXPECT_GE(failed, 5);
}

}  // namespace
