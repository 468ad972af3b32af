#include "knlp/matrix/runner_local.h"

#include "fake_matrix_binary.h"

#include "knlp/core/host.h"
#include "knlp/matrix/cell_state.h"
#include "knlp/matrix/claim.h"
#include "src/matrix/lease.h"
#include "src/matrix/memory_book.h"
#include "tests/support/expect_error.h"
#include "tests/support/scoped_environment.h"
#include "tests/support/terminal.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::ScriptedMatrix;
using testing::HasSubstr;

RunnerOutcome run(const ScriptedMatrix& matrix, const RunnerOptions& options = {}) {
    return run_local(matrix.dir.path(), matrix.plan, options);
}

CellState state(const ScriptedMatrix& matrix, size_t cell) {
    return cell_state(matrix.dir.path(), matrix.plan.cells[cell]);
}

/// A runner in another process.
pid_t start_runner(const ScriptedMatrix& matrix, const RunnerOptions& options = {}) {
    const pid_t child = ::fork();
    if (child != 0) return child;
    int status = 70;
    try {
        status = run(matrix, options).status;
    } catch (const Error& error) {
        status = exit_status(error.kind());
    }
    ::_exit(status);
}

int end_of(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void wait_until(const std::function<bool()>& condition) {
    while (!condition()) ::usleep(1000);
}

TEST(Runner, DoesEveryCellOnceInTheOrderOfThePlan) {
    const ScriptedMatrix matrix("begin; finish");
    RunnerOptions one;
    one.jobs = 1;
    const RunnerOutcome outcome = run(matrix, one);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.cells, 4);
    ASSERT_EQ(matrix.begun().size(), 4u);
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(matrix.begun()[i], matrix.plan.cells[i].id);
    EXPECT_EQ(matrix.events("start").size(), 4u);
    EXPECT_EQ(matrix.events("end").size(), 4u);
    EXPECT_EQ(matrix.events("run").size(), 1u);
}

TEST(Runner, DoesNothingForWhatIsDone) {
    const ScriptedMatrix matrix("begin; finish");
    run(matrix);
    EXPECT_EQ(run(matrix).status, 0);
    EXPECT_EQ(matrix.begun().size(), 4u);
}

TEST(Runner, AFailureEndsOnlyItsCellAndIsTriedAgainAsOftenAsPlanned) {
    const ScriptedMatrix matrix("begin; [ $N = 1 ] && fail 4 E_IO; finish");
    const RunnerOutcome outcome = run(matrix);
    EXPECT_EQ(outcome.status, 4);
    ASSERT_EQ(outcome.failures.size(), 1u);
    EXPECT_EQ(outcome.failures[0].cell, matrix.plan.cells[1].id);
    EXPECT_EQ(outcome.failures[0].reason, "out of luck");
    EXPECT_EQ(outcome.cells, 3);
    EXPECT_EQ(matrix.begun().size(), 5u);  // max_retries is 1
    EXPECT_EQ(state(matrix, 1).attempts, 2);
    // The count is on the disk: another runner does not begin it anew.
    EXPECT_EQ(run(matrix).status, 4);
    EXPECT_EQ(matrix.begun().size(), 5u);
}

TEST(Runner, ARetryThatSucceedsIsASuccess) {
    const ScriptedMatrix matrix("begin; [ $N = 2 -a ! -e $M/attempts/$ID ] && fail 4 E_IO; finish");
    EXPECT_EQ(run(matrix).status, 0);
    EXPECT_EQ(state(matrix, 2).attempts, 2);
    EXPECT_EQ(matrix.events("retry").size(), 1u);
}

TEST(Runner, WhatWouldFailInTheSameWayIsNotTriedAgain) {
    for (const char* how :
         {"fail 2 E_CONFIG", "fail 3 E_DATA", "fail 5 E_NOT_BUILT", "fail 4 E_DIVERGED"}) {
        const ScriptedMatrix matrix(fmt::format("begin; [ $N = 0 ] && {}; finish", how));
        EXPECT_EQ(run(matrix).status, 4) << how;
        EXPECT_EQ(matrix.begun().size(), 4u) << how;
    }
}

TEST(Runner, ABinaryThatCannotBeStartedIsAFailureOfEachCell) {
    const ScriptedMatrix matrix("finish");
    fs::remove(matrix.dir.file("bin/x/knlp"));
    const RunnerOutcome outcome = run(matrix);
    EXPECT_EQ(outcome.status, 4);
    EXPECT_EQ(outcome.failures.size(), 4u);
}

TEST(Runner, ACellThatIsKilledAgainAndAgainIsGivenUp) {
    const ScriptedMatrix matrix("begin; [ $N = 0 ] && kill -9 $$; finish");
    const RunnerOutcome outcome = run(matrix);
    EXPECT_EQ(outcome.status, 4);
    EXPECT_EQ(std::ranges::count(matrix.begun(), matrix.plan.cells[0].id), 2);
}

TEST(Runner, StopsAtTheFirstFailureWhereThePlanSaysSo) {
    ScriptedMatrix matrix("begin; [ $N = 0 ] && fail 3 E_DATA; finish");
    matrix.plan.stop_on_failure = true;
    RunnerOptions one;
    one.jobs = 1;
    EXPECT_EQ(run(matrix, one).status, 4);
    EXPECT_EQ(matrix.begun().size(), 1u);
}

TEST(Runner, AGlobChoosesCellsAndOneThatMatchesNoneIsRefused) {
    const ScriptedMatrix matrix("begin; finish");
    RunnerOptions some;
    some.cells = "*_s2";
    EXPECT_EQ(run(matrix, some).status, 0);
    EXPECT_EQ(matrix.begun().size(), 2u);
    some.cells = "*_s9";
    expect_error(kUsage, {"*_s9"}, [&] { run(matrix, some); });
}

TEST(Runner, AForeignClaimIsNamedBeforeAnythingIsStarted) {
    const ScriptedMatrix matrix("begin; finish");
    fs::create_directories(matrix.dir.file("claims"));
    matrix.dir.write("claims/" + matrix.plan.cells[2].id, "mine");
    expect_error(kLocked, {"claims/" + matrix.plan.cells[2].id}, [&] { run(matrix); });
    EXPECT_TRUE(matrix.begun().empty());
}

TEST(Runner, EachCellIsAProcessGroupWithItsOwnLog) {
    const ScriptedMatrix matrix(
        "begin; echo hello; read -r _ _ _ _ group _ < /proc/$$/stat; echo $group > $R/pgid; "
        "echo $$ > $R/pid; finish");
    EXPECT_EQ(run(matrix).status, 0);
    const Cell& cell = matrix.plan.cells[0];
    EXPECT_EQ(read_file(matrix.dir.file("logs") / (cell.id + ".log")), "hello\n");
    EXPECT_EQ(read_file(cell_directory(matrix.dir.path(), cell) / "pgid"),
              read_file(cell_directory(matrix.dir.path(), cell) / "pid"));
}

TEST(Runner, CellsAtOnceShareNoCore) {
    if (own_cores().size() < 2) GTEST_SKIP() << "one core here";
    // Each waits for the other, so that both run at once.
    const ScriptedMatrix matrix(
        "begin; taskset -cp $$ | sed 's/.*: //' > $M/cores.$N; "
        "until [ -s $M/cores.0 -a -s $M/cores.1 ]; do :; done; finish");
    EXPECT_EQ(run(matrix).status, 0);
    EXPECT_NE(read_file(matrix.dir.file("cores.0")), read_file(matrix.dir.file("cores.1")));
    EXPECT_EQ(read_file(matrix.dir.file("cores.0")).find('-'), std::string::npos);
}

TEST(Runner, WaitsForACellThatRunsElsewhereAndDoesNotDoubleIt) {
    const ScriptedMatrix matrix("begin; finish");
    const Cell& cell = matrix.plan.cells[3];
    int gate[2];
    ASSERT_EQ(::pipe(gate), 0);
    const pid_t elsewhere = ::fork();
    if (elsewhere == 0) {  // holds the claim, and does the cell once the others are done
        ::close(gate[1]);
        const Claim claim(matrix.dir.path(), cell);
        (void)!::write(::open(matrix.dir.file("claimed").c_str(), O_CREAT | O_WRONLY, 0666), "x",
                       1);
        wait_until([&] { return matrix.events("end").size() == 3; });
        (void)!std::system(fmt::format("{} matrix run-cell {} --index 3",
                                       matrix.dir.file("bin/x/knlp").string(),
                                       matrix.dir.path().string())
                               .c_str());
        ::_exit(0);
    }
    wait_until([&] { return fs::exists(matrix.dir.file("claimed")); });
    const RunnerOutcome outcome = run(matrix);
    end_of(elsewhere);
    ::close(gate[0]);
    ::close(gate[1]);
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.cells, 3);
    EXPECT_EQ(matrix.begun().size(), 4u);
}

TEST(Runner, SigtermEndsItsCellsInOrderAndIsStatus75) {
    const ScriptedMatrix matrix(
        "begin; trap 'status \"{\\\"state\\\":\\\"preempted\\\",\\\"exit_code\\\":75}\"; exit 75' "
        "TERM; "
        "touch $M/up.$N; while :; do :; done");
    for (const auto& [signal, status] : {std::pair{SIGTERM, 75}, {SIGINT, 130}}) {
        fs::remove(matrix.dir.file("up.0"));
        const pid_t runner = start_runner(matrix);
        wait_until([&] { return fs::exists(matrix.dir.file("up.0")); });
        ::kill(runner, signal);
        EXPECT_EQ(end_of(runner), status);
        EXPECT_EQ(read_json(cell_directory(matrix.dir.path(), matrix.plan.cells[0]) /
                            "status.json")["state"],
                  "preempted");
    }
}

TEST(Runner, ASecondCtrlCEndsCellsThatDoNotListen) {
    const ScriptedMatrix matrix("begin; trap '' TERM; touch $M/up; while :; do :; done");
    RunnerOptions one;
    one.jobs = 1;
    const pid_t runner = start_runner(matrix, one);
    wait_until([&] { return fs::exists(matrix.dir.file("up")); });
    ::kill(runner, SIGINT);
    ::kill(runner, SIGINT);
    // Two that come at once may be seen as one.
    while (::waitpid(runner, nullptr, WNOHANG) == 0) {
        ::kill(runner, SIGINT);
        ::usleep(1000);
    }
    EXPECT_EQ(matrix.begun().size(), 1u);
}

TEST(Runner, CellsThatDoNotEndInTimeAreKilled) {
    const ScriptedMatrix matrix("begin; trap '' TERM; touch $M/up; while :; do :; done");
    RunnerOptions hasty;
    hasty.jobs = 1;
    hasty.grace_s = 0.01;
    const pid_t runner = start_runner(matrix, hasty);
    wait_until([&] { return fs::exists(matrix.dir.file("up")); });
    ::kill(runner, SIGTERM);
    EXPECT_EQ(end_of(runner), 75);
}

TEST(Runner, GivesBackTheSignalsItTook) {
    sigset_t before, after;
    ::sigprocmask(SIG_SETMASK, nullptr, &before);
    const ScriptedMatrix matrix("begin; finish");
    run(matrix);
    RunnerOptions none;
    none.cells = "none";
    EXPECT_THROW(run(matrix, none), Error);
    ::sigprocmask(SIG_SETMASK, nullptr, &after);
    for (const int signal : {SIGINT, SIGTERM, SIGUSR1})
        EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal));
}

/// What a runner prints on a terminal of this size; `seen` is asked after each piece of it.
std::string on_terminal(const ScriptedMatrix& matrix, unsigned short rows, unsigned short columns,
                        const std::function<void(const std::string&)>& seen) {
    struct winsize size {
        .ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0
    };
    int master = -1;
    const pid_t child = ::forkpty(&master, nullptr, nullptr, &size);
    if (child == 0) {
        ::setenv("TERM", "xterm", 1);
        ::_exit(run(matrix).status);
    }
    std::string text;
    std::array<char, 4096> buffer;
    for (ssize_t n = 0; (n = ::read(master, buffer.data(), buffer.size())) > 0;) {
        text.append(buffer.data(), static_cast<size_t>(n));
        seen(text);
    }
    end_of(child);
    ::close(master);
    return text;
}

TEST(Runner, OnATerminalShowsATableThatFits) {
    KNLP_NEEDS_TERMINAL();
    for (const char* no_color : {"", "1"}) {
        const test::ScopedEnvironment color("NO_COLOR", no_color);
        const ScriptedMatrix matrix(
            "begin; echo '{\"event\":\"train\",\"step\":4,\"loss\":2.5,\"elapsed_s\":1}' > "
            "$R/metrics.jsonl; until [ -e $M/go ]; do :; done; finish");
        // Once it was drawn, and drawn again in its place, the cells may end.
        const std::string text = on_terminal(matrix, 5, 40, [&](const std::string& so_far) {
            if (so_far.find("step 5/20") != std::string::npos &&
                so_far.find("\033[3A") != std::string::npos)
                matrix.dir.write("go", "");
        });
        EXPECT_EQ(text.find("\033[1m") != std::string::npos, *no_color == '\0') << text;
        for (size_t at = text.find("\033[K"); at != std::string::npos;
             at = text.find("\033[K", at + 1)) {
            const size_t begin = text.find_last_of("\r\nm", at - 1) + 1;
            EXPECT_LT(at - begin, 40u) << text.substr(begin, at - begin);
        }
    }
}

TEST(MemoryBook, GoesByTheMeasuredPeakOfTheFirstFinishedCell) {
    Plan plan = test::sample_plan();
    plan.arms[0].estimate.memory_bytes = 1000;
    MemoryBook book(plan);
    EXPECT_EQ(book.needed(plan.arms[0].id), 1000);
    EXPECT_EQ(book.needed(plan.arms[1].id), std::nullopt);
    book.measured(plan.arms[0].id, 3000);
    book.measured(plan.arms[0].id, 9000);
    EXPECT_EQ(book.needed(plan.arms[0].id), 3300);
}

TEST(MemoryBook, WhatIsSetAsideAndNotYetUsedIsNotFree) {
    EXPECT_TRUE(fits_beside({}, 1000, 1));  // one alone may always try
    const Reservation running[] = {{.reserved = 100, .resident = 40}};
    EXPECT_TRUE(fits_beside(running, 100, 160));
    EXPECT_FALSE(fits_beside(running, 100, 159));
    const Reservation larger[] = {{.reserved = 100, .resident = 140}};
    EXPECT_TRUE(fits_beside(larger, 100, 100));
}

TEST(Places, AreDividedAmongTheCellsOfAMatrixAndComeBack) {
    const test::TempDir dir;
    const Places places(dir.path(), {0, 1, 2}, {}, 2);
    std::optional<Place> first = places.take(2);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->cores, (std::vector<int>{0, 1}));
    EXPECT_FALSE(places.take(2));
    EXPECT_EQ(places.take(1)->cores, std::vector<int>{2});
    first.reset();
    EXPECT_TRUE(places.take(2));
}

TEST(Places, GiveEachCellAGpuOfItsOwn) {
    const test::TempDir dir;
    const Places places(dir.path(), {0, 1, 2, 3}, {"0", "1"}, 2);
    const std::optional<Place> first = places.take(1), second = places.take(1);
    EXPECT_EQ(first->gpu, "0");
    EXPECT_EQ(second->gpu, "1");
    EXPECT_FALSE(places.take(1));
}

}  // namespace
}  // namespace knlp::matrix
