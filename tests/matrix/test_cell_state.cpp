#include "knlp/matrix/cell_state.h"

#include "fake_cell.h"
#include "sample_plan.h"

#include "knlp/core/host.h"
#include "knlp/matrix/attempts.h"
#include "knlp/matrix/cell_table.h"
#include "knlp/matrix/claim.h"
#include "knlp/matrix/estimate.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock-matchers.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::TempDir;
using testing::HasSubstr;

/// A matrix directory with the run of one cell as its files may be.
struct Matrix {
    TempDir dir;
    Plan plan = test::sample_plan();
    const Cell& cell = plan.cells[0];

    void write_run(const std::string& state, double loss = 3.5,
                   const std::string& code = "") const {
        fs::create_directories(dir.file("cells"));
        const track::RunDir run = track::RunDir::create(dir.path(), "x", run_path());
        track::Manifest m;
        m.seeds = {{"seed", 1}};
        m.experiment_sha256 = cell.config_sha256;
        m.startup_s = 2;
        m.peak_rss_bytes = 1000;
        track::write_manifest(run, m);
        track::MetricsLog log(run);
        log.append("train", {{"step", 6}, {"loss", 4.5}, {"elapsed_s", 10.0}});
        if (state == "done")
            log.append("final", {{"step", 20}, {"val_loss", loss}, {"wall_s", 30.0}});
        track::write_status(run, state, code.empty() ? 0 : 4, 0, code.empty() ? "" : "why", code);
    }
    fs::path run_path() const { return cell_directory(dir.path(), cell); }
    void add_checkpoint(int64_t step) const {
        const fs::path at = run_path() / "checkpoints" / fmt::format("step-{:08}", step);
        fs::create_directories(at);
        std::ofstream(at / "state.json") << json({{"step", step}, {"tokens_seen", 10 * step}});
        std::ofstream(at / "model.safetensors") << "weights";
    }
    CellState state() const { return cell_state(dir.path(), cell); }
};

TEST(CellState, WithoutFilesIsFresh) {
    const Matrix matrix;
    EXPECT_EQ(matrix.state().stage, Stage::kFresh);
    EXPECT_EQ(matrix.state().attempts, 0);
}

TEST(CellState, IsDoneWithStatusAFiniteMetricAndThePlansConfiguration) {
    const Matrix matrix;
    matrix.write_run("done");
    const CellState state = matrix.state();
    EXPECT_EQ(state.stage, Stage::kDone);
    EXPECT_EQ(state.loss, 3.5);
    EXPECT_EQ(state.step, 20);
    EXPECT_EQ(state.wall_s, 32);
    EXPECT_EQ(state.peak_rss_bytes, 1000);
}

TEST(CellState, DoneWithoutAFiniteMetricHasDiverged) {
    const Matrix matrix;
    matrix.write_run("done", std::nan(""));
    EXPECT_EQ(matrix.state().stage, Stage::kDiverged);
}

TEST(CellState, DoneWithoutAFinalEventHasFailed) {
    const Matrix matrix;
    matrix.write_run("done");
    std::ofstream(matrix.run_path() / "metrics.jsonl") << R"({"event":"train","step":3})"
                                                       << "\n";
    EXPECT_EQ(matrix.state().stage, Stage::kFailed);
}

TEST(CellState, DoneOfAnotherConfigurationHasFailed) {
    Matrix matrix;
    matrix.write_run("done");
    matrix.plan.cells[0].config_sha256 = std::string(64, '9');
    EXPECT_EQ(matrix.state().stage, Stage::kFailed);
    EXPECT_THAT(matrix.state().reason, HasSubstr("another configuration"));
}

TEST(CellState, NothingIsInferredFromALog) {
    const Matrix matrix;
    fs::create_directories(matrix.run_path());
    std::ofstream(matrix.run_path() / "output.log") << "training complete, val loss 3.1\n";
    EXPECT_EQ(matrix.state().stage, Stage::kFresh);
}

TEST(CellState, AFailureTellsCodeAndReasonAndIsCounted) {
    const Matrix matrix;
    matrix.write_run("failed", 0, "E_IO");
    const CellState state = matrix.state();
    EXPECT_EQ(state.stage, Stage::kFailed);
    EXPECT_EQ(state.failures, 1);
    EXPECT_EQ(state.exit_code, 4);
    EXPECT_EQ(state.reason, "why");
    keep_attempt(matrix.dir.path(), matrix.cell);
    EXPECT_EQ(matrix.state().stage, Stage::kFresh);
    EXPECT_EQ(matrix.state().failures, 1);
    EXPECT_EQ(matrix.state().attempts, 1);
}

TEST(CellState, ADivergedRunIsNoFailureLikeAnother) {
    const Matrix matrix;
    matrix.write_run("failed", 0, "E_DIVERGED");
    EXPECT_EQ(matrix.state().stage, Stage::kDiverged);
}

TEST(CellState, StoppedWithACheckpointIsResumable) {
    const Matrix matrix;
    matrix.write_run("preempted");
    EXPECT_EQ(matrix.state().stage, Stage::kFresh);
    matrix.add_checkpoint(9);
    EXPECT_EQ(matrix.state().stage, Stage::kResumable);
    EXPECT_EQ(matrix.state().step, 9);
}

TEST(CellState, RunningIsWhatALiveProcessHasClaimed) {
    const Matrix matrix;
    matrix.write_run("running");
    EXPECT_EQ(matrix.state().stage, Stage::kStale);
    const Claim claim(matrix.dir.path(), matrix.cell);
    const CellState state = matrix.state();
    EXPECT_EQ(state.stage, Stage::kRunning);
    EXPECT_EQ(state.step, 7);
    EXPECT_EQ(state.loss, 4.5);
}

TEST(CellState, AForeignClaimIsAStateOfItsOwn) {
    const Matrix matrix;
    fs::create_directories(matrix.dir.file("claims"));
    std::ofstream(matrix.dir.file("claims") / matrix.cell.id) << "mine!";
    EXPECT_EQ(matrix.state().stage, Stage::kForeign);
    EXPECT_THAT(matrix.state().reason, HasSubstr(matrix.cell.id));
}

TEST(CellState, DamageIsAFailureAndNoError) {
    const Matrix matrix;
    matrix.write_run("running");
    std::ofstream(matrix.run_path() / "status.json") << "{";
    EXPECT_EQ(matrix.state().stage, Stage::kFailed);
}

TEST(Attempts, AreNumberedInTheirOrder) {
    const Matrix matrix;
    EXPECT_EQ(keep_attempt(matrix.dir.path(), matrix.cell), "");
    for (int n = 1; n <= 3; ++n) {
        matrix.write_run("failed", 0, "E_IO");
        EXPECT_EQ(
            keep_attempt(matrix.dir.path(), matrix.cell),
            attempts_directory(matrix.dir.path(), matrix.cell) / fmt::format("attempt.{}", n));
    }
    EXPECT_EQ(count_attempts(matrix.dir.path(), matrix.cell).failed, 3);
}

TEST(Attempts, ADisplacedOneLeavesACopyThatGoesOn) {
    const Matrix matrix;
    matrix.write_run("running");
    matrix.add_checkpoint(9);
    for (const char* name : {"config", "config.resolved.json"})
        std::ofstream(matrix.run_path() / name) << name;
    EXPECT_TRUE(displace_attempt(matrix.dir.path(), matrix.cell));
    const fs::path old = attempts_directory(matrix.dir.path(), matrix.cell) / "attempt.1";
    EXPECT_EQ(track::last_saved(matrix.run_path()).step, 9);
    EXPECT_TRUE(fs::equivalent(old / "checkpoints/step-00000009/model.safetensors",
                               matrix.run_path() / "checkpoints/step-00000009/model.safetensors"));
    // What the other may still append to is not shared.
    EXPECT_FALSE(fs::equivalent(old / "metrics.jsonl", matrix.run_path() / "metrics.jsonl"));
}

TEST(Attempts, ADisplacedOneWithoutACheckpointIsBegunAnew) {
    const Matrix matrix;
    matrix.write_run("running");
    EXPECT_FALSE(displace_attempt(matrix.dir.path(), matrix.cell));
    EXPECT_FALSE(fs::exists(matrix.run_path()));
}

std::vector<CellState> states_of(const Plan& plan, const std::vector<Stage>& stages) {
    std::vector<CellState> states(plan.cells.size());
    for (size_t i = 0; i < stages.size(); ++i) states[i].stage = stages[i];
    return states;
}

TEST(TimeLeft, IsUnknownWhereNothingWasMeasured) {
    const Plan plan = test::sample_plan();
    std::vector<CellState> states = states_of(plan, {Stage::kDone});
    states[0].wall_s = 40;
    const TimeLeft left = time_left(plan, states, 1);
    EXPECT_TRUE(std::isnan(left.seconds));
    EXPECT_EQ(left.unknown, std::vector<std::string>{plan.arms[1].id});
    EXPECT_THAT(time_left_text(left), HasSubstr("unknown"));
}

TEST(TimeLeft, IsTheMeanOfFinishedCellsOfEachArmOverTheSlots) {
    const Plan plan = test::sample_plan();  // arms a, b; seeds 1, 2
    std::vector<CellState> states = states_of(plan, {Stage::kDone, Stage::kDone});
    states[0].wall_s = 40;
    states[1].wall_s = 60;
    EXPECT_EQ(time_left(plan, states, 1).seconds, 100);
    EXPECT_EQ(time_left(plan, states, 2).seconds, 60);  // no shorter than its longest cell
    EXPECT_EQ(time_left(plan, states, 1).cells, 2);
}

TEST(TimeLeft, CountsTheStepsThatARunningCellHasTaken) {
    const Plan plan = test::sample_plan();  // 20 steps
    std::vector<CellState> states =
        states_of(plan, {Stage::kDone, Stage::kDone, Stage::kRunning, Stage::kDone});
    for (CellState& state : states) state.wall_s = 40;
    states[2].step = 15;
    EXPECT_EQ(time_left(plan, states, 1).seconds, 10);
}

TEST(TimeLeft, FallsBackToTheSpeedOfARunningCell) {
    const Plan plan = test::sample_plan();
    std::vector<CellState> states =
        states_of(plan, {Stage::kRunning, Stage::kDone, Stage::kDiverged, Stage::kDone});
    states[0].wall_s = 30;
    states[0].step = 5;
    EXPECT_EQ(time_left(plan, states, 1).seconds, 90);
}

TEST(TimeLeft, GoesByTheBudgetWhateverItsUnit) {
    Plan plan = test::sample_plan();
    CellState state;
    state.step = 5;
    state.tokens = 300;
    state.wall_s = 20;
    EXPECT_EQ(progress_of(plan, plan.cells[0], state), 0.25);
    plan.budget = {"tokens", 400};
    EXPECT_EQ(progress_of(plan, plan.cells[0], state), 0.75);
    plan.budget = {"time", 10};
    EXPECT_EQ(progress_of(plan, plan.cells[0], state), 1);
    plan.budget = {"flops", 6000};
    EXPECT_TRUE(std::isnan(progress_of(plan, plan.cells[0], state)));
    plan.arms[0].flops_per_token = 10;
    EXPECT_EQ(progress_of(plan, plan.cells[0], state), 0.5);
}

TEST(LiveLines, FitTheTerminal) {
    const Plan plan = test::sample_plan();
    std::vector<CellState> states =
        states_of(plan, {Stage::kRunning, Stage::kRunning, Stage::kFailed, Stage::kRunning});
    states[2].reason = "out of luck";
    const TimeLeft left = time_left(plan, states, 2);
    for (const size_t height : {2u, 3u, 24u})
        for (const size_t width : {20u, 79u}) {
            const std::vector<std::string> lines = live_lines(plan, states, left, width, height);
            EXPECT_LE(lines.size(), height);
            for (const std::string& line : lines) EXPECT_LE(line.size(), width);
        }
    EXPECT_THAT(live_lines(plan, states, left, 200, 24).back(), HasSubstr("out of luck"));
    EXPECT_THAT(live_lines(plan, states, left, 200, 3).back(), HasSubstr("2 more"));
}

TEST(StatusTable, CountsEveryCellAndSaysWhyOneIsNotDone) {
    const Plan plan = test::sample_plan();
    std::vector<CellState> states = states_of(plan, {Stage::kDone, Stage::kFailed});
    states[1].reason = "disk full";
    EXPECT_THAT(status_text(plan, states), HasSubstr("4 cells: 1 done, 2 fresh, 1 failed"));
    EXPECT_THAT(status_text(plan, states), HasSubstr("disk full"));
    const json object = status_json(plan, states);
    EXPECT_EQ(object["counts"]["fresh"], 2);
    EXPECT_EQ(object["cells"][1]["reason"], "disk full");
}

}  // namespace
}  // namespace knlp::matrix
