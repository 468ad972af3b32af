#include "knlp/core/file.h"
#include "knlp/track/index.h"
#include "knlp/track/manifest.h"
#include "knlp/track/recorded.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <nlohmann/json.hpp>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

namespace knlp::track {
namespace {

namespace fs = std::filesystem;
using test::TempDir;

/// A finished run with this validation loss.
RunDir make_run(const TempDir& dir, const std::string& name, double val_loss,
                const std::string& started) {
    RunDir run = RunDir::create(dir.path(), name, dir.file("runs/" + name));
    Manifest m;
    m.model = "gpt2";
    m.seeds = {{"seed", 3}};
    m.data.name = "linuxdoc";
    m.data.substitute = "the default text stands in";
    m.started = started;
    write_manifest(run, m);
    Summary s;
    s.final_val_loss = s.best_val_loss = val_loss;
    s.steps = 20;
    s.tokens = 5120;
    s.tokens_per_s = 100;
    s.total_time_s = 51.2;
    write_summary(run, s);
    write_status(run, "done");
    return run;
}

void expect_same_rows(const std::vector<IndexedRun>& a, const std::vector<IndexedRun>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].run_id, b[i].run_id);
        EXPECT_EQ(a[i].path, b[i].path);
        EXPECT_EQ(a[i].state, b[i].state);
        EXPECT_EQ(a[i].started, b[i].started);
        EXPECT_EQ(a[i].init_from, b[i].init_from);
        EXPECT_EQ(a[i].step, b[i].step);
        EXPECT_EQ(a[i].val_loss, b[i].val_loss);
        EXPECT_EQ(a[i].substituted, b[i].substituted);
    }
}

TEST(Index, ShowsWhatTheRunsFilesSay) {
    const TempDir dir;
    EXPECT_TRUE(list_runs(dir.path()).empty());
    index_run(dir.path(), make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z").path());
    const std::vector<IndexedRun> runs = list_runs(dir.path());
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].run_id, "a");
    EXPECT_EQ(runs[0].path, "runs/a");
    EXPECT_EQ(runs[0].state, "done");
    EXPECT_EQ(runs[0].model, "gpt2");
    EXPECT_EQ(runs[0].dataset, "linuxdoc");
    EXPECT_EQ(runs[0].seed, 3u);
    EXPECT_EQ(runs[0].step, 20);
    EXPECT_EQ(runs[0].tokens, 5120);
    EXPECT_EQ(runs[0].val_loss, 2.5);
    EXPECT_EQ(runs[0].wall_s, 51.2);
    EXPECT_TRUE(runs[0].substituted);
    EXPECT_FALSE(runs[0].synthetic);
}

TEST(Index, ShowsWhereTheFirstWeightsCameFrom) {
    const TempDir dir;
    const RunDir run = make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z");
    index_run(dir.path(), run.path());
    EXPECT_EQ(list_runs(dir.path()).at(0).init_from, "");
    Manifest m;
    m.parents = {{.kind = "resume", .path = "/elsewhere"},
                 {.kind = "init_from", .path = "/models/gpt2"}};
    write_manifest(run, m);
    index_run(dir.path(), run.path());
    EXPECT_EQ(list_runs(dir.path()).at(0).init_from, recorded_path("/models/gpt2"));
}

TEST(Index, TheSameRunIsOneRowAndTheNewestComesFirst) {
    const TempDir dir;
    const RunDir a = make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z");
    index_run(dir.path(), a.path());
    index_run(dir.path(), make_run(dir, "b", 2.0, "2026-01-02T00:00:00Z").path());
    index_run(dir.path(), a.path());
    const std::vector<IndexedRun> runs = list_runs(dir.path());
    ASSERT_EQ(runs.size(), 2u);
    EXPECT_EQ(runs[0].run_id, "b");
}

TEST(Index, RunsOfOneNameInTwoPlacesAreTwoRows) {
    const TempDir dir;
    const TempDir elsewhere;
    make_run(elsewhere, "a", 3.5, "2026-01-02T00:00:00Z");
    index_run(dir.path(), make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z").path());
    index_run(dir.path(), elsewhere.file("runs/a"));
    const std::vector<IndexedRun> runs = list_runs(dir.path());
    ASSERT_EQ(runs.size(), 2u);
    EXPECT_EQ(runs[0].run_id, runs[1].run_id);
    EXPECT_EQ(runs[0].path, elsewhere.file("runs/a").string());
    EXPECT_EQ(runs[1].path, "runs/a");
}

TEST(Index, RebuildingFromTheDirectoriesGivesTheSameRows) {
    const TempDir dir;
    index_run(dir.path(), make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z").path());
    index_run(dir.path(), make_run(dir, "b", 2.0, "2026-01-02T00:00:00Z").path());
    const std::vector<IndexedRun> before = list_runs(dir.path());
    for (const char* name : {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm"})
        fs::remove(dir.file(name));
    rebuild_index(dir.path());
    expect_same_rows(before, list_runs(dir.path()));
    fs::remove_all(dir.file("runs/a"));
    rebuild_index(dir.path());
    EXPECT_EQ(list_runs(dir.path()).size(), 1u);
}

TEST(Index, AnInterruptedRunShowsItsLastMetrics) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x", dir.file("runs/x"));
    {
        MetricsLog log(run);
        log.append("train", {{"step", 10}, {"tokens", 100}});
        log.append("eval", {{"step", 10}, {"val_loss", 3.0}});
        log.append("eval", {{"step", 20}, {"tokens", 200}, {"val_loss", 3.5}});
    }
    index_run(dir.path(), run.path());
    const std::vector<IndexedRun> runs = list_runs(dir.path());
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].step, 20);
    EXPECT_EQ(runs[0].tokens, 200);
    EXPECT_EQ(runs[0].val_loss, 3.5);
    EXPECT_EQ(runs[0].best_val_loss, 3.0);
}

TEST(Index, AnInterruptedRunShowsTheStepThatWasSaved) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x", dir.file("runs/x"));
    MetricsLog(run).append("train", {{"step", 0}, {"tokens", 0}});
    index_run(dir.path(), run.path());
    EXPECT_EQ(list_runs(dir.path()).at(0).step, 1);  // the event's step is counted from 0
    for (const char* name :
         {"step-00000100", "step-00001121", "step-00002000", ".step-00003000.partial"})
        fs::create_directories(run.file("checkpoints") / name);
    dir.write("runs/x/checkpoints/step-00000100/state.json", R"({"step":100,"tokens_seen":900})");
    dir.write("runs/x/checkpoints/step-00001121/state.json", R"({"step":1121,"tokens_seen":9999})");
    dir.write("runs/x/checkpoints/step-00002000/state.json", "{");
    dir.write("runs/x/checkpoints/.step-00003000.partial/state.json", R"({"step":3000})");
    index_run(dir.path(), run.path());
    EXPECT_EQ(list_runs(dir.path()).at(0).step, 1121);
    EXPECT_EQ(list_runs(dir.path()).at(0).tokens, 9999);
}

TEST(Index, SpeedIsTheMedianOfTheLog) {
    const TempDir dir;
    const RunDir run = make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z");
    index_run(dir.path(), run.path());
    EXPECT_EQ(list_runs(dir.path()).at(0).tokens_per_s, 100);  // nothing logged: the summary's
    {
        MetricsLog log(run);
        for (const double speed : {500.0, 300.0, 400.0})
            log.append("train", {{"step", 1}, {"tokens_per_s", speed}});
        log.append("final", {{"tokens_per_s", 1.0}});
    }
    index_run(dir.path(), run.path());
    EXPECT_EQ(list_runs(dir.path()).at(0).tokens_per_s, 400);
    EXPECT_EQ(list_runs(dir.path()).at(0).step, 20);
}

TEST(Index, RebuildingKeepsRunsThatLieElsewhere) {
    const TempDir dir, elsewhere;
    const RunDir run = RunDir::create(dir.path(), "out", elsewhere.file("out"));
    write_status(run, "preempted");
    const RunDir gone = RunDir::create(dir.path(), "gone", elsewhere.file("gone"));
    for (const RunDir& one : {run, gone}) index_run(dir.path(), one.path());
    fs::remove_all(gone.path());
    rebuild_index(dir.path());
    const std::vector<IndexedRun> runs = list_runs(dir.path());
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].path, elsewhere.file("out"));
    EXPECT_EQ(runs[0].state, "preempted");
}

TEST(Index, ProcessesThatWriteTogetherLoseNothing) {
    const TempDir dir;
    for (int i = 0; i < 6; ++i) make_run(dir, "r" + std::to_string(i), 2.0, "2026-01-01T00:00:00Z");
    for (int i = 0; i < 6; ++i) {
        if (::fork() != 0) continue;
        index_run(dir.path(), dir.file("runs/r" + std::to_string(i)));
        ::_exit(0);
    }
    while (::wait(nullptr) > 0) {
    }
    EXPECT_EQ(list_runs(dir.path()).size(), 6u);
}

TEST(Index, ARunThatWasKilledIsNotListedAsRunning) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x", dir.file("runs/x"));
    const pid_t child = ::fork();
    if (child == 0) {
        write_status(run, "running");
        index_run(dir.path(), run.path());
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    MetricsLog(run).append("train", {{"step", 6}, {"tokens", 600}});
    for (int times = 0; times < 2; ++times) {
        EXPECT_EQ(list_runs(dir.path()).at(0).state, "failed");
        EXPECT_EQ(list_runs(dir.path()).at(0).step, 7);
    }
}

TEST(Index, ARunningRunIsListedAsFarAsItIs) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x", dir.file("runs/x"));
    write_status(run, "running");
    index_run(dir.path(), run.path());
    EXPECT_EQ(list_runs(dir.path()).at(0).step, 0);
    MetricsLog(run).append("train", {{"step", 6}, {"tokens", 600}});
    EXPECT_EQ(list_runs(dir.path()).at(0).step, 7);
    EXPECT_EQ(list_runs(dir.path()).at(0).state, "running");
}

TEST(Index, ARunWhoseDirectoryIsGoneIsNotListed) {
    const TempDir dir;
    for (const char* name : {"a", "b"})
        index_run(dir.path(), make_run(dir, name, 2.5, "2026-01-01T00:00:00Z").path());
    fs::remove_all(dir.file("runs/a"));
    const std::vector<IndexedRun> runs = list_runs(dir.path());
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].run_id, "b");
}

TEST(Index, ADirectoryIsOneRowHoweverItIsNamed) {
    const TempDir dir;
    const fs::path run = make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z").path();
    for (const fs::path& name :
         {run, dir.file("runs/./a"), dir.file("runs/../runs/a"), fs::relative(run)})
        index_run(dir.path(), name);
    index_run(fs::relative(dir.path()), run);
    ASSERT_EQ(list_runs(dir.path()).size(), 1u);
    EXPECT_EQ(list_runs(dir.path())[0].path, "runs/a");
}

TEST(Index, ADamagedFileWarnsOnWritingAndNamesItselfOnReading) {
    const TempDir dir;
    const RunDir run = make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z");
    dir.write("index.sqlite", std::string(4096, 'x'));
    EXPECT_NO_THROW(index_run(dir.path(), run.path()));
    test::expect_error(kRun, {"index.sqlite", "only a cache"}, [&] { list_runs(dir.path()); });
}

TEST(Index, ARunWithDamagedFilesIsStillARow) {
    const TempDir dir;
    make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z");
    dir.write("runs/a/manifest.json",
              R"({"data":{"synthetic":"maybe","substitute":3},"seeds":[],"model":{}})");
    dir.write("runs/a/summary.json", "{");
    dir.write("runs/a/status.json", "");
    rebuild_index(dir.path());
    const std::vector<IndexedRun> runs = list_runs(dir.path());
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].state, "unknown");
    EXPECT_FALSE(runs[0].synthetic);
}

TEST(Index, AFileOfAnotherVersionIsMadeAnew) {
    const TempDir dir;
    index_run(dir.path(), make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z").path());
    for (const char* column : {"other", "path"}) {
        sqlite3* db = nullptr;
        ASSERT_EQ(sqlite3_open(dir.file("index.sqlite").c_str(), &db), SQLITE_OK);
        const std::string change = "DROP TABLE run; CREATE TABLE run (" + std::string(column) +
                                   " TEXT); PRAGMA user_version=99";
        ASSERT_EQ(sqlite3_exec(db, change.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
        sqlite3_close(db);
        EXPECT_EQ(list_runs(dir.path()).size(), 1u) << column;
    }
}

TEST(Index, AnotherVersionsRunsElsewhereStayKnown) {
    const TempDir dir, elsewhere;
    make_run(elsewhere, "b", 3.5, "2026-01-02T00:00:00Z");
    index_run(dir.path(), elsewhere.file("runs/b"));
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(dir.file("index.sqlite").c_str(), &db), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(db, "ALTER TABLE run DROP COLUMN init_from; PRAGMA user_version=2",
                           nullptr, nullptr, nullptr),
              SQLITE_OK);
    sqlite3_close(db);
    const std::vector<IndexedRun> runs = list_runs(dir.path());
    ASSERT_EQ(runs.size(), 1u);
    EXPECT_EQ(runs[0].path, elsewhere.file("runs/b").string());
    EXPECT_EQ(runs[0].val_loss, 3.5);
}

TEST(Index, ColumnsAreStrictlyTyped) {
    const TempDir dir;
    index_run(dir.path(), make_run(dir, "a", 2.5, "2026-01-01T00:00:00Z").path());
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(dir.file("index.sqlite").c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, "UPDATE run SET step='many'", nullptr, nullptr, nullptr),
              SQLITE_CONSTRAINT);
    sqlite3_close(db);
}

}  // namespace
}  // namespace knlp::track
