#include "knlp/matrix/claim.h"

#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/utc.h"
#include "knlp/matrix/plan.h"
#include "knlp/track/run_dir.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <memory>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::expect_error;
using test::TempDir;

const Cell kCell{.index = 0, .id = "a_s1", .arm = "a", .seed = 1};

/// Runs `work` in another process, which then waits to be ended; returns once `work` is done.
pid_t in_another(const std::function<void()>& work) {
    int ready[2];
    if (::pipe(ready) != 0) throw std::runtime_error("pipe");
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ready[0]);
        work();
        (void)!::write(ready[1], "x", 1);
        ::close(ready[1]);
        for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte = 0;
    (void)!::read(ready[0], &byte, 1);
    ::close(ready[0]);
    return child;
}

void end(pid_t child) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}

/// The claim of a process that is not this one.
void plant(const TempDir& dir, const std::map<std::string, std::string>& changes = {}) {
    json claim = {{"nonce", "n1"},
                  {"host", host().hostname},
                  {"boot_id", host().boot_id},
                  {"pid", 1},
                  {"started", utc_now()}};
    for (const auto& [name, value] : changes) claim[name] = value;
    fs::create_directories(dir.file("claims"));
    dir.write("claims/a_s1", claim.dump());
}

void plant_heartbeat(const TempDir& dir, const std::string& time) {
    fs::create_directories(dir.file("cells/a_s1"));
    dir.write("cells/a_s1/status.json", json({{"state", "running"}, {"heartbeat", time}}).dump());
}

/// Of these processes, how many the kernel has waiting for a flock.
int waiting_for_locks(const std::vector<pid_t>& pids) {
    std::ifstream locks("/proc/locks");
    int waiting = 0;
    for (std::string line; std::getline(locks, line);)
        for (const pid_t pid : pids)
            waiting += line.find("-> FLOCK") != std::string::npos &&
                       line.find(" " + std::to_string(pid) + " ") != std::string::npos;
    return waiting;
}

[[noreturn]] void take_and_keep(const TempDir& dir) {
    try {
        new Claim(dir.path(), kCell);
        for (;;) ::pause();
    } catch (const Error& error) {
        ::_exit(exit_status(error.kind()));
    }
}

TEST(Claim, IsOneProcessesAlone) {
    const TempDir dir;
    const pid_t holder = in_another([&] { new Claim(dir.path(), kCell); });
    EXPECT_EQ(look_at_claim(dir.path(), kCell).holder, Holder::kAlive);
    expect_error(kLocked, {"a_s1", std::to_string(holder)}, [&] { Claim(dir.path(), kCell); });
    end(holder);
}

TEST(Claim, OfAProcessThatWasKilledIsFree) {
    const TempDir dir;
    end(in_another([&] { new Claim(dir.path(), kCell); }));
    EXPECT_EQ(look_at_claim(dir.path(), kCell).holder, Holder::kGone);
    const Claim mine(dir.path(), kCell);
    EXPECT_FALSE(mine.taken_from_silent());
    EXPECT_EQ(look_at_claim(dir.path(), kCell).info.pid, ::getpid());
}

TEST(Claim, OfAStoppedProcessOfThisMachineIsNotFree) {
    const TempDir dir;
    const pid_t holder = in_another([&] { new Claim(dir.path(), kCell); });
    ::kill(holder, SIGSTOP);
    plant_heartbeat(dir, "2020-01-01T00:00:00Z");
    EXPECT_EQ(look_at_claim(dir.path(), kCell).holder, Holder::kAlive);
    end(holder);
}

TEST(Claim, IsGivenBackAtTheEnd) {
    const TempDir dir;
    { const Claim mine(dir.path(), kCell); }
    EXPECT_EQ(look_at_claim(dir.path(), kCell).holder, Holder::kNone);
    EXPECT_FALSE(fs::exists(dir.file("claims/a_s1")));
}

TEST(Claim, OfAnEarlierBootIsFree) {
    const TempDir dir;
    plant(dir, {{"boot_id", "another"}});
    EXPECT_EQ(look_at_claim(dir.path(), kCell).holder, Holder::kGone);
    EXPECT_FALSE(Claim(dir.path(), kCell).taken_from_silent());
}

TEST(Claim, OfAnotherMachineIsHeldAsLongAsItsHeartBeats) {
    const TempDir dir;
    const std::map<std::string, std::string> far = {
        {"host", "far"}, {"boot_id", "another"}, {"started", "2020-01-01T00:00:00Z"}};
    plant(dir, far);
    plant_heartbeat(dir, utc_before(kSilence_s - 30));
    EXPECT_EQ(look_at_claim(dir.path(), kCell).holder, Holder::kAlive);
    expect_error(kLocked, {"a_s1", "far"}, [&] { Claim(dir.path(), kCell); });
    plant_heartbeat(dir, utc_before(kSilence_s + 30));
    EXPECT_EQ(look_at_claim(dir.path(), kCell).holder, Holder::kSilent);
    EXPECT_TRUE(Claim(dir.path(), kCell).taken_from_silent());
}

TEST(Claim, OfAnotherMachineThatHasJustBegunIsHeldWhateverAnOlderStatusSays) {
    const TempDir dir;
    plant(dir, {{"host", "far"}, {"boot_id", "another"}});
    plant_heartbeat(dir, "2020-01-01T00:00:00Z");
    EXPECT_EQ(look_at_claim(dir.path(), kCell).holder, Holder::kAlive);
}

TEST(Claim, TwoThievesCannotBothWin) {
    const TempDir dir;
    plant(dir, {{"boot_id", "another"}});
    // Both have seen that the claim is free when they may take it, one after the other.
    const int gate = ::open(dir.file("claims/.takeover").c_str(), O_RDWR | O_CREAT, 0666);
    ASSERT_EQ(::flock(gate, LOCK_EX), 0);
    std::vector<pid_t> thieves;
    for (int i = 0; i < 2; ++i) {
        thieves.push_back(::fork());
        if (thieves.back() != 0) continue;
        ::close(gate);
        take_and_keep(dir);
    }
    while (waiting_for_locks(thieves) < 2) ::usleep(1000);
    ::close(gate);
    int status = 0;
    const pid_t loser = ::wait(&status);
    EXPECT_EQ(WEXITSTATUS(status), 6);
    const pid_t winner = thieves[0] == loser ? thieves[1] : thieves[0];
    EXPECT_EQ(look_at_claim(dir.path(), kCell).info.pid, winner);
    end(winner);
}

TEST(Claim, OneThatWasTakenOverIsNoLongerOurs) {
    const TempDir dir;
    auto mine = std::make_unique<Claim>(dir.path(), kCell);
    EXPECT_NO_THROW(mine->require_ours());
    plant(dir);
    expect_error(kLocked, {"a_s1", "another process"}, [&] { mine->require_ours(); });
    mine.reset();  // and its end leaves the other's claim alone
    EXPECT_TRUE(fs::exists(dir.file("claims/a_s1")));
}

TEST(Claim, WhatIsNoneIsNamedAndNeverTakenOver) {
    const TempDir dir;
    for (const char* text : {"", "pid 12", "[]", R"({"nonce":1})",
                             R"({"nonce":"a","host":"h","boot_id":"b","started":"s","pid":"x"})"}) {
        fs::create_directories(dir.file("claims"));
        dir.write("claims/a_s1", text);
        expect_error(kLocked, {dir.file("claims/a_s1").string(), "delete"},
                     [&] { Claim(dir.path(), kCell); });
        EXPECT_EQ(read_file(dir.file("claims/a_s1")), text);
    }
    fs::remove(dir.file("claims/a_s1"));
    fs::create_directory(dir.file("claims/a_s1"));
    expect_error(kLocked, {dir.file("claims/a_s1").string()}, [&] { Claim(dir.path(), kCell); });
}

TEST(Claim, OfManyProcessesThatStartTogetherOneGetsIt) {
    const TempDir dir;
    std::vector<pid_t> children;
    int go[2];
    ASSERT_EQ(::pipe(go), 0);
    for (int i = 0; i < 8; ++i) {
        children.push_back(::fork());
        if (children.back() != 0) continue;
        ::close(go[1]);
        char byte = 0;
        (void)!::read(go[0], &byte, 1);  // all at once
        try {
            new Claim(dir.path(), kCell);
            ::_exit(0);  // the lock ends, the file stays: it was held
        } catch (const Error& error) {
            ::_exit(exit_status(error.kind()));
        }
    }
    ::close(go[0]);
    ::close(go[1]);
    int got = 0;
    for (const pid_t child : children) {
        int status = 0;
        ::waitpid(child, &status, 0);
        got += WEXITSTATUS(status) == 0;
        EXPECT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 6);
    }
    EXPECT_GE(got, 1);
}

}  // namespace
}  // namespace knlp::matrix
