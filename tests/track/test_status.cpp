#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/track/run_dir.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <nlohmann/json.hpp>
#include <sys/wait.h>
#include <unistd.h>

namespace knlp::track {
namespace {

using nlohmann::json;
using test::expect_error;
using test::TempDir;

TEST(Status, HoldsTheFieldsOfTheRunDirectory) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    write_status(run, "running");
    const json status = read_status(run);
    EXPECT_EQ(status["state"], "running");
    EXPECT_EQ(status["pid"], ::getpid());
    EXPECT_EQ(status["host"], host().hostname);
    EXPECT_EQ(status["boot_id"], host().boot_id);
    EXPECT_EQ(status["attempt"], 1);
    EXPECT_TRUE(status["exit_code"].is_null());
    EXPECT_TRUE(status["signal"].is_null());
}

TEST(Status, TheEndKeepsStartAndAttempt) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    write_status(run, "running");
    const json before = read_status(run);
    write_status(run, "preempted", 75, SIGTERM, "signal 15");
    const json after = read_status(run);
    EXPECT_EQ(after["state"], "preempted");
    EXPECT_EQ(after["exit_code"], 75);
    EXPECT_EQ(after["signal"], SIGTERM);
    EXPECT_EQ(after["reason"], "signal 15");
    EXPECT_EQ(after["started"], before["started"]);
    EXPECT_EQ(after["attempt"], 1);
    // Of no use any more, and of this machine alone.
    for (const char* name : {"pid", "host", "boot_id"}) EXPECT_TRUE(after[name].is_null()) << name;
}

TEST(Status, AnotherProcessIsAnotherAttempt) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    const pid_t child = ::fork();
    if (child == 0) {
        write_status(run, "running");
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    // The child is gone without a last word.
    const json orphan = read_status(run);
    EXPECT_EQ(orphan["state"], "failed");
    EXPECT_THAT(orphan["reason"].get<std::string>(), testing::HasSubstr("killed"));
    write_status(run, "running");
    EXPECT_EQ(read_status(run)["state"], "running");
    EXPECT_EQ(read_status(run)["attempt"], 2);
}

TEST(Status, ARunOfAnotherBootIsNotRunning) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    write_status(run, "running");
    json status = read_json(run.file("status.json"));
    status["boot_id"] = "another";
    write_file_atomic(run.file("status.json"), pretty_json(status));
    EXPECT_EQ(read_status(run)["state"], "failed");
    status["host"] = "another-machine";
    write_file_atomic(run.file("status.json"), pretty_json(status));
    EXPECT_EQ(read_status(run)["state"], "running") << "other machines cannot be asked";
}

TEST(Status, AnotherMachineIsAliveWhileItsHeartbeatIsFresh) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    for (const char* state : {"running", "pending"}) {
        write_status(run, state);
        json status = read_json(run.file("status.json"));
        status["host"] = "another-machine";
        write_file_atomic(run.file("status.json"), pretty_json(status));
        EXPECT_EQ(read_status(run)["state"], state);
        status["heartbeat"] = "2026-01-02T03:04:05Z";
        write_file_atomic(run.file("status.json"), pretty_json(status));
        EXPECT_EQ(read_status(run)["state"], "failed");
        EXPECT_EQ(read_status(run)["reason"],
                  "no sign of life on another-machine since 2026-01-02T03:04:05Z");
    }
}

TEST(Status, DamageIsAnErrorThatNamesTheFile) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    for (const char* text : {"", "{", "[]", "{}", "{\"state\":1}", "null"}) {
        write_file_atomic(run.file("status.json"), text);
        expect_error(kData, {"status.json"}, [&] { read_status(run); });
    }
}

TEST(Status, FieldsOfWrongTypesNeverCrash) {
    const TempDir dir;
    const RunDir run = RunDir::create(dir.path(), "x");
    write_file_atomic(
        run.file("status.json"),
        R"({"state":"running","pid":"x","boot_id":7,"host":[],"attempt":"y","started":1})");
    EXPECT_NO_THROW(read_status(run));
    EXPECT_NO_THROW(write_status(run, "running"));
    EXPECT_EQ(read_status(run)["pid"], ::getpid());
}

}  // namespace
}  // namespace knlp::track
