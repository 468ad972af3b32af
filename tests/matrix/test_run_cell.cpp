// `knlp matrix run-cell` with real, tiny training.

#include "real_matrix.h"

#include "knlp/core/json.h"
#include "knlp/core/utc.h"
#include "knlp/matrix/cell_state.h"
#include "knlp/matrix/claim.h"
#include "knlp/track/manifest.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::RealMatrix;
using test::same_bytes;
using testing::HasSubstr;

CellState state(const RealMatrix& matrix, size_t index) {
    return cell_state(matrix.path(), matrix.plan.cells[index]);
}

/// Waits until a run has logged so many events, or its process has ended.
void wait_for_lines(const fs::path& run, size_t lines) {
    for (int i = 0; i < 60000; ++i) {
        std::ifstream file(run / "metrics.jsonl");
        size_t n = 0;
        for (std::string line; std::getline(file, line);) ++n;
        if (n >= lines) return;
        ::usleep(1000);
    }
    FAIL() << run << " did not get on";
}

/// Long enough to be met on its way, with few checkpoints.
const test::Values kLonger = {{"GPT2_MAX_ITERS", "1000"},
                              {"GPT2_LOG_INTERVAL", "1"},
                              {"GPT2_EVAL_INTERVAL", "1000"},
                              {"CHECKPOINT_INTERVAL", "200"}};

TEST(RunCell, DoesTheCellAndNothingWhenItIsDone) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    ASSERT_EQ(matrix.run_cell(1), 0) << matrix.output();
    EXPECT_EQ(state(matrix, 1).stage, Stage::kDone);
    const json manifest = track::read_manifest(matrix.cell(1));
    EXPECT_EQ(manifest["seeds"]["seed"], 1);
    EXPECT_EQ(manifest["experiment_sha256"], matrix.plan.cells[1].config_sha256);
    const std::string before = read_file(matrix.cell(1) / "status.json");
    EXPECT_EQ(matrix.run_cell(1), 0);
    EXPECT_EQ(read_file(matrix.cell(1) / "status.json"), before);
    EXPECT_FALSE(fs::exists(matrix.path() / "claims" / matrix.plan.cells[1].id));
}

TEST(RunCell, ThatIsStoppedGoesOnAndEndsWithTheSameBits) {
    NEEDS_KNLP();
    const RealMatrix matrix(kLonger), straight(kLonger);
    ASSERT_EQ(straight.run_cell(0), 0) << straight.output();
    const pid_t cell = matrix.start_cell(0);
    wait_for_lines(matrix.cell(0), 250);
    ::kill(cell, SIGTERM);
    ASSERT_EQ(RealMatrix::end_of(cell), 75) << matrix.output();
    EXPECT_EQ(state(matrix, 0).stage, Stage::kResumable);
    ASSERT_EQ(matrix.run_cell(0), 0) << matrix.output();
    EXPECT_EQ(state(matrix, 0).attempts, 1);
    test::expect_same_cell(straight.cell(0), matrix.cell(0));
}

TEST(RunCell, ThatFailedBeginsAgainAndTheAttemptIsKept) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    fs::create_directories(matrix.cell(0));
    std::ofstream(matrix.cell(0) / "status.json")
        << R"({"state":"failed","exit_code":4,"code":"E_IO","reason":"disk full"})";
    ASSERT_EQ(matrix.run_cell(0), 0) << matrix.output();
    EXPECT_EQ(state(matrix, 0).stage, Stage::kDone);
    EXPECT_EQ(state(matrix, 0).attempts, 2);
    EXPECT_TRUE(
        fs::exists(matrix.path() / "attempts" / matrix.plan.cells[0].id / "attempt.1/status.json"));
}

TEST(RunCell, ThatDivergedIsNotRepeated) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    fs::create_directories(matrix.cell(0));
    std::ofstream(matrix.cell(0) / "status.json")
        << R"({"state":"failed","exit_code":4,"code":"E_DIVERGED","reason":"loss is nan"})";
    EXPECT_EQ(matrix.run_cell(0), 4);
    EXPECT_THAT(matrix.output(), HasSubstr("knlp matrix rerun"));
}

TEST(RunCell, OnOtherDataIsRefusedAndSaysSoInItsStatus) {
    NEEDS_KNLP();
    RealMatrix matrix;
    matrix.plan.data[0].sha256 = std::string(64, '1');
    matrix.write_plan();
    EXPECT_EQ(matrix.run_cell(0), 3);
    EXPECT_THAT(matrix.output(), HasSubstr("data 'train'"));
    EXPECT_EQ(state(matrix, 0).stage, Stage::kFailed);
    EXPECT_EQ(state(matrix, 0).exit_code, 3);
    ASSERT_EQ(matrix.run_cell(0, {"--allow-drift"}), 0) << matrix.output();
    EXPECT_THAT(track::read_manifest(matrix.cell(0))["warnings"].dump(),
                HasSubstr("not as planned"));
    EXPECT_THAT(read_file(matrix.path() / "journal.jsonl"), HasSubstr("\"drift\""));
}

TEST(RunCell, ByOtherProductsOfBfloat16IsRefused) {
    NEEDS_KNLP();
    RealMatrix matrix(test::Values{{"MIXED_PRECISION", "y"}});
    const auto plan_for = [&](std::optional<bool> used) {
        for (Arm& arm : matrix.plan.arms) arm.choices.bf16_dot_products = used;
        matrix.write_plan();
    };
    plan_for(!bf16_dot_products());
    EXPECT_EQ(matrix.run_cell(0), 3);
    EXPECT_THAT(matrix.output(), HasSubstr("AVX512_BF16 for products of bfloat16 is"));
    plan_for(bf16_dot_products());
    EXPECT_EQ(matrix.run_cell(1), 0) << matrix.output();
    plan_for(std::nullopt);
    EXPECT_EQ(matrix.run_cell(2), 0) << matrix.output();
}

TEST(RunCell, OnOtherEvaluationWindowsOrByAnotherBinaryIsRefused) {
    NEEDS_KNLP();
    RealMatrix windows;
    windows.plan.windows_sha256 = std::string(64, '1');
    windows.write_plan();
    EXPECT_EQ(windows.run_cell(0), 3);
    EXPECT_THAT(windows.output(), HasSubstr("evaluation windows"));
    RealMatrix binary;
    binary.plan.builds[0].sha256 = std::string(64, '1');
    for (Arm& arm : binary.plan.arms) arm.build = std::string(64, '1');
    binary.write_plan();
    EXPECT_EQ(binary.run_cell(0), 3);
    EXPECT_THAT(binary.output(), HasSubstr("the binary"));
}

TEST(RunCell, ThatAnotherHasClaimedIsStatus6) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    const Claim claim(matrix.path(), matrix.plan.cells[0]);
    EXPECT_EQ(matrix.run_cell(0), 6);
    EXPECT_FALSE(fs::exists(matrix.cell(0)));
}

TEST(RunCell, WithAForeignFileAtItsClaimIsStatus6AndNamesIt) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    fs::create_directories(matrix.path() / "claims");
    std::ofstream(matrix.path() / "claims" / matrix.plan.cells[0].id) << "mine";
    EXPECT_EQ(matrix.run_cell(0), 6);
    EXPECT_THAT(matrix.output(), HasSubstr("claims/" + matrix.plan.cells[0].id));
    EXPECT_THAT(matrix.output(), HasSubstr("delete"));
}

TEST(RunCell, OutsideThePlanIsWrongUsage) {
    NEEDS_KNLP();
    const RealMatrix matrix;
    EXPECT_EQ(matrix.run_cell(4), 2);
    EXPECT_THAT(matrix.output(), HasSubstr("cells 0 to 3"));
}

/// Makes the claim of a cell one of another machine, and its run silent for long.
void forge_silence(const RealMatrix& matrix, size_t index) {
    const fs::path claim = matrix.path() / "claims" / matrix.plan.cells[index].id;
    json content = read_json(claim);
    content["host"] = "far";
    content["boot_id"] = "another";
    content["started"] = "2020-01-01T00:00:00Z";
    write_file_atomic(claim, content.dump());
    json status = read_json(matrix.cell(index) / "status.json");
    status["heartbeat"] = utc_before(kSilence_s + 60);
    write_file_atomic(matrix.cell(index) / "status.json", status.dump());
}

TEST(RunCell, ThatWasTakenForDeadPublishesNothingWhenItWakes) {
    NEEDS_KNLP();
    const RealMatrix straight(kLonger), matrix(kLonger);
    ASSERT_EQ(straight.run_cell(0), 0) << straight.output();
    const pid_t sleeper = matrix.start_cell(0);
    wait_for_lines(matrix.cell(0), 250);
    ::kill(sleeper, SIGSTOP);
    ::waitpid(sleeper, nullptr, WUNTRACED);
    forge_silence(matrix, 0);
    ASSERT_EQ(matrix.run_cell(0), 0) << matrix.output();
    EXPECT_EQ(state(matrix, 0).attempts, 2);
    std::map<std::string, std::string> before;
    for (const auto& entry : fs::recursive_directory_iterator(matrix.cell(0)))
        if (entry.is_regular_file()) before[entry.path().string()] = sha256_file(entry.path());
    ::kill(sleeper, SIGCONT);
    EXPECT_EQ(RealMatrix::end_of(sleeper), 6) << matrix.output();
    size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(matrix.cell(0))) {
        if (!entry.is_regular_file()) continue;
        ++files;
        EXPECT_EQ(before[entry.path().string()], sha256_file(entry.path())) << entry.path();
    }
    EXPECT_EQ(files, before.size());
    test::expect_same_cell(straight.cell(0), matrix.cell(0));
}

}  // namespace
}  // namespace knlp::matrix
