#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/track/run_dir.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace knlp::track {
namespace {

using nlohmann::json;
using test::expect_error;
using test::TempDir;

TEST(MetricsLog, OneSortedLineAnEvent) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    MetricsLog log(run);
    log.append("train", {{"step", 1}, {"loss", 2.5}, {"clip", false}});
    log.append("eval", {{"step", 1}, {"val_loss", std::nan("")}});
    std::ifstream in(run.file("metrics.jsonl"));
    std::string line;
    ASSERT_TRUE(std::getline(in, line));
    EXPECT_THAT(
        line,
        testing::MatchesRegex(
            R"(\{"clip":false,"event":"train","loss":2.5,"step":1,"t":"[-0-9]+T[:0-9]+Z"\})"));
    ASSERT_TRUE(std::getline(in, line));
    EXPECT_THAT(line, testing::HasSubstr(R"("val_loss":"nan")"));
    EXPECT_FALSE(std::getline(in, line));
    EXPECT_EQ(log.bytes(), std::ssize(read_file(run.file("metrics.jsonl"))));
}

TEST(MetricsLog, TruncationBringsBackTheBytesOfACheckpoint) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    std::string kept;
    {
        MetricsLog log(run);
        for (int step = 1; step <= 3; ++step) log.append("train", {{"step", step}});
        kept = read_file(run.file("metrics.jsonl"));
        log.append("train", {{"step", 4}});
    }
    MetricsLog::truncate(run, std::ssize(kept));
    EXPECT_EQ(read_file(run.file("metrics.jsonl")), kept);
    MetricsLog log(run);
    log.append("train", {{"step", 4}});
    const std::vector<json> events = read_metrics(run.path());
    ASSERT_EQ(events.size(), 4u);
    for (int step = 1; step <= 4; ++step)
        EXPECT_EQ(events[static_cast<size_t>(step - 1)]["step"], step);
}

TEST(MetricsLog, ALogShorterThanTheCheckpointSaysIsRefused) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    MetricsLog(run).append("train", {{"step", 1}});
    const int64_t bytes = std::ssize(read_file(run.file("metrics.jsonl")));
    expect_error(kData, {"metrics.jsonl", std::to_string(bytes), std::to_string(bytes + 1)},
                 [&] { MetricsLog::truncate(run, bytes + 1); });
    expect_error(kData, {"metrics.jsonl"}, [&] { MetricsLog::truncate(run, -1); });
}

TEST(ReadMetrics, EveryCutOfTheLastLineLosesOnlyThatLine) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    {
        MetricsLog log(run);
        log.append("train", {{"step", 1}});
        log.append("train", {{"step", 2}});
    }
    const std::string whole = read_file(run.file("metrics.jsonl"));
    const size_t first = whole.find('\n') + 1;
    for (size_t size = first; size + 1 < whole.size(); ++size) {
        std::ofstream(run.file("metrics.jsonl"), std::ios::binary) << whole.substr(0, size);
        EXPECT_EQ(read_metrics(run.path()).size(), 1u) << size;
    }
}

TEST(ReadMetrics, DamageInTheMiddleIsNamedByLine) {
    const TempDir dir;
    dir.write("metrics.jsonl", "{\"step\":1}\n{\"st\n{\"step\":3}\n");
    expect_error(kData, {"metrics.jsonl:2"}, [&] { read_metrics(dir.path()); });
    dir.write("metrics.jsonl", "{\"step\":1}\n[1]\n{\"step\":3}\n");
    expect_error(kData, {"metrics.jsonl:2"}, [&] { read_metrics(dir.path()); });
}

TEST(TimeFields, NameWhatTheClockAndTheMachineDecide) {
    const std::vector<std::string>& fields = time_fields();
    for (const char* name : {"t", "tokens_per_s", "mfu", "ms", "wall_s", "elapsed_s", "rss_bytes"})
        EXPECT_EQ(std::count(fields.begin(), fields.end(), name), 1) << name;
    for (const char* name : {"step", "tokens", "loss", "lr", "val_loss", "grad_norm"})
        EXPECT_EQ(std::count(fields.begin(), fields.end(), name), 0) << name;
}

}  // namespace
}  // namespace knlp::track
