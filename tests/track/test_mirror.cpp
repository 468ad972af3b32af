// scripts/track_mirror.py with stand-ins for the clients: what arrives after restarts, cuts and
// failures. `make check-trackers` does the same with the real clients.
#include "knlp/core/file.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-more-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace knlp::track {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::Finished;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kKilled = 128 + SIGKILL;

fs::path source() {
    const char* directory = std::getenv("KNLP_SRC");
    return directory ? directory : ".";
}

/// Under a new inode, as knlp replaces its files; without its fsync.
void put(const fs::path& path, const std::string& text) {
    std::ofstream(path.string() + ".new", std::ios::binary) << text;
    fs::rename(path.string() + ".new", path);
}

std::string train_line(int step, const std::string& loss) {
    return json({{"event", "train"},
                 {"loss", json::parse(loss)},
                 {"lr", 0.5},
                 {"step", step},
                 {"t", "2026-01-02T03:04:05Z"}})
               .dump() +
           "\n";
}

/// A run directory as knlp leaves it, without knlp.
struct FakeRun {
    fs::path path;

    explicit FakeRun(fs::path directory) : path(std::move(directory)) {
        fs::create_directories(path);
        write("manifest.json", {{"model", "gpt2"},
                                {"started", "2026-01-02T03:04:05Z"},
                                {"batch", {{"n_ctx", 100}}},
                                {"optimizer", "adamw"}});
        write("config.resolved.json", {{"TRACKER_PROJECT", {{"value", "p"}}},
                                       {"ENABLE_TRACKIO", {{"value", true}}},
                                       {"SEED", {{"value", 7}}}});
        state("done");
        metrics(train_line(0, "1") + train_line(1, "2"));
    }
    void write(const std::string& name, const json& object) const {
        put(path / name, object.dump());
    }
    void state(const std::string& name, int exit_code = 0) const {
        write("status.json", {{"state", name}, {"exit_code", exit_code}});
    }
    void metrics(const std::string& text) const { put(path / "metrics.jsonl", text); }
    json memory(const std::string& client) const {
        return json::parse(read_file(path / "mirror.json"))["clients"][client];
    }
    std::string log() const {
        return fs::exists(path / "mirror.log") ? read_file(path / "mirror.log") : "";
    }
};

class Mirror : public testing::Test {
protected:
    test::TempDir directory_;
    FakeRun run_{directory_.path() / "runs" / "r"};

    Finished mirror(std::vector<std::string> arguments,
                    std::map<std::string, std::string> more = {}) {
        arguments.insert(
            arguments.begin(),
            {"python3", (source() / "scripts/track_mirror.py").string(), "--interval", "0.01"});
        more["PYTHONPATH"] = (source() / "tests/track/fake_clients").string();
        more["TRACKIO_DIR"] = (directory_.path() / "trackio").string();
        more["WANDB_API_KEY"] = "secret";
        return test::run_program(arguments, more);
    }
    Finished mirror_run(const std::string& client, std::map<std::string, std::string> more = {}) {
        return mirror({"--to", client, run_.path.string()}, std::move(more));
    }
    /// "step:train_loss" of each row in Trackio.
    std::vector<std::string> trackio_rows(const std::string& project = "p") {
        std::vector<std::string> rows;
        const fs::path path = directory_.path() / "trackio" / (project + ".json");
        if (!fs::exists(path)) return rows;
        const json database = json::parse(read_file(path));
        for (const json& row : database["rows"])
            rows.push_back(row["step"].dump() + ":" +
                           row["metrics"].value("train_loss", std::string("-")));
        return rows;
    }
    /// The same of the one offline run of W&B, with "exit:N" at its end.
    static std::vector<std::string> wandb_rows(const fs::path& run) {
        std::vector<std::string> rows;
        for (const fs::directory_entry& entry : fs::directory_iterator(run / "wandb")) {
            std::istringstream lines(read_file(entry.path() / "rows.jsonl"));
            for (std::string line; std::getline(lines, line);) {
                const json row = json::parse(line);
                if (row.contains("exit")) rows.push_back("exit:" + row["exit"].dump());
                if (row.contains("step"))
                    rows.push_back(row["step"].dump() + ":" +
                                   row["metrics"].value("train_loss", std::string("-")));
            }
        }
        return rows;
    }
};

TEST_F(Mirror, SendsEveryLineWithFiguresToBothClients) {
    const Finished result = mirror_run("both");
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0"));
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("0:1.0", "1:2.0", "exit:0"));
    EXPECT_EQ(run_.log(), "");
}

TEST_F(Mirror, SendsStepsThatFallInTheOrderOfTheLines) {
    run_.metrics(train_line(20, "1") + train_line(19, "2"));
    ASSERT_EQ(mirror_run("both").status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("20:1.0", "19:2.0"));
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("20:1.0", "19:2.0", "exit:0"));
}

TEST_F(Mirror, NamesFiguresAsTensorBoardHasThem) {
    run_.metrics(
        R"({"event":"train","grad_norm":3,"loss":25,"lr":0.5,"rss_bytes":2e9,"step":4,"t":"2026-01-02T03:04:05Z","tokens_per_s":9})"
        "\n"
        R"({"event":"ckpt","step":5,"t":"2026-01-02T03:04:05Z"})"
        "\n"
        R"({"event":"eval","step":5,"t":"2026-01-02T03:04:05Z","train_loss":8,"val_loss":0})"
        "\n"
        R"({"best_val_loss":0,"cache_bytes_per_token":1000,"event":"final","step":5,"t":"2026-01-02T03:04:05Z","tokens_per_s":null,"val_loss":0})"
        "\n");
    ASSERT_EQ(mirror_run("trackio").status, 0);
    const json rows = json::parse(read_file(directory_.path() / "trackio/p.json"))["rows"];
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[0]["metrics"], json({{"train_loss", "25.0"},
                                        {"train_perplexity", "485165195.4097903"},  // exp(20)
                                        {"learning_rate", "0.5"},
                                        {"grad_norm", "3.0"},
                                        {"sys/rss_gb", "2.0"},
                                        {"tokens_per_s", "9.0"}}));
    EXPECT_EQ(rows[1]["metrics"], json({{"val_loss", "0.0"}, {"val_perplexity", "1.0"}}));
    EXPECT_EQ(rows[2]["metrics"], json({{"final_val_loss", "0.0"},
                                        {"final_val_perplexity", "1.0"},
                                        {"best_val_loss", "0.0"},
                                        {"best_val_perplexity", "1.0"},
                                        {"kv_cache/seq100_mb", "0.1"}}));
    EXPECT_EQ(rows[0]["timestamp"], "2026-01-02T03:04:05");
}

TEST_F(Mirror, HandsOverFiguresThatAreNotFiniteAsNumbers) {
    run_.metrics(train_line(0, "\"nan\"") + train_line(1, "\"inf\"") + train_line(2, "\"-inf\""));
    ASSERT_EQ(mirror_run("both").status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:nan", "1:inf", "2:-inf"));
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("0:nan", "1:inf", "2:-inf", "exit:0"));
}

TEST_F(Mirror, KilledAfterTheClientWroteDoublesNothing) {
    EXPECT_EQ(mirror_run("trackio", {{"KNLP_FAKE_DIE", "1"}}).status, kKilled);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0"));
    run_.metrics(train_line(0, "1") + train_line(1, "2") + train_line(2, "3"));
    EXPECT_EQ(mirror_run("trackio").status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0", "2:3.0"));
}

TEST_F(Mirror, KilledWhileAnOfflineRunIsWrittenWritesItAnew) {
    EXPECT_EQ(mirror_run("wandb", {{"KNLP_FAKE_DIE", "2"}}).status, kKilled);
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("0:1.0"));
    EXPECT_EQ(mirror_run("wandb").status, 0);
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("0:1.0", "1:2.0", "exit:0"));
}

TEST_F(Mirror, OfACompleteRunDoesNothing) {
    ASSERT_EQ(mirror_run("both").status, 0);
    const std::string before = read_file(run_.path / "mirror.json");
    ASSERT_EQ(mirror_run("both", {{"KNLP_FAKE_DIE", "1"}}).status, 0);
    EXPECT_EQ(read_file(run_.path / "mirror.json"), before);
}

TEST_F(Mirror, TakesBackWhatAResumeCutOff) {
    ASSERT_EQ(mirror_run("both").status, 0);
    // The step after the checkpoint is taken again, and comes out otherwise.
    run_.metrics(train_line(0, "1") + train_line(1, "5") + train_line(2, "6"));
    ASSERT_EQ(mirror_run("both").status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:5.0", "2:6.0"));
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("0:1.0", "1:5.0", "2:6.0", "exit:0"));
}

TEST_F(Mirror, GoesOnWhereAResumeCutNothingThatWasSent) {
    ASSERT_EQ(mirror_run("trackio").status, 0);
    run_.metrics(train_line(0, "1") + train_line(1, "2") + train_line(2, "3"));
    ASSERT_EQ(mirror_run("trackio").status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0", "2:3.0"));
    EXPECT_EQ(run_.memory("trackio")["rows"], 3);
}

TEST_F(Mirror, WaitsForTheEndOfALine) {
    run_.metrics(train_line(0, "1") + R"({"event":"train","loss":2)");
    ASSERT_EQ(mirror_run("trackio").status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0"));
}

TEST_F(Mirror, LeavesOutADamagedLineAndSaysSo) {
    run_.metrics(train_line(0, "1") + "{\"event\":\n[]\n{\"event\":\"train\",\"loss\":1}\n" +
                 train_line(1, "2"));
    ASSERT_EQ(mirror_run("trackio").status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0"));
    EXPECT_THAT(run_.log(), HasSubstr("3 damaged lines of metrics.jsonl"));
}

TEST_F(Mirror, WithoutItsMemoryWritesAnew) {
    ASSERT_EQ(mirror_run("both").status, 0);
    put(run_.path / "mirror.json", "{\"clients\": {\"trackio\"");
    ASSERT_EQ(mirror_run("both").status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0"));
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("0:1.0", "1:2.0", "exit:0"));
}

TEST_F(Mirror, WritesAnewWhenAsked) {
    ASSERT_EQ(mirror_run("trackio").status, 0);
    fs::remove_all(directory_.path() / "trackio");
    ASSERT_EQ(mirror_run("trackio").status, 0);
    EXPECT_THAT(trackio_rows(), IsEmpty());  // it remembers that all was sent
    ASSERT_EQ(mirror({"--once", "--anew", "--to", "trackio", run_.path.string()}).status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0"));
}

TEST_F(Mirror, FailureIsOneLineAndACountAndIsMadeUpFor) {
    const Finished result = mirror_run("trackio", {{"KNLP_FAKE_FAILURES", "2"}});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0"));
    EXPECT_EQ(run_.memory("trackio")["failures"], 2);
    const std::string log = run_.log();
    EXPECT_THAT(log, HasSubstr("warning: trackio: OSError: the disk is full; tried again later\n"));
    EXPECT_THAT(log, HasSubstr("trackio: goes on after 2 failures\n"));
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2);
}

TEST_F(Mirror, OfARunWhoseProcessIsGoneEnds) {
    run_.write("status.json", {{"state", "running"}, {"pid", 1 << 30}, {"boot_id", "of before"}});
    ASSERT_EQ(mirror_run("wandb").status, 0);
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("0:1.0", "1:2.0", "exit:1"));
}

TEST_F(Mirror, OfARunThatWasStoppedEndsWithItsStatus) {
    run_.state("preempted", 75);
    ASSERT_EQ(mirror_run("wandb").status, 0);
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("0:1.0", "1:2.0", "exit:75"));
}

TEST_F(Mirror, TakesTheClientsThatTheRunIsConfiguredFor) {
    ASSERT_EQ(mirror({run_.path.string()}).status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0"));
    EXPECT_FALSE(fs::exists(run_.path / "wandb"));
}

TEST_F(Mirror, NamesAProjectByModelTreeAndMachineWhenNoneIsGiven) {
    run_.write("config.resolved.json", json::object());
    ASSERT_EQ(mirror_run("trackio").status, 0);
    EXPECT_THAT(run_.memory("trackio")["project"].get<std::string>(),
                testing::MatchesRegex("gpt2-[0-9a-f]{5}"));
    EXPECT_EQ(run_.memory("trackio")["run"], "r");
}

TEST_F(Mirror, SendsSymbolsAndFactsAsConfiguration) {
    ASSERT_EQ(mirror_run("trackio").status, 0);
    const json configs = json::parse(read_file(directory_.path() / "trackio/p.json"))["configs"];
    const json config = configs[run_.memory("trackio")["id"].get<std::string>()];
    EXPECT_EQ(config["SEED"], 7);
    EXPECT_EQ(config["optimizer"], "adamw");
}

TEST_F(Mirror, FollowsEveryCellOfAMatrixAsOneGroup) {
    const fs::path top = directory_.path() / "matrix" / "m";
    const FakeRun one(top / "cells" / "a_s1");
    const FakeRun two(top / "cells" / "a_s2");
    two.metrics(train_line(0, "3"));
    put(top / "plan.json", R"({"cells": ["a_s1", "a_s2"]})");
    const Finished result = mirror({"--to", "both", top.string()});
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(trackio_rows(), testing::UnorderedElementsAre("0:1.0", "1:2.0", "0:3.0"));
    EXPECT_THAT(wandb_rows(two.path), ElementsAre("0:3.0", "exit:0"));
    EXPECT_EQ(two.memory("wandb")["run"], "m/a_s2");
    EXPECT_EQ(two.memory("wandb")["group"], "m");
    EXPECT_NE(one.memory("trackio")["id"], two.memory("trackio")["id"]);
}

TEST_F(Mirror, ACellTriedAnewTakesThePlaceOfItsEarlierAttempt) {
    const fs::path top = directory_.path() / "matrix" / "m";
    const fs::path cell = top / "cells" / "a_s1";
    put((fs::create_directories(top), top / "plan.json"), R"({"cells": ["a_s1"]})");
    {
        const FakeRun first(cell);
        first.state("failed", 4);
        ASSERT_EQ(mirror({"--once", "--to", "trackio", top.string()}).status, 0);
    }
    fs::create_directories(top / "attempts" / "a_s1");
    fs::rename(cell, top / "attempts" / "a_s1" / "attempt.1");
    const FakeRun second(cell);
    second.metrics(train_line(0, "9"));
    ASSERT_EQ(mirror({"--to", "trackio", top.string()}).status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:9.0"));
}

TEST_F(Mirror, ACopyOfARunIsAnotherRun) {
    ASSERT_EQ(mirror_run("trackio").status, 0);
    const fs::path copy = directory_.path() / "runs" / "copy";
    fs::copy(run_.path, copy, fs::copy_options::recursive);
    ASSERT_EQ(mirror({"--to", "trackio", copy.string()}).status, 0);
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0", "0:1.0", "1:2.0"));
}

TEST_F(Mirror, WithoutTheClientSaysHowToGetIt) {
    const Finished result =
        test::run_program({"python3", (source() / "scripts/track_mirror.py").string(), "--to",
                           "trackio", run_.path.string()});
    if (result.status == 0) GTEST_SKIP() << "trackio is installed for the machine's Python";
    EXPECT_EQ(result.status, 5);
    EXPECT_THAT(run_.log(), HasSubstr("trackio is not installed"));
    EXPECT_THAT(run_.log(), HasSubstr("run: make trackers\n"));
}

TEST_F(Mirror, RefusesWhatIsNoRunAndUnknownClients) {
    const Finished nothing = mirror({directory_.path().string()});
    EXPECT_EQ(nothing.status, 2);
    EXPECT_THAT(nothing.err, HasSubstr("neither a run nor a matrix"));
    const Finished unknown = mirror_run("mlflow");
    EXPECT_EQ(unknown.status, 2);
    EXPECT_THAT(unknown.err, HasSubstr("--to mlflow: neither trackio nor wandb"));
}

TEST_F(Mirror, FollowsADirectoryUntilTheProcessIsGone) {
    const fs::path top = directory_.path() / "matrix" / "m";
    const FakeRun cell(top / "cells" / "a_s1");
    put(top / "plan.json", R"({"cells": ["a_s1", "a_s2"]})");  // the second is never begun
    const Finished gone = test::run_program({"sh", "-c", "sleep 0 & echo $!; wait"});
    const Finished result = mirror(
        {"--to", "trackio", "--process", gone.out.substr(0, gone.out.find('\n')), top.string()});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(trackio_rows(), ElementsAre("0:1.0", "1:2.0"));
}

TEST_F(Mirror, FindsTheRunOfAProcessByItsOpenFilesAndEndsWithIt) {
    run_.state("preempted", 75);  // of an attempt before: this one is at work
    const Finished result = test::run_program(
        {"sh", "-c",
         "exec 3>> \"$RUN/metrics.jsonl\"; python3 \"$MIRROR\" --interval 0.01 --process $$ "
         "--to wandb < /dev/null > \"$RUN/out\" 2>&1 & echo $! > \"$RUN/pid\"; "
         "until grep -q following \"$RUN/mirror.json\" 2> /dev/null; do sleep 0.05; done; "
         "printf '%s' \"$LINE\" >&3; exec sh -c 'exit 7'"},
        {{"RUN", run_.path.string()},
         {"LINE", train_line(2, "3")},
         {"MIRROR", (source() / "scripts/track_mirror.py").string()},
         {"PYTHONPATH", (source() / "tests/track/fake_clients").string()},
         {"WANDB_API_KEY", ""}});
    EXPECT_EQ(result.status, 7);
    // The mirror outlives the run, in a session of its own.
    const Finished end = test::run_program(
        {"sh", "-c", "while kill -0 $(cat \"$RUN/pid\") 2> /dev/null; do sleep 0.05; done"},
        {{"RUN", run_.path.string()}});
    ASSERT_EQ(end.status, 0);
    EXPECT_THAT(wandb_rows(run_.path), ElementsAre("0:1.0", "1:2.0", "2:3.0", "exit:75"));
}

}  // namespace
}  // namespace knlp::track
