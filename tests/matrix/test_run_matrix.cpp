// Whole matrices of real, tiny training: by one runner, by two, and with everything killed.

#include "real_matrix.h"

#include "knlp/core/json.h"
#include "knlp/core/rng.h"
#include "knlp/matrix/attempts.h"
#include "knlp/matrix/cell_state.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::RealMatrix;
using testing::HasSubstr;

const test::Values kLonger = {
    {"GPT2_MAX_ITERS", "1000"}, {"GPT2_EVAL_INTERVAL", "500"}, {"CHECKPOINT_INTERVAL", "200"}};

int run(const RealMatrix& matrix, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"run", "m"};
    words.insert(words.end(), more.begin(), more.end());
    return RealMatrix::end_of(matrix.start(words));
}

std::vector<json> journal(const RealMatrix& matrix, const std::string& kind) {
    std::vector<json> found;
    std::ifstream file(matrix.path() / "journal.jsonl");
    for (std::string line; std::getline(file, line);)
        if (json event = json::parse(line); event["event"] == kind) found.push_back(event);
    return found;
}

void expect_all_done(const RealMatrix& matrix) {
    for (const Cell& cell : matrix.plan.cells)
        EXPECT_EQ(cell_state(matrix.path(), cell).stage, Stage::kDone) << cell.id;
}

void expect_same_matrix(const RealMatrix& a, const RealMatrix& b) {
    for (size_t i = 0; i < a.plan.cells.size(); ++i) test::expect_same_cell(a.cell(i), b.cell(i));
}

TEST(RunMatrix, DoesAllCellsAndTellsWhatTheyCameTo) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    ASSERT_EQ(run(matrix), 0) << matrix.output();
    expect_all_done(matrix);
    EXPECT_TRUE(fs::exists(matrix.path() / "report.html"));
    const test::Finished status =
        test::run_knlp({"matrix", "status", "m", "--json"}, matrix.runs.path());
    ASSERT_EQ(status.status, 0) << status.err;
    EXPECT_EQ(json::parse(status.out)["counts"]["done"], 4);
    const test::Finished left =
        test::run_knlp({"matrix", "estimate", "m", "--json"}, matrix.runs.path());
    EXPECT_EQ(json::parse(left.out)["cells_left"], 0);
    // A seed is another result, an arm too.
    std::set<double> losses;
    const json cells = json::parse(status.out)["cells"];
    for (const json& cell : cells) losses.insert(cell["loss"].get<double>());
    EXPECT_EQ(losses.size(), 4u);
}

TEST(RunMatrix, AtOnceAndOneByOneGiveTheSameBits) {
    NEEDS_KNLP();
    const RealMatrix one, two;
    ASSERT_EQ(run(one, {"--jobs", "1"}), 0) << one.output();
    ASSERT_EQ(run(two, {"--jobs", "2"}), 0) << two.output();
    expect_same_matrix(one, two);
}

TEST(RunMatrix, RerunKeepsTheOldAttemptAndRepeatsItBitForBit) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    ASSERT_EQ(run(matrix), 0) << matrix.output();
    ASSERT_EQ(RealMatrix::end_of(matrix.start({"rerun", "m", "--cells", "*_s2"})), 0)
        << matrix.output();
    for (size_t i = 0; i < 4; ++i) {
        const fs::path old = attempts_directory(matrix.path(), matrix.plan.cells[i]) / "attempt.1";
        EXPECT_EQ(fs::exists(old), matrix.plan.cells[i].seed == 2) << old;
        if (fs::exists(old)) test::expect_same_cell(old, matrix.cell(i));
    }
}

TEST(RunMatrix, OnOtherDataIsRefusedBeforeAnyCell) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    data::make_synthetic("markov", 20000, 2, {.name = "tiny", .force = true}, matrix.runs.data());
    EXPECT_EQ(run(matrix), 3);
    EXPECT_THAT(matrix.output(), HasSubstr("'train'"));
    EXPECT_FALSE(fs::exists(matrix.path() / "cells"));
}

TEST(RunMatrix, WithABinaryThatWasReplacedIsRefused) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    const fs::path binary = matrix.path() / matrix.plan.builds[0].path;
    fs::remove(binary);
    std::ofstream(binary) << "another";
    EXPECT_EQ(run(matrix), 3);
    EXPECT_THAT(matrix.output(), HasSubstr(matrix.plan.builds[0].path));
}

TEST(RunMatrix, TwoRunnersShareItAndDoNoCellTwice) {
    NEEDS_KNLP();
    const RealMatrix matrix(kLonger);
    const pid_t first = matrix.start({"run", "m", "--jobs", "1"});
    const pid_t second = matrix.start({"run", "m", "--jobs", "1"});
    EXPECT_EQ(RealMatrix::end_of(first), 0) << matrix.output();
    EXPECT_EQ(RealMatrix::end_of(second), 0) << matrix.output();
    expect_all_done(matrix);
    for (const Cell& cell : matrix.plan.cells)
        EXPECT_EQ(cell_state(matrix.path(), cell).attempts, 1) << cell.id;
    std::multiset<std::string> done;
    for (const json& end : journal(matrix, "end"))
        if (end["status"] == 0) done.insert(end["cell"]);
    EXPECT_EQ(done.size(), 4u);
}

test::Finished knlp(const RealMatrix& matrix, std::vector<std::string> words) {
    words.insert(words.begin(), "matrix");
    return test::run_knlp(words, matrix.runs.path());
}

TEST(ContinueMatrix, GoesOnWithTheNewestThatIsUnfinished) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    fs::create_directories(matrix.runs.run("results/matrix"));
    fs::create_directory_symlink(matrix.path(), matrix.runs.run("results/matrix/mine"));
    ASSERT_EQ(run(matrix, {"--cells", "*_s1"}), 0) << matrix.output();
    const test::Finished which =
        knlp(matrix, {"continue", "--which", "--set", "OUTPUT_DIR=results"});
    EXPECT_EQ(which.out, "results/matrix/mine\n") << which.err;
    const test::Finished done = knlp(matrix, {"continue", "--set", "OUTPUT_DIR=results"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("4 cells: 2 done, 2 fresh"));
    expect_all_done(matrix);
    EXPECT_EQ(knlp(matrix, {"continue", "--set", "OUTPUT_DIR=results"}).status, 2);
}

TEST(ContinueMatrix, TakesNoOtherSettingsThanThePlans) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    for (const char* verb : {"run", "continue"}) {
        const test::Finished refused = knlp(matrix, {verb, "m", "--set", "LEARNING_RATE=1"});
        EXPECT_EQ(refused.status, 2);
        EXPECT_THAT(refused.err, HasSubstr("fixed by their plan"));
    }
    EXPECT_EQ(knlp(matrix, {"run", "m", "--seed", "3"}).status, 2);
    EXPECT_FALSE(fs::exists(matrix.path() / "cells"));
}

TEST(MatrixVerbs, OfAPlanTakeNoSettings) {
    RealMatrix m;
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"status", "m"},
                                               {"estimate", "m"},
                                               {"extend", "m", "--seeds", "9"},
                                               {"package", "m"}}) {
        std::vector<std::string> all = words;
        all.insert(all.end(), {"--set", "LEARNING_RATE=1"});
        EXPECT_EQ(RealMatrix::end_of(m.start(all)), 2) << words[0];
    }
    EXPECT_THAT(m.output(), HasSubstr("fixed by their plan"));
    EXPECT_FALSE(std::filesystem::exists(m.path() / matrix::extension_file(1)));
}

TEST(ContinueMatrix, AnEditedPlanAndADirectoryWithoutOneAreRefused) {
    NEEDS_KNLP();
    RealMatrix matrix;
    std::string text = read_file(matrix.path() / "plan.json");
    text.replace(text.find("\"max_retries\": 1"), 16, "\"max_retries\": 2");
    write_file_atomic(matrix.path() / "plan.json", text);
    const test::Finished edited = knlp(matrix, {"run", "m"});
    EXPECT_EQ(edited.status, 3);
    EXPECT_THAT(edited.err, HasSubstr("edited"));
    EXPECT_EQ(knlp(matrix, {"status", "."}).status, 3);
}

TEST(ContinueMatrix, ABaseConfigurationOfAnotherMatrixIsRefused) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    std::ofstream(matrix.config(), std::ios::app) << "# edited\n";
    const test::Finished refused = knlp(matrix, {"run", "m"});
    EXPECT_EQ(refused.status, 3);
    EXPECT_THAT(refused.err, HasSubstr("m/config.txt"));
}

TEST(EstimateMatrix, IsUnknownBeforeAnyCellHasRun) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    const test::Finished left = knlp(matrix, {"estimate", "m"});
    EXPECT_EQ(left.status, 0);
    EXPECT_THAT(left.out, HasSubstr("unknown: no cell of lr-1e-2, lr-3e-3 has run yet"));
    EXPECT_TRUE(json::parse(knlp(matrix, {"estimate", "m", "--json"}).out)["seconds"].is_null());
}

/// Processes that work on a matrix: those with its directory in their command line.
std::vector<pid_t> processes_of(const RealMatrix& matrix) {
    std::vector<pid_t> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
        const std::string name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        std::error_code gone;
        const fs::path where = fs::read_symlink(entry.path() / "cwd", gone);
        if (!gone && where == matrix.runs.path()) found.push_back(std::stoi(name));
    }
    return found;
}

TEST(RunMatrixSlow, KilledAtAnyInstantEndsWithTheSameBits) {
    NEEDS_KNLP();
    const RealMatrix straight(kLonger), matrix(kLonger);
    ASSERT_EQ(run(straight), 0) << straight.output();
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const Stream random(seed, "kill");
    int kills = 0;
    for (uint64_t round = 0; round < 200; ++round) {
        const pid_t runner = matrix.start({"run", "m", "--jobs", "2"});
        ::usleep(static_cast<useconds_t>(random.below(900'000, round)));
        // The runner alone, whose cells go on as orphans, or everything, or a cell.
        std::vector<pid_t> victims = processes_of(matrix);
        const uint64_t kind = random.below(3, round, 1);
        if (kind == 1) std::erase_if(victims, [&](pid_t pid) { return pid == runner; });
        if (kind == 0 || victims.empty()) victims = {runner};
        for (const pid_t pid : victims) kills += ::kill(pid, SIGKILL) == 0;
        const int status = RealMatrix::end_of(runner);
        ASSERT_TRUE(status == 0 || status == 4 || status == 128 + SIGKILL) << matrix.output();
        if (status == 0) break;
    }
    ASSERT_EQ(run(matrix), 0) << matrix.output();
    EXPECT_GT(kills, 0);
    expect_all_done(matrix);
    expect_same_matrix(straight, matrix);
}

}  // namespace
}  // namespace knlp::matrix
