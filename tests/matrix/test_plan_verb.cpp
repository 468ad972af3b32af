#include "knlp/core/json.h"
#include "knlp/matrix/plan.h"

#include "tests/cli/cli_test.h"
#include "tests/matrix/fake_cell.h"
#include "tests/train/tiny_run.h"

namespace knlp {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class PlanVerb : public test::CliTest {
protected:
    void SetUp() override {
        test::Values values = runs_.values({{"MATRIX_SEEDS", "1,2"},
                                            {"MATRIX_AXES", "LEARNING_RATE=1e-2|3e-2"},
                                            {"OUTPUT_DIR", "results"}});
        write_config(values);
    }
    test::Finished plan(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"matrix", "plan"});
        return knlp(arguments);
    }
    void expect_plan_failure(std::vector<std::string> arguments, int status,
                             const std::string& code, const std::vector<std::string>& parts) {
        arguments.insert(arguments.begin(), {"matrix", "plan"});
        expect_failure(arguments, status, code, parts);
        EXPECT_FALSE(fs::exists(dir_.file("results/matrix")));
    }
    test::TinyRuns runs_;
};

TEST_F(PlanVerb, DryRunPrintsThePlanAndWritesNothing) {
    const test::Finished done =
        plan({"--dry-run", "--set", "MATRIX_AXES=LEARNING_RATE=1e-2|3e-2|1e-9"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("cells     4: 2 arms x 2 seeds (1, 2), 1 at once"));
    EXPECT_THAT(done.out,
                HasSubstr("budget    10 iterations for each cell, 6 sequences a step, on cpu"));
    EXPECT_THAT(done.out, HasSubstr("time      unknown"));
    EXPECT_THAT(done.out, HasSubstr("gpt2_adamw_learning_rate-1e-2  (baseline)"));
    EXPECT_THAT(done.out, HasSubstr("of memory (formula of the trainer)"));
    EXPECT_THAT(done.out, HasSubstr("   3 gpt2_adamw_learning_rate-3e-2_s2"));
    EXPECT_THAT(done.out, HasSubstr("excluded  1e-9: config: GPT2_MIN_LR"));
    EXPECT_EQ(files(), (std::vector<std::string>{".config"}));
}

TEST_F(PlanVerb, WritesADirectoryThatReadsBack) {
    const test::Finished done =
        plan({"--name", "rates", "--json", "--preset", "mine", "--place", "place"});
    ASSERT_EQ(done.status, 0) << done.err;
    const json said = json::parse(done.out);
    EXPECT_EQ(said["directory"], "results/matrix/rates");
    const matrix::Plan read = matrix::read_plan(dir_.file("results/matrix/rates"));
    EXPECT_EQ(said["plan"]["sha256"], read.sha256);
    EXPECT_EQ(read.preset, "mine");
    EXPECT_EQ(read.name, "rates");
    EXPECT_TRUE(fs::exists(dir_.file("results/matrix/rates") / read.builds[0].path));
    EXPECT_EQ(read_file(dir_.file("place")), "results/matrix/rates\n");
}

TEST_F(PlanVerb, TheNameIsThePresetAndTheTime) {
    const test::Finished done = plan({"--json", "--preset", "mine"});
    ASSERT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(json::parse(done.out)["directory"].get<std::string>(),
                testing::StartsWith("results/matrix/mine-2"));
}

TEST_F(PlanVerb, TheDirectoryOfAnotherPlanIsRefused) {
    ASSERT_EQ(plan({"--name", "rates"}).status, 0);
    const std::string before = read_file(dir_.file("results/matrix/rates/plan.json"));
    expect_failure({"matrix", "plan", "--name", "rates"}, 2, "E_USAGE",
                   {"results/matrix/rates", "the directory of another plan", "--name"});
    EXPECT_EQ(read_file(dir_.file("results/matrix/rates/plan.json")), before);
}

TEST_F(PlanVerb, RefusesWhatMakesNoPlan) {
    const auto axes = [](const std::string& text) {
        return std::vector<std::string>{"--set", "MATRIX_AXES=" + text};
    };
    expect_plan_failure(axes("LEARNING_RAET=1|2"), 2, "E_UNKNOWN_SYMBOL", {"LEARNING_RATE"});
    expect_plan_failure(axes("GPT2_EVAL_INTERVAL=4|-4"), 2, "E_RANGE", {"GPT2_EVAL_INTERVAL=-4"});
    expect_plan_failure(axes("LEARNING_RATE=1e-9"), 2, "E_USAGE", {"the plan is empty"});
    expect_plan_failure(axes("LEARNING_RATE=1e-2|0.01"), 2, "E_USAGE", {"duplicates"});
    expect_plan_failure({"--set", "MATRIX_SEEDS="}, 2, "E_RANGE", {"MATRIX_SEEDS is empty"});
    expect_plan_failure({"--set", "MATRIX_SEEDS=1,1"}, 2, "E_RANGE", {"seed 1 is there twice"});
}

TEST_F(PlanVerb, ANewBuildNeedsTheSourceTree) {
    if (config::Symbols::from_values({}).on("LTO")) GTEST_SKIP() << "this binary has it";
    expect_plan_failure({"--set", "MATRIX_AXES=LTO=n|y"}, 5, "E_NOT_AVAILABLE", {"--source DIR"});
}

TEST_F(PlanVerb, ExtendAddsSeeds) {
    ASSERT_EQ(plan({"--name", "rates"}).status, 0);
    const test::Finished dry =
        knlp({"matrix", "extend", "results/matrix/rates", "--seeds", "4,5", "--dry-run"});
    EXPECT_THAT(dry.out, testing::AllOf(HasSubstr("4 cells more"), HasSubstr("nothing was")));
    EXPECT_EQ(matrix::read_plan(dir_.file("results/matrix/rates")).cells.size(), 4u);
    const test::Finished done =
        knlp({"matrix", "extend", "results/matrix/rates", "--seeds", "4,5"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("4 cells more, 8 in all; 0 had finished before"));
    EXPECT_EQ(matrix::read_plan(dir_.file("results/matrix/rates")).cells.size(), 8u);
    for (const char* how : {"--quiet", "--dry-run"})
        expect_failure({"matrix", "extend", "results/matrix/rates", "--seeds", "5", how}, 2,
                       "E_USAGE", {"seed 5 is planned already"});
    expect_failure({"matrix", "extend", "results/matrix/rates", "--seeds", "x"}, 2, "E_USAGE",
                   {"'x' is no whole number"});
    for (const char* seeds : {"7,,8", "7,", ""})
        expect_failure({"matrix", "extend", "results/matrix/rates", "--seeds", seeds}, 2, "E_USAGE",
                       {"'' is no whole number"});
    expect_failure({"matrix", "extend", "nowhere", "--seeds", "5"}, 3, "E_DATA", {"nowhere"});
}

TEST_F(PlanVerb, APilotSaysHowManySeedsAnEffectNeeds) {
    ASSERT_EQ(plan({"--name", "pilot", "--pilot", "3"}).status, 0);
    const fs::path pilot = dir_.file("results/matrix/pilot");
    const matrix::Plan planned = matrix::read_plan(pilot);
    ASSERT_EQ(planned.cells.size(), 6u);
    for (const matrix::Cell& cell : planned.cells)
        test::write_fake_cell(
            matrix::cell_directory(pilot, cell),
            {.seed = cell.seed,
             .loss =
                 3 + (cell.arm == planned.baseline ? 0 : 0.01 * static_cast<double>(cell.seed))});
    const std::vector<std::string> words = {"--dry-run", "--json", "--pilot-results",
                                            "results/matrix/pilot"};
    expect_failure({"matrix", "plan", "--dry-run", "--pilot-results", "results/matrix/pilot"}, 2,
                   "E_USAGE", {"MATRIX_MIN_EFFECT"});
    std::vector<std::string> with_effect = words;
    with_effect.insert(with_effect.end(), {"--set", "MATRIX_MIN_EFFECT=0.01"});
    const test::Finished done = plan(with_effect);
    ASSERT_EQ(done.status, 0) << done.err;
    const json advice = json::parse(done.out)["pilot"];
    EXPECT_EQ(advice["pairs"], 3);
    EXPECT_NEAR(advice["sd"].get<double>(), 0.01, 1e-12);
    // An effect of one standard deviation: 10 seeds by the noncentral t (G*Power's table).
    EXPECT_EQ(advice["seeds"], 10);
}

}  // namespace
}  // namespace knlp
