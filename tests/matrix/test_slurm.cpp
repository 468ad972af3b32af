#include "knlp/matrix/slurm.h"

#include "fake_slurm.h"
#include "knlp/config/symbols.h"
#include "knlp/core/json.h"
#include "tests/support/expect_error.h"
#include "tests/support/scoped_environment.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <random>
#include <set>

namespace knlp::matrix {
namespace {

using test::FakeSlurm;
using test::run_program;
using test::ScopedEnvironment;
using testing::ElementsAre;
using testing::HasSubstr;

/// The numbers of a list such as "0-3,7", written from sbatch(1).
std::vector<int64_t> numbers_of(const std::string& list) {
    std::vector<int64_t> numbers;
    std::stringstream ranges(list);
    for (std::string range; std::getline(ranges, range, ',');) {
        const size_t dash = range.find('-');
        const int64_t first = std::stoll(range),
                      last = dash == std::string::npos ? first : std::stoll(range.substr(dash + 1));
        for (int64_t i = first; i <= last; ++i) numbers.push_back(i);
    }
    return numbers;
}

TEST(Compressed, WritesRunsAsRanges) {
    EXPECT_EQ(compressed(std::vector<int64_t>{}), "");
    EXPECT_EQ(compressed(std::vector<int64_t>{5}), "5");
    EXPECT_EQ(compressed(std::vector<int64_t>{0, 1, 2, 3, 7, 9}), "0-3,7,9");
    EXPECT_EQ(compressed(std::vector<int64_t>{1, 2, 4, 5, 6}), "1-2,4-6");
}

/// Ascending numbers below `end`, each with a chance of its own.
std::vector<int64_t> some_numbers(std::mt19937& random, int64_t end) {
    std::vector<int64_t> numbers;
    const double share = std::uniform_real_distribution<double>(0, 1)(random);
    std::bernoulli_distribution taken(share);
    for (int64_t i = 0; i < end; ++i)
        if (taken(random)) numbers.push_back(i);
    return numbers;
}

TEST(Compressed, NamesTheNumbersAndNoOthers) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 200; ++round) {
        const std::vector<int64_t> numbers = some_numbers(random, 60);
        EXPECT_EQ(numbers_of(compressed(numbers)), numbers);
    }
}

TEST(ArrayParts, HoldEachCellOnceWithTasksTheClusterTakes) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 200; ++round) {
        const std::vector<int64_t> cells = some_numbers(random, 400);
        const int64_t size = std::uniform_int_distribution<int64_t>(1, 120)(random);
        std::vector<int64_t> found;
        std::set<int64_t> offsets;
        for (const ArrayPart& part : array_parts(cells, size)) {
            EXPECT_TRUE(offsets.insert(part.offset).second);
            EXPECT_FALSE(part.tasks.empty());
            for (const int64_t task : part.tasks) {
                EXPECT_TRUE(0 <= task && task < size);
                found.push_back(part.offset + task);
            }
        }
        EXPECT_EQ(found, cells);
    }
}

std::string header_of(const std::string& script) {
    return script.substr(0, script.find("# Made by"));
}

TEST(ArrayScript, AsksForWhatTheDefaultsSay) {
    const config::Slurm slurm = config::read_slurm(config::Symbols::from_values({}));
    EXPECT_EQ(header_of(array_script(test::sample_plan(), slurm, "results/matrix/lr",
                                     {.offset = 0, .tasks = {0, 1, 3}})),
              "#!/bin/bash\n"
              "#SBATCH --job-name=knlp-lr\n"
              "#SBATCH --array=0-1,3\n"
              "#SBATCH --output=results/matrix/lr/logs/%x-%A_%a.log\n"
              "#SBATCH --requeue\n"
              "#SBATCH --signal=B:USR1@120\n"
              "#SBATCH --open-mode=append\n"
              "#SBATCH --time=04:00:00\n"
              "#SBATCH --nodes=1\n"
              "#SBATCH --ntasks=1\n"
              "#SBATCH --cpus-per-task=2\n"
              "#SBATCH --mem=8G\n");
}

TEST(ArrayScript, AsksForWhatIsSet) {
    Plan plan = test::sample_plan();
    plan.arms[1].choices.threads = 6;  // the plan's threads win over fewer cores
    const config::Slurm slurm{.partition = "a b,c",
                              .time = "1-12",
                              .gres = "gpu:a100:1",
                              .cpus = 4,
                              .memory = "",
                              .max_parallel = 7,
                              .extra = "--account=lab --qos=long"};
    EXPECT_EQ(header_of(array_script(plan, slurm, "./-my 100%", {.offset = 1001, .tasks = {4}})),
              "#!/bin/bash\n"
              "#SBATCH --job-name=knlp-lr+1001\n"
              "#SBATCH --array=4%7\n"
              "#SBATCH --output=\"./-my 100%%/logs/%x-%A_%a.log\"\n"
              "#SBATCH --requeue\n"
              "#SBATCH --signal=B:USR1@120\n"
              "#SBATCH --open-mode=append\n"
              "#SBATCH --time=1-12\n"
              "#SBATCH --nodes=1\n"
              "#SBATCH --ntasks=1\n"
              "#SBATCH --cpus-per-task=6\n"
              "#SBATCH --partition=\"a b,c\"\n"
              "#SBATCH --gres=gpu:a100:1\n"
              "#SBATCH --account=lab --qos=long\n");
    EXPECT_EQ(header_of(report_script(plan, slurm, "m")),
              "#!/bin/bash\n"
              "#SBATCH --job-name=knlp-lr-report\n"
              "#SBATCH --output=m/logs/%x-%j.log\n"
              "#SBATCH --open-mode=append\n"
              "#SBATCH --time=1-12\n"
              "#SBATCH --nodes=1\n"
              "#SBATCH --ntasks=1\n"
              "#SBATCH --cpus-per-task=1\n"
              "#SBATCH --partition=\"a b,c\"\n"
              "#SBATCH --account=lab --qos=long\n");
}

TEST(ArrayScript, JobsAreNamedInPlainLetters) {
    Plan plan = test::sample_plan();
    plan.name = "-my \"lr\";$(x)|é";
    EXPECT_EQ(slurm_job_name(plan), "knlp--my__lr____x____");
}

TEST(BinariesTable, NamesTheBinaryOfEachCell) {
    Plan plan = test::sample_plan();
    plan.builds.push_back({.sha256 = std::string(64, '9'), .path = "bin/9/knlp"});
    plan.arms[1].build = std::string(64, '9');
    EXPECT_EQ(binaries_table(plan),
              "0\tbin/bbbbbbbbbbbb/knlp\n1\tbin/9/knlp\n2\tbin/bbbbbbbbbbbb/knlp\n3\tbin/9/knlp\n");
}

/// A matrix directory with an awkward path, and a cluster.
class SlurmTest : public testing::Test {
protected:
    explicit SlurmTest(int64_t max_array_size = 1001)
        : slurm_(max_array_size), path_("PATH", slurm_.environment()["PATH"]) {
        std::filesystem::create_directory(matrix_);
    }
    void write_matrix(int64_t cells, const std::string& body) {
        plan_ = test::write_fake_matrix(matrix_, cells, body);
    }
    Submission submit(const std::vector<int64_t>& cells, std::vector<std::string> after = {}) {
        Submission submission = write_slurm_scripts(matrix_, plan_, config::Slurm{.time = "10"},
                                                    cells, max_array_size());
        submit_scripts(matrix_, plan_, submission, after);
        return submission;
    }
    void request_all() {
        std::vector<int64_t> cells;
        for (const Cell& cell : plan_.cells) cells.push_back(cell.index);
        submission_ = submit(cells);
    }
    std::string here(const std::string& name) const { return (matrix_ / name).string(); }

    test::TempDir directory_;
    std::filesystem::path matrix_ = directory_.file("-it's 100% $matrix; `x`");
    FakeSlurm slurm_;
    ScopedEnvironment path_;
    Plan plan_;
    Submission submission_;
};

TEST_F(SlurmTest, SubmitsArraysAndTheReportBehindThem) {
    write_matrix(6, "");
    const Submission done = submit({0, 1, 4}, {"77"});
    ASSERT_EQ(done.arrays.size(), 1u);
    EXPECT_EQ(done.arrays[0].job, "101");
    EXPECT_EQ(done.report_job, "102");
    EXPECT_THAT(slurm_.submitted(), ElementsAre("--parsable " + here("slurm/array.sbatch"),
                                                "--parsable --dependency=afterany:77:101 " +
                                                    here("slurm/report.sbatch")));
    const std::vector<std::string> lines = test::lines_of(here("slurm/jobs.jsonl"));
    ASSERT_EQ(lines.size(), 2u);
    const nlohmann::json first = parse_json(lines[0], "jobs");
    EXPECT_EQ(first["job"], "101");
    EXPECT_EQ(first["tasks"], "0-1,4");
    EXPECT_EQ(parse_json(lines[1], "jobs")["kind"], "report");
    EXPECT_EQ(run_program({"bash", "-n", here("slurm/array.sbatch")}).status, 0);
    EXPECT_EQ(run_program({"bash", "-n", here("slurm/report.sbatch")}).status, 0);
}

TEST_F(SlurmTest, WhatTheClusterRefusesIsSaid) {
    write_matrix(2, "");
    slurm_.write("full", "");
    test::expect_error(kRun, {"slurm/array.sbatch", "queue is full"}, [&] { submit({0}); });
    EXPECT_TRUE(slurm_.submitted().empty());
}

TEST_F(SlurmTest, ScriptsOfAnEarlierSubmissionGo) {
    write_matrix(6, "");
    Submission both =
        write_slurm_scripts(matrix_, plan_, {.time = "10"}, std::vector<int64_t>{0, 5}, 3);
    EXPECT_EQ(both.arrays[1].script, "slurm/array-3.sbatch");
    write_slurm_scripts(matrix_, plan_, {.time = "10"}, std::vector<int64_t>{0}, 3);
    EXPECT_TRUE(std::filesystem::exists(here("slurm/array.sbatch")));
    EXPECT_FALSE(std::filesystem::exists(here("slurm/array-3.sbatch")));
}

TEST_F(SlurmTest, TheQueueIsReadByCell) {
    write_matrix(6, "");
    submit({0, 1});
    const std::string ours = std::filesystem::canonical(matrix_ / "slurm").string();
    slurm_.write("queue", "101|0|RUNNING|None|" + ours + "/array.sbatch\n" +
                              "101|1|PENDING|BeginTime|" + ours + "/array.sbatch\n" +
                              "102|4|PENDING|Priority|" + ours + "/array-1.sbatch\n" +
                              "103|N/A|PENDING|Dependency|" + ours + "/report.sbatch\n" +
                              "104|2|RUNNING|None|/elsewhere/slurm/array.sbatch\n" +
                              "105|3|RUNNING|None|" + ours + "/other.sbatch\n");
    const std::map<int64_t, QueuedCell> expected = {{0, {"101_0", "RUNNING", "None"}},
                                                    {1, {"101_1", "PENDING", "BeginTime"}},
                                                    {5, {"102_4", "PENDING", "Priority"}}};
    EXPECT_EQ(slurm_queue(matrix_), expected);
}

TEST_F(SlurmTest, AQueueThatDoesNotAnswerIsNoEmptyQueue) {
    write_matrix(2, "");
    slurm_.write("down", "");
    EXPECT_TRUE(slurm_queue(matrix_).empty());  // nothing was submitted: nobody is asked
    submit({0});
    test::expect_error(kNotAvailable, {"squeue", "no controller"}, [&] { slurm_queue(matrix_); });
}

// A cell that counts down its preemptions, then is done; done again would be seen.
constexpr const char* kCountdown = R"sh(
[ "$1 $2 $4" = "matrix run-cell --index" ] && [ "$3" = "$PWD" ] || exit 2
mkdir -p done left
[ ! -e "done/$5" ] || exit 0
left=$(cat "left/$5" 2>/dev/null || echo $(($5 % 4)))
if [ "$left" -gt 0 ]; then echo $((left - 1)) > "left/$5"; exit 75; fi
echo "$5" >> "done/$5"
)sh";

class SlurmSmallArrays : public SlurmTest {
protected:
    SlurmSmallArrays() : SlurmTest(5) {}
};

// Tasks come in any order, twice each, and are preempted; what is queued again runs again.
TEST_F(SlurmSmallArrays, EveryCellIsDoneExactlyOnceInAnyOrder) {
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    write_matrix(12, kCountdown);
    request_all();
    ASSERT_EQ(submission_.arrays.size(), 3u);
    std::vector<std::pair<int64_t, int64_t>> tasks;
    for (const SubmittedArray& array : submission_.arrays)
        for (const int64_t task : array.part.tasks)
            for (int twice = 0; twice < 2; ++twice) tasks.push_back({std::stoll(array.job), task});
    size_t requeued = 0;
    int runs = 0;
    while (!tasks.empty() && ++runs < 200) {
        std::swap(tasks[random() % tasks.size()], tasks.back());
        const auto [job, task] = tasks.back();
        tasks.pop_back();
        const test::Finished done = slurm_.run_task(job, task, matrix_);
        EXPECT_TRUE(done.status == 0 || done.status == 75) << done.err;
        const std::vector<std::string> again = test::lines_of(slurm_.file("requeued"));
        EXPECT_EQ(again.size() - requeued, done.status == 75 ? 1u : 0u);
        for (; requeued < again.size(); ++requeued) {
            const size_t bar = again[requeued].find('_');
            tasks.push_back(
                {std::stoll(again[requeued]), std::stoll(again[requeued].substr(bar + 1))});
        }
    }
    EXPECT_TRUE(tasks.empty());
    EXPECT_EQ(requeued, 18u);  // 0 + 1 + 2 + 3, three times
    for (const Cell& cell : plan_.cells)
        EXPECT_THAT(test::lines_of(matrix_ / "done" / std::to_string(cell.index)),
                    ElementsAre(std::to_string(cell.index)));
}

TEST_F(SlurmTest, AJobThatIsQueuedAgainOrCancelledIsLeftAlone) {
    write_matrix(2, "exit 75\n");
    request_all();
    for (const char* state : {"PENDING\n", "COMPLETING\n", "CANCELLED\n", ""}) {
        slurm_.write("state", state);
        EXPECT_EQ(slurm_.run_task(101, 1, matrix_).status, 75);
        EXPECT_FALSE(std::filesystem::exists(slurm_.file("requeued"))) << state;
    }
}

TEST_F(SlurmTest, AFailureIsTheJobsAndIsNotQueuedAgain) {
    write_matrix(2, "exit 4\n");
    request_all();
    EXPECT_EQ(slurm_.run_task(101, 0, matrix_).status, 4);
    EXPECT_FALSE(std::filesystem::exists(slurm_.file("requeued")));
}

// The program gets the signal that Slurm gives the batch shell, and its status is the one that
// counts. $PPID is the shell.
TEST_F(SlurmTest, SignalsArePassedOnAndWaitedFor) {
    for (const std::string signal : {"USR1", "TERM"}) {
        write_matrix(2, "trap 'echo " + signal + " >> caught; exit 75' " + signal + R"sh(
kill -s )sh" + signal + R"sh( $PPID
while :; do read -t 1 < <(:) || :; done
)sh");
        request_all();
        std::filesystem::remove(slurm_.file("requeued"));
        const std::string job = submission_.arrays[0].job;
        EXPECT_EQ(slurm_.run_task(std::stoll(job), 1, matrix_).status, 75);
        EXPECT_THAT(test::lines_of(slurm_.file("requeued")), ElementsAre(job + "_1"));
        EXPECT_THAT(test::lines_of(matrix_ / "caught"), testing::Contains(signal));
    }
}

TEST_F(SlurmTest, SeveralSignalsAndAChildThatIsGoneDoNoHarm) {
    write_matrix(2,
                 "kill -TERM $PPID; kill -USR1 $PPID; kill -TERM $PPID; trap '' TERM USR1\n"
                 "kill -TERM $PPID; exit 75\n");
    request_all();
    const test::Finished done = slurm_.run_task(101, 1, matrix_);
    EXPECT_EQ(done.status, 75) << done.err;
    EXPECT_EQ(done.err, "");
}

TEST_F(SlurmTest, AProgramThatTheSignalEndedIsQueuedAgain) {
    write_matrix(2, "kill -TERM $PPID; kill -TERM $$; read < <(:)\n");
    request_all();
    EXPECT_EQ(slurm_.run_task(101, 0, matrix_).status, 75);
    EXPECT_THAT(test::lines_of(slurm_.file("requeued")), ElementsAre("101_0"));
}

TEST_F(SlurmTest, AKilledProgramIsAFailure) {
    write_matrix(2, "kill -KILL $$\n");
    request_all();
    EXPECT_EQ(slurm_.run_task(101, 0, matrix_).status, 137);
    EXPECT_FALSE(std::filesystem::exists(slurm_.file("requeued")));
}

TEST_F(SlurmTest, APathThatNoOptionOfSbatchHoldsIsRefused) {
    const std::filesystem::path quoted = directory_.file("a \"b\"");
    std::filesystem::create_directory(quoted);
    test::expect_error(kUsage, {"quotes", "give the directory another name"},
                       [&] { path_in_scripts(quoted); });
}

TEST_F(SlurmTest, OverridesOfTheSubmittingShellDoNotReachTheCell) {
    write_matrix(2, "env > environment\n");
    request_all();
    slurm_.run_task(101, 0, matrix_,
                    {{"KNLP_SET", "SEED=9"}, {"KNLP_MAKE_SET", "SEED=9"}, {"KCONFIG_CONFIG", "x"}});
    const std::string environment = read_file(matrix_ / "environment");
    EXPECT_THAT(environment, testing::Not(HasSubstr("SEED=9")));
    EXPECT_THAT(environment, testing::Not(HasSubstr("KCONFIG_CONFIG")));
    EXPECT_THAT(environment, HasSubstr("SLURM_ARRAY_TASK_ID=0"));
}

TEST_F(SlurmTest, ACellWithoutABinaryIsNamed) {
    write_matrix(2, "");
    request_all();
    std::filesystem::remove(matrix_ / plan_.builds[0].path);
    const test::Finished done = slurm_.run_task(101, 1, matrix_);
    EXPECT_EQ(done.status, 2);
    EXPECT_THAT(done.err, HasSubstr("no binary 'bin/bbbbbbbbbbbb/knlp' for cell 1"));
}

TEST_F(SlurmSmallArrays, TheLimitOfArraysIsTheClusters) {
    EXPECT_EQ(max_array_size(), 5);
}

TEST(MaxArraySize, OfAClusterThatDoesNotAnswerIsNotGuessed) {
    test::TempDir empty;
    const ScopedEnvironment path("PATH", empty.path().string());
    test::expect_error(kNotAvailable, {"scontrol"}, [] { max_array_size(); });
}

}  // namespace
}  // namespace knlp::matrix
