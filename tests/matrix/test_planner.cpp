#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "tests/matrix/planning.h"
#include "tests/support/expect_error.h"

#include <gmock/gmock-matchers.h>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::kRates;
using test::Planning;
using test::Values;

TEST_F(Planning, ArmsTimesSeedsMakeTheCells) {
    const Plan p = plan(kRates);
    ASSERT_EQ(p.arms.size(), 2u);
    EXPECT_EQ(p.arms[0].id, "gpt2_adamw_learning_rate-1e-2");
    EXPECT_EQ(p.baseline, p.arms[0].id);
    ASSERT_EQ(p.cells.size(), 4u);
    EXPECT_EQ(p.cells[1].id, "gpt2_adamw_learning_rate-3e-2_s1");
    EXPECT_EQ(p.cells[2].id, "gpt2_adamw_learning_rate-1e-2_s2");
    for (size_t i = 0; i < p.cells.size(); ++i)
        EXPECT_EQ(p.cells[i].index, static_cast<int64_t>(i));
    EXPECT_EQ(p.budget.kind, "iterations");
    EXPECT_EQ(p.budget.amount, 10);
    EXPECT_EQ(p.effective_batch, 6);
    EXPECT_EQ(p.device, "cpu");
    EXPECT_EQ(p.windows_sha256.size(), 64u);
    ASSERT_EQ(p.data.size(), 3u);
    EXPECT_TRUE(p.differences.empty()) << p.differences[0];
}

TEST_F(Planning, ChoicesAreFixedForAllCells) {
    const Plan p = plan(kRates);
    for (const Arm& arm : p.arms) {
        EXPECT_EQ(arm.choices.threads, 1);
        EXPECT_EQ(arm.choices.gemm, "aten");
        EXPECT_EQ(arm.choices.micro, 2);
        EXPECT_EQ(arm.choices.accumulation, 3);
        EXPECT_FALSE(arm.choices.isa.empty());
        EXPECT_GT(arm.estimate.memory_bytes.value(), 0);
        EXPECT_EQ(arm.estimate.memory_source, "formula of the trainer");
        EXPECT_FALSE(arm.estimate.wall_s);
    }
}

TEST_F(Planning, MenuOfOptimizersMakesArmsAndSettingsThatOneLacksAreIdle) {
    const Plan p =
        plan({{"OPTIMIZER_MODE_MULTIPLE", "y"}, {"MATRIX_AXES", "SPAM_INTERVAL=200|500"}});
    std::vector<std::string> ids;
    for (const Arm& arm : p.arms) ids.push_back(arm.id);
    EXPECT_THAT(ids, testing::ElementsAre("gpt2_adamw", "gpt2_adamw_spam_spam_interval-200",
                                          "gpt2_adamw_spam_spam_interval-500"));
    ASSERT_EQ(p.excluded.size(), 1u);
    EXPECT_EQ(p.excluded[0].rule, "R7");
    EXPECT_THAT(p.differences,
                testing::Contains(
                    "ADAM_EPSILON by default: 1e-8 (gpt2_adamw), 1e-6 "
                    "(gpt2_adamw_spam_spam_interval-200, gpt2_adamw_spam_spam_interval-500)"));
}

TEST_F(Planning, WhatARuleOfTheConfigurationRefusesIsExcluded) {
    const Plan p = plan({{"MATRIX_AXES", "LEARNING_RATE=1e-2|1e-9"}});
    EXPECT_EQ(p.arms.size(), 1u);
    ASSERT_EQ(p.excluded.size(), 1u);
    EXPECT_THAT(p.excluded[0].why, testing::HasSubstr("GPT2_MIN_LR"));
    expect_error(kUsage, {"the plan is empty", "GPT2_MIN_LR"}, [&] {
        plan({{"MATRIX_AXES", "LEARNING_RATE=1e-9"}});
    });
}

TEST_F(Planning, RefusesValuesOutOfRange) {
    expect_error(kConfig, {"GPT2_EVAL_INTERVAL=-4", "outside"}, [&] {
        plan({{"MATRIX_AXES", "GPT2_EVAL_INTERVAL=4|-4"}});
    });
}

TEST_F(Planning, RefusesABaselineThatIsNoArm) {
    Values changes = kRates;
    changes["MATRIX_BASELINE_ARM"] = "gpt2_adamw_learning_rate-3e-3";
    expect_error(kConfig, {"MATRIX_BASELINE_ARM=gpt2_adamw_learning_rate-3e-3", "3e-2"},
                 [&] { plan(changes); });
    changes["MATRIX_BASELINE_ARM"] = "gpt2_adamw_learning_rate-3e-2";
    EXPECT_EQ(plan(changes).baseline, "gpt2_adamw_learning_rate-3e-2");
}

TEST_F(Planning, RefusesArmsThatDifferInBatchOrWindows) {
    expect_error(kConfig, {"effective batch", "6 (", "12 ("}, [&] {
        plan({{"MATRIX_AXES", "BATCH_SIZE=2|4"}});
    });
    expect_error(kConfig, {"length of a sequence"}, [&] {
        plan({{"MATRIX_AXES", "GPT2_BLOCK_SIZE=16|32"}});
    });
    expect_error(kConfig, {"evaluation windows"}, [&] {
        plan({{"MATRIX_AXES", "GPT2_EVAL_TOKENS=256|512"}});
    });
}

TEST_F(Planning, NamesDifferencesThatCannotBeAvoided) {
    const Plan p = plan({{"MATRIX_AXES", "GPT2_N_LAYER=1|2"}});
    ASSERT_EQ(p.differences.size(), 2u);
    EXPECT_THAT(p.differences[0], testing::StartsWith("parameters: "));
    EXPECT_THAT(p.differences[1], testing::StartsWith("operations a token: "));
}

TEST_F(Planning, RefusesBudgetsThatAreNotShared) {
    expect_error(kConfig, {"iterations for every arm", "10 (", "20 ("}, [&] {
        plan({{"MATRIX_AXES", "GPT2_MAX_ITERS=10|20"}});
    });
    expect_error(kConfig, {"GPT2_MAX_TIME", "MATRIX_BUDGET_TIME"}, [&] {
        plan({{"GPT2_MAX_TIME", "5"}});
    });
    expect_error(kConfig, {"GPT2_MAX_TOKENS", "MATRIX_BUDGET_TOKENS"}, [&] {
        plan({{"GPT2_MAX_TOKENS", "500"}});
    });
    expect_error(kConfig, {"tokens for every arm", "set GPT2_MAX_TOKENS"}, [&] {
        plan({{"MATRIX_BUDGET_TOKENS", "y"}});
    });
}

TEST_F(Planning, BudgetOfTokensLeavesIterationsOut) {
    const Plan p = plan({{"MATRIX_BUDGET_TOKENS", "y"}, {"GPT2_MAX_TOKENS", "960"}});
    EXPECT_EQ(p.budget.kind, "tokens");
    EXPECT_EQ(p.budget.amount, 960);
    EXPECT_EQ(p.arms[0].settings, (std::vector<Setting>{{"GPT2_MAX_ITERS", "0"}}));
}

TEST_F(Planning, BudgetOfOperationsGivesADearerModelFewerSteps) {
    const Plan p = plan({{"MATRIX_BUDGET_FLOPS", "y"},
                         {"MATRIX_AXES", "GPT2_N_LAYER=1|2"},
                         {"GPT2_MAX_ITERS", "1000"}});
    EXPECT_EQ(p.arms[0].settings, (std::vector<Setting>{{"GPT2_N_LAYER", "1"}}));
    ASSERT_EQ(p.arms[1].settings.size(), 2u);
    EXPECT_EQ(p.arms[1].settings[1].name, "GPT2_MAX_ITERS");
    const double steps = std::stod(p.arms[1].settings[1].value);
    EXPECT_NEAR(steps, 1000 * *p.arms[0].flops_per_token / *p.arms[1].flops_per_token, 0.5);
    EXPECT_LT(steps, 1000);
    EXPECT_DOUBLE_EQ(p.budget.amount, 1000.0 * 6 * 16 * *p.arms[0].flops_per_token);
}

TEST_F(Planning, PilotIsTheBaselineAndOneArmWithTheFirstSeeds) {
    const Plan p = plan({{"MATRIX_AXES", "LEARNING_RATE=1e-2|3e-2|5e-2"},
                         {"MATRIX_BASELINE_ARM", "gpt2_adamw_learning_rate-5e-2"}},
                        {.pilot_seeds = 3});
    ASSERT_EQ(p.arms.size(), 2u);
    EXPECT_EQ(p.arms[0].id, "gpt2_adamw_learning_rate-1e-2");
    EXPECT_EQ(p.arms[1].id, p.baseline);
    EXPECT_EQ(p.seeds, (std::vector<uint64_t>{1, 2, 3}));
    EXPECT_EQ(p.cells.size(), 6u);
    expect_error(kUsage, {"a pilot compares two arms"}, [&] { plan({}, {.pilot_seeds = 2}); });
}

TEST_F(Planning, DryRunLooksAtNoData) {
    const Plan p =
        plan({{"GPT2_CUSTOM_DATASET_PATH", runs_.run("absent").string()}}, {.dry_run = true});
    EXPECT_TRUE(p.data.empty());
    EXPECT_GT(p.arms[0].estimate.memory_bytes.value(), 0);
    expect_error(kData, {"absent"}, [&] {
        plan({{"GPT2_CUSTOM_DATASET_PATH", runs_.run("absent").string()}});
    });
}

TEST_F(Planning, SweepFileAddsItsAxes) {
    write_file_atomic(runs_.run("sweep"), "CONFIG_WEIGHT_DECAY=0.0:0.1:0.2\n");
    const Plan p = plan(kRates, {.sweep_file = runs_.run("sweep")});
    EXPECT_EQ(p.arms.size(), 6u);
    EXPECT_EQ(p.axes[1].name, "WEIGHT_DECAY");
    write_file_atomic(runs_.run("sweep"), "CONFIG_LEARNING_RATE=1e-3\n");
    expect_error(kUsage, {"LEARNING_RATE is set by two axes"},
                 [&] { plan(kRates, {.sweep_file = runs_.run("sweep")}); });
}

TEST_F(Planning, ArmsThatNeedAnotherBuildAreBuiltOnceForEachSetOfBuildSymbols) {
    if (base({}).on("LTO")) GTEST_SKIP() << "this binary has what the arm wants";
    int built = 0;
    PlanRequest request{.name = "test"};
    request.make_build = [&](const config::Symbols& arm) {
        EXPECT_TRUE(arm.on("LTO"));
        ++built;
        return Build{.sha256 = std::string(64, 'b'), .path = "bin/bbbbbbbbbbbb/knlp"};
    };
    const Plan p = plan({{"MATRIX_AXES", "LTO=n|y; LEARNING_RATE=1e-2|3e-2"}}, request);
    EXPECT_EQ(built, 1);
    ASSERT_EQ(p.arms.size(), 4u);
    ASSERT_EQ(p.builds.size(), 2u);
    EXPECT_EQ(p.arms[0].build, p.builds[0].sha256);
    EXPECT_EQ(p.arms[3].build, std::string(64, 'b'));
    EXPECT_EQ(p.builds[1].symbols, (std::vector<Setting>{{"LTO", "y"}}));
}

TEST_F(Planning, DirectoryHoldsPlanConfigurationAndBinary) {
    const Plan made = written("m", kRates);
    const Plan read = read_plan(directory("m"));
    EXPECT_EQ(read.sha256, made.sha256);
    const fs::path kept = directory("m") / read.builds[0].path;
    EXPECT_EQ(sha256_file(kept), sha256_file("/proc/self/exe"));
    EXPECT_NE(fs::status(kept).permissions() & fs::perms::owner_exec, fs::perms::none);
    for (const Cell& cell : read.cells) cell_symbols(directory("m"), read, cell);
}

TEST_F(Planning, FinishedCellsOfEqualExperimentAreTakenOver) {
    const Plan first = written("a", kRates);
    run("a", first, first.cells[0]);
    Values more = kRates;
    more["MATRIX_AXES"] += "|5e-2";
    more["MATRIX_SEEDS"] = "1";
    const Plan second = written("b", more);
    ASSERT_EQ(second.cells.size(), 3u);
    EXPECT_EQ(second.cells[0].imported_from, "matrix/a/cells/" + first.cells[0].id);
    EXPECT_EQ(second.cells[1].imported_from, "");
    EXPECT_TRUE(
        test::same_bytes(cell_directory(directory("a"), first.cells[0]) / "metrics.jsonl",
                         cell_directory(directory("b"), second.cells[0]) / "metrics.jsonl"));
    EXPECT_GT(second.arms[0].estimate.wall_s.value(), 0);
    EXPECT_EQ(second.arms[0].estimate.wall_source, "1 finished run in a");
    EXPECT_FALSE(second.arms[1].estimate.wall_s);
}

TEST_F(Planning, CellsOfOtherDataOrThatFailedAreNotTakenOver) {
    const Plan first = written("a", kRates);
    run("a", first, first.cells[0]);
    run("a", first, first.cells[1]);
    const fs::path failed = cell_directory(directory("a"), first.cells[1]) / "status.json";
    nlohmann::json status = read_json(failed);
    status["state"] = "failed";
    write_file_atomic(failed, pretty_json(status));
    data::make_synthetic("markov", 20000, 2, {.name = "other"}, runs_.run("other"));
    const Plan same = written("b", kRates);
    EXPECT_NE(same.cells[0].imported_from, "");
    EXPECT_EQ(same.cells[1].imported_from, "");
    fs::remove_all(directory("b"));
    fs::rename(runs_.data(), runs_.run("before"));
    fs::rename(runs_.run("other"), runs_.data());
    EXPECT_EQ(written("c", kRates).cells[0].imported_from, "");
}

TEST_F(Planning, SeedsAreAddedAndFinishedCellsStay) {
    const Plan first = written("a", kRates);
    run("a", first, first.cells[0]);
    const Extension extension = extend_plan(directory("a"), {7});
    EXPECT_EQ(extension.done_before, 1);
    const Plan more = read_plan(directory("a"));
    EXPECT_EQ(more.sha256, first.sha256);
    EXPECT_EQ(more.seeds, (std::vector<uint64_t>{1, 2, 7}));
    ASSERT_EQ(more.cells.size(), 6u);
    EXPECT_EQ(more.cells[4].id, first.arms[0].id + "_s7");
    cell_symbols(directory("a"), more, more.cells[5]);
    expect_error(kUsage, {"seed 7 is planned already"}, [&] {
        extend_plan(directory("a"), {8, 7});
    });
    extend_plan(directory("a"), {8});
    EXPECT_EQ(read_plan(directory("a")).extensions.size(), 2u);
}

}  // namespace
}  // namespace knlp::matrix
