#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/track/run_dir.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <nlohmann/json.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <regex>
#include <set>

namespace knlp::track {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::TempDir;

TEST(RunDir, IsNamedByUtcTimeAndName) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "gpt2_adamw_s1");
    EXPECT_TRUE(std::regex_match(run.id(), std::regex(R"(\d{8}T\d{6}Z-gpt2_adamw_s1)")))
        << run.id();
    EXPECT_EQ(run.path().parent_path(), dir.file("runs"));
    EXPECT_TRUE(fs::is_directory(run.file("checkpoints")));
}

TEST(RunDir, ProcessesThatStartTogetherGetDirectoriesOfTheirOwn) {
    const TempDir dir;
    for (int i = 0; i < 8; ++i) {
        if (::fork() != 0) continue;
        RunDir::create(dir.path(), "same");
        ::_exit(0);
    }
    int status = 0;
    while (::wait(&status) > 0) EXPECT_EQ(status, 0);
    EXPECT_EQ(std::distance(fs::directory_iterator(dir.file("runs")), fs::directory_iterator()), 8);
}

TEST(RunDir, OutMayBeAbsentOrEmptyButNotInUse) {
    const TempDir dir;
    EXPECT_EQ(RunDir::create(dir.path(), "x", dir.file("a/b/")).path(), dir.file("a/b"));
    fs::create_directory(dir.file("empty"));
    EXPECT_EQ(RunDir::create(dir.path(), "x", dir.file("empty")).path(), dir.file("empty"));
    fs::create_directory(dir.file("full"));
    dir.write("full/mine.txt", "precious");
    expect_error(kUsage, {dir.file("full"), "not an empty directory"},
                 [&] { RunDir::create(dir.path(), "x", dir.file("full")); });
    EXPECT_EQ(read_file(dir.file("full/mine.txt")), "precious");
    dir.write("file", "x");
    expect_error(kUsage, {dir.file("file")},
                 [&] { RunDir::create(dir.path(), "x", dir.file("file")); });
}

TEST(RunDir, APlaceThatCannotHoldRunsIsStatus4BeforeAnyWork) {
    const TempDir dir;
    dir.write("results", "a file");
    expect_error(kRun, {dir.file("results")}, [&] { RunDir::create(dir.file("results"), "x"); });
}

TEST(RunDir, OpenRefusesWhatIsNone) {
    const TempDir dir;
    expect_error(kData, {"no such run directory"}, [&] { RunDir::open(dir.file("none")); });
    expect_error(kData, {"not a run directory"}, [&] { RunDir::open(dir.path()); });
    const RunDir run = RunDir::create(dir.path(), "x");
    write_status(run, "running");
    EXPECT_EQ(RunDir::open(run.path().string() + "/").id(), run.id());
}

TEST(RunDir, ASecondProcessIsLockedOut) {
    const TempDir dir;
    RunDir run = RunDir::create(dir.path(), "x");
    run.lock();
    run.lock();
    write_status(run, "running");
    const pid_t child = ::fork();
    if (child == 0) {
        try {
            RunDir::open(run.path()).lock();
        } catch (const Error& error) {
            ::_exit(exit_status(error.kind()));
        }
        ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 6);
}

/// A run that was taken for dead: its directory is moved away and another is at its path.
RunDir displaced(const TempDir& dir) {
    RunDir run = RunDir::create(dir.path(), "x", dir.file("cell"));
    run.lock();
    write_status(run, "running");
    fs::rename(dir.file("cell"), dir.file("old"));
    write_status(RunDir::create(dir.path(), "x", dir.file("cell")), "running");
    return run;
}

TEST(RunDir, ADisplacedRunWritesNothingAtItsPath) {
    const TempDir dir;
    const RunDir run = displaced(dir);
    const std::string before = read_file(dir.file("cell/status.json"));
    expect_error(kLocked, {dir.file("cell"), "another attempt"}, [&] { run.require_ours(); });
    expect_error(kLocked, {}, [&] { write_status(run, "done"); });
    expect_error(kLocked, {}, [&] { run.write("samples.txt", "late"); });
    EXPECT_EQ(read_file(dir.file("cell/status.json")), before);
    EXPECT_FALSE(fs::exists(dir.file("cell/samples.txt")));
}

TEST(RunDir, WhatElseItIsToRequireIsAskedAtEachWrite) {
    const TempDir dir;
    RunDir run = RunDir::create(dir.path(), "x");
    run.lock();
    int asked = 0;
    run.also_require([&] {
        if (++asked > 1) fail(kLocked, "lost");
    });
    write_status(run, "running");
    expect_error(kLocked, {"lost"}, [&] { write_status(run, "done"); });
    EXPECT_EQ(read_status(run)["state"], "running");
}

/// A run directory with this name and state.
void plant(const TempDir& dir, const std::string& name, const std::string& state) {
    fs::create_directories(dir.file("runs") / name);
    dir.write("runs/" + name + "/status.json", R"({"state":")" + state + R"("})");
}

TEST(NewestRun, GoesByStartAndState) {
    const TempDir dir;
    EXPECT_EQ(newest_run(dir.path()), fs::path());
    plant(dir, "20260101T000000Z-b", "preempted");
    plant(dir, "20260301T000000Z-a", "done");
    plant(dir, "20260201T000000Z-c", "failed");
    fs::create_directories(dir.file("runs/20990101T000000Z-not-a-run"));
    EXPECT_EQ(newest_run(dir.path()).filename(), "20260301T000000Z-a");
    EXPECT_EQ(newest_run(dir.path(), {"preempted", "failed"}).filename(), "20260201T000000Z-c");
    EXPECT_EQ(newest_run(dir.path(), {"preempted"}).filename(), "20260101T000000Z-b");
    EXPECT_EQ(newest_run(dir.path(), {"pending"}), fs::path());
}

TEST(NewestRun, ADamagedStatusIsPassedOver) {
    const TempDir dir;
    plant(dir, "20260101T000000Z-a", "preempted");
    plant(dir, "20260201T000000Z-b", "x");
    dir.write("runs/20260201T000000Z-b/status.json", "{\"state\":");
    EXPECT_EQ(newest_run(dir.path(), {"preempted"}).filename(), "20260101T000000Z-a");
}

}  // namespace
}  // namespace knlp::track
