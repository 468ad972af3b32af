#include "src/train/record.h"

#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/track/recorded.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <limits>

namespace {

using namespace knlp;
using namespace knlp::train;

struct Recorded {
    test::TempDir dir;
    track::RunDir run = track::RunDir::create(dir.path(), "x", dir.path() / "run");
    Recorder recorder{
        run, {.command_line = "knlp train"}, R"({"memory":{"estimate_bytes":7}})", false};
};

TEST(Recorder, MergesDetailsIntoTheManifest) {
    Recorded r;
    r.recorder.begin(0);
    const auto manifest = read_json(r.run.file("manifest.json"));
    EXPECT_EQ(manifest["memory"]["estimate_bytes"], 7);
    EXPECT_EQ(manifest["state"], "running");
}

TEST(Recorder, BeginCutsEventsAfterTheCheckpoint) {
    Recorded r;
    r.recorder.begin(0);
    r.recorder.checkpoint(3);
    const int64_t offset = r.recorder.metrics_bytes();
    r.recorder.checkpoint(6);
    Recorder again(r.run, {}, "{}", false);
    again.begin(offset);
    EXPECT_EQ(track::read_metrics(r.run.path()).size(), 1u);
    EXPECT_EQ(again.metrics_bytes(), offset);
}

TEST(Recorder, AStopLeavesASummaryOfHowFarItCameUntilTheRunGoesOn) {
    Recorded r;
    r.recorder.begin(0);
    for (const double speed : {60.0, 80.0, 70.0}) r.recorder.train({.tokens_per_s = speed});
    r.recorder.stopped(15, 75, {.step = 7, .tokens = 700, .best = {2.5, 4}, .last_val_loss = 2.75},
                       {.wall_s = 20, .train_s = 10, .startup_s = 1.5});
    const auto summary = read_json(r.run.file("summary.json"));
    EXPECT_EQ(summary["steps"], 7);
    EXPECT_EQ(summary["tokens"], 700);
    EXPECT_EQ(summary["tokens_per_s"], 70);
    EXPECT_EQ(summary["total_time"], 20);
    EXPECT_EQ(summary["final_val_loss"], 2.75);
    EXPECT_EQ(summary["best_val_loss"], 2.5);
    EXPECT_EQ(summary["exit"], "signal");
    Recorder again(r.run, {}, "{}", false);
    again.begin(r.recorder.metrics_bytes());
    EXPECT_FALSE(std::filesystem::exists(r.run.file("summary.json")));
}

TEST(Recorder, FailureKeepsTheErrorTheCommandAndTheLastLines) {
    Recorded r;
    r.recorder.begin(0);
    std::ofstream(r.run.file("output.log")) << "first line\nlast line\n";
    r.recorder.failed(4, "E_RUN", "out of luck");
    const std::string text = read_file(r.run.file("error.txt"));
    for (const char* part : {"command: knlp train", "status: 4", "error: out of luck", "last line"})
        EXPECT_THAT(text, testing::HasSubstr(part));
    EXPECT_EQ(read_json(r.run.file("status.json"))["state"], "failed");
    EXPECT_EQ(read_json(r.run.file("manifest.json"))["state"], "failed");
}

TEST(Recorder, ValuesThatAreNotFiniteStayReadable) {
    Recorded r;
    r.recorder.begin(0);
    r.recorder.eval({.step = 1,
                     .train_loss = std::nan(""),
                     .val_loss = 2.0,
                     .val_se = std::numeric_limits<double>::infinity(),
                     .batches_sha256 = "x"});
    const auto event = track::read_metrics(r.run.path()).at(0);
    EXPECT_EQ(event["train_loss"], "nan");
    EXPECT_EQ(event["val_se"], "inf");
    EXPECT_DOUBLE_EQ(event["val_ppl"].get<double>(), std::exp(2.0));
}

TEST(Recorder, TheShareOfThePeakIsLeftOutWhereItIsNotKnown) {
    Recorded r;
    r.recorder.begin(0);
    r.recorder.train({.tokens_per_s = 10});
    r.recorder.train({.tokens_per_s = 10, .mfu = 0.25});
    const auto events = track::read_metrics(r.run.path());
    EXPECT_FALSE(events.at(0).contains("mfu"));
    EXPECT_EQ(events.at(1)["mfu"], 0.25);
}

TEST(Recorder, TheShareOfThePeakIsAScalarForTensorBoard) {
    test::TempDir dir;
    track::RunDir run = track::RunDir::create(dir.path(), "x", dir.path() / "run");
    {
        Recorder recorder(run, {}, "{}", true);
        recorder.begin(0);
        recorder.train({.mfu = 0.25});
    }
    std::string text;
    for (const auto& entry : std::filesystem::directory_iterator(run.path()))
        if (entry.path().filename().string().starts_with("events.out.tfevents."))
            text = read_file(entry.path());
    // Field 1 of a value, its tag of three letters; field 2, a float: 0.25.
    EXPECT_THAT(text, testing::HasSubstr(std::string("\x0a\x03mfu\x15\x00\x00\x80\x3e", 10)));
}

TEST(Recorder, ParentsOfAManifestAreFound) {
    test::TempDir dir;
    track::RunDir run = track::RunDir::create(dir.path(), "x", dir.path() / "run");
    track::Manifest manifest;
    manifest.parents = {{.kind = "init_from", .path = "/models/a", .sha256 = "ab"}};
    track::write_manifest(run, manifest);
    EXPECT_EQ(manifest_parent(run.path(), "init_from").path, track::recorded_path("/models/a"));
    EXPECT_EQ(manifest_parent(run.path(), "init_from").sha256, "ab");
    EXPECT_EQ(manifest_parent(run.path(), "baseline").path, "");
}

}  // namespace
