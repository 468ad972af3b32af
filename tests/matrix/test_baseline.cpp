// Finished runs as the baseline of a plan.
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/matrix/cell_result.h"
#include "knlp/track/ledger.h"
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

class BaselineFrom : public Planning {
protected:
    /// A run with learning rate 1e-2, below the results.
    std::string trained(const std::string& name, const std::string& seed,
                        Values changes = {}) const {
        changes["SEED"] = seed;
        EXPECT_EQ(runs_.train("results/runs/" + name, changes).status, 0);
        return runs_.run("results/runs/" + name).string();
    }
    Plan plan_from(const Values& changes, const std::vector<std::string>& from,
                   bool dry_run = false) const {
        return plan(changes, {.baseline_from = from, .dry_run = dry_run});
    }
    void edit_manifest(const std::string& run, const std::string& name,
                       const nlohmann::json& value) const {
        const fs::path file = fs::path(run) / "manifest.json";
        nlohmann::json manifest = read_json(file);
        manifest[name] = value;
        write_file_atomic(file, pretty_json(manifest));
    }
    const Values one_seed_ = {{"MATRIX_SEEDS", "1"}, {"MATRIX_AXES", "LEARNING_RATE=3e-2|1e-2"}};
};

TEST_F(BaselineFrom, RunsOfAnArmBecomeItsCellsAndTheBaseline) {
    const std::vector<std::string> from = {trained("two", "2"), trained("one", "1")};
    Values changes = kRates;
    changes["MATRIX_AXES"] = "LEARNING_RATE=3e-2|1e-2";
    const Plan p = plan_from(changes, from);
    EXPECT_EQ(p.arms.size(), 2u);
    EXPECT_EQ(p.baseline, "gpt2_adamw_learning_rate-1e-2");
    EXPECT_EQ(p.cells[1].imported_from, "runs/one");
    EXPECT_EQ(p.cells[3].imported_from, "runs/two");
    EXPECT_EQ(p.cells[0].imported_from, "");
    EXPECT_TRUE(p.differences.empty()) << p.differences[0];
}

TEST_F(BaselineFrom, ItsFilesAreInTheWrittenMatrix) {
    const std::string from = trained("one", "1");
    const config::Symbols symbols = base(one_seed_);
    Plan made = make_plan(symbols, {.name = "m", .baseline_from = {from}});
    fs::create_directories(directory("m"));
    write_plan(directory("m"), runs_.run("results"), made, symbols, "/proc/self/exe");
    const Plan read = read_plan(directory("m"));
    EXPECT_TRUE(is_done(cell_directory(directory("m"), read.cells[1])));
    EXPECT_FALSE(is_done(cell_directory(directory("m"), read.cells[0])));
    EXPECT_TRUE(test::same_bytes(fs::path(from) / "metrics.jsonl",
                                 cell_directory(directory("m"), read.cells[1]) / "metrics.jsonl"));
}

TEST_F(BaselineFrom, RunsOfNoArmAddOne) {
    const std::string from = trained("one", "1");
    const Plan p = plan_from(
        {{"MATRIX_SEEDS", "1"}, {"LEARNING_RATE", "2e-2"}, {"MATRIX_AXES", "ADAM_BETA2=0.9|0.99"}},
        {from});
    ASSERT_EQ(p.arms.size(), 3u);
    EXPECT_EQ(p.baseline, "gpt2_adamw_baseline");
    EXPECT_EQ(p.arms[0].id, p.baseline);
    EXPECT_THAT(p.arms[0].settings, testing::Contains(Setting{"LEARNING_RATE", "1e-2"}));
    EXPECT_EQ(p.cells[0].imported_from, "runs/one");
    EXPECT_EQ(p.cells[0].config_sha256,
              read_json(fs::path(from) / "manifest.json")["experiment_sha256"]);
}

TEST_F(BaselineFrom, OneOptimizerIsComparedWithAMenuOfSeveral) {
    const Plan p = plan_from(
        {{"MATRIX_SEEDS", "1"}, {"OPTIMIZER_MODE_MULTIPLE", "y"}, {"OPTIMIZER_ENABLE_ADAMW", "n"}},
        {trained("one", "1")});
    ASSERT_EQ(p.arms.size(), 2u);
    EXPECT_EQ(p.baseline, "gpt2_adamw_baseline");
    EXPECT_EQ(p.arms[1].id, "gpt2_adamw_spam");
}

TEST_F(BaselineFrom, AMatrixGivesTheFinishedCellsOfItsBaseline) {
    const Plan first = written("a", kRates);
    run("a", first, first.cells[0]);
    run("a", first, first.cells[1]);
    Values changes = kRates;
    changes["MATRIX_AXES"] = "LEARNING_RATE=5e-2|1e-2";
    changes["MATRIX_SEEDS"] = "1";
    const Plan p = plan_from(changes, {directory("a").string()});
    EXPECT_EQ(p.baseline, first.baseline);
    EXPECT_EQ(p.cells[1].imported_from, "matrix/a/cells/" + first.cells[0].id);
    expect_error(kConfig, {"no run with seed 2"}, [&] {
        changes["MATRIX_SEEDS"] = "1,2";
        plan_from(changes, {directory("a").string()});
    });
}

TEST_F(BaselineFrom, ARowOfTheLedgerNamesItsRun) {
    const std::string from = trained("one", "1");
    nlohmann::json row = track::ledger_row("run", "runs/one");
    const fs::path manifest = fs::path(from) / "manifest.json";
    row["files"] = {{"runs/one/manifest.json", sha256_hex(read_file(manifest))}};
    const fs::path ledger = runs_.run("results") / "ledger.jsonl";
    track::append_to_ledger(ledger, {row, track::ledger_row("hypothesis", "none")});
    EXPECT_EQ(plan_from(one_seed_, {"1"}).cells[1].imported_from, "runs/one");
    expect_error(kUsage, {"2", "hypothesis"}, [&] { plan_from(one_seed_, {"2"}); });
    expect_error(kUsage, {"7", "has 2 rows"}, [&] { plan_from(one_seed_, {"7"}); });
    edit_manifest(from, "started", "2020-01-01T00:00:00Z");
    expect_error(kData, {"ledger.jsonl", "row 1"}, [&] { plan_from(one_seed_, {"1"}); });
}

TEST_F(BaselineFrom, EveryDifferenceIsListed) {
    const std::string from = trained("one", "1");
    expect_error(kConfig,
                 {"runs/one", "evaluation windows", "effective batch 6 there, 12 here",
                  "iterations 10 there, 20 here", "no run with seed 3, 4"},
                 [&] {
                     plan_from({{"MATRIX_SEEDS", "1,3,4"},
                                {"MATRIX_AXES", "LEARNING_RATE=3e-2"},
                                {"GPT2_EVAL_TOKENS", "512"},
                                {"GPT2_MAX_ITERS", "20"},
                                {"BATCH_SIZE", "4"}},
                               {from});
                 });
}

TEST_F(BaselineFrom, OtherDataIsADifference) {
    const std::string from = trained("one", "1");
    data::make_synthetic("markov", 20000, 2, {.name = "other"}, runs_.run("other"));
    fs::rename(runs_.data(), runs_.run("before"));
    fs::rename(runs_.run("other"), runs_.data());
    expect_error(kConfig, {"data train="}, [&] { plan_from(one_seed_, {from}); });
}

TEST_F(BaselineFrom, AnotherBinaryIsRecorded) {
    const std::string from = trained("one", "1");
    edit_manifest(from, "binary_sha256", std::string(64, 'a'));
    edit_manifest(from, "git_commit", "0123456789ab");
    EXPECT_THAT(plan_from(one_seed_, {from}).differences,
                testing::Contains(
                    testing::StartsWith("binary: aaaaaaaaaaaa of revision 0123456789ab (gpt2_")));
}

TEST_F(BaselineFrom, ADryRunNeedsNoDataToListWhatDiffers) {
    const std::string from = trained("one", "1");
    EXPECT_EQ(plan_from(one_seed_, {from}, true).cells[1].imported_from, "runs/one");
    Values changes = one_seed_;
    changes["GPT2_MAX_ITERS"] = "20";
    expect_error(kConfig, {"iterations 10 there, 20 here"},
                 [&] { plan_from(changes, {from}, true); });
}

TEST_F(BaselineFrom, RefusesWhatIsNoFinishedRunOfOneExperiment) {
    const std::string one = trained("one", "1");
    expect_error(kUsage, {"nowhere", "neither"}, [&] { plan_from(one_seed_, {"nowhere"}); });
    expect_error(kUsage, {"runs/one", "both have the seed 1"}, [&] {
        plan_from(one_seed_, {one, one});
    });
    const std::string other = trained("other", "2", {{"LEARNING_RATE", "2e-2"}});
    expect_error(kUsage, {"two experiments", "LEARNING_RATE"}, [&] {
        plan_from(one_seed_, {one, other});
    });
    fs::remove(fs::path(other) / "status.json");
    expect_error(kData, {"runs/other", "no status.json"}, [&] { plan_from(one_seed_, {other}); });
    const fs::path status = fs::path(one) / "status.json";
    nlohmann::json stopped = read_json(status);
    stopped["state"] = "preempted";
    write_file_atomic(status, pretty_json(stopped));
    expect_error(kData, {"runs/one", "no finished run"}, [&] { plan_from(one_seed_, {one}); });
}

TEST_F(BaselineFrom, RefusesARunOutsideTheResults) {
    EXPECT_EQ(runs_.train("elsewhere", {{"SEED", "1"}}).status, 0);
    expect_error(kUsage, {"elsewhere", "not below"},
                 [&] { plan_from(one_seed_, {runs_.run("elsewhere").string()}); });
}

TEST_F(BaselineFrom, AnArmOfTheConfigurationMustBeTheSame) {
    Values changes = one_seed_;
    changes["MATRIX_BASELINE_ARM"] = "gpt2_adamw_learning_rate-3e-2";
    expect_error(kUsage, {"MATRIX_BASELINE_ARM", "learning_rate-1e-2"},
                 [&] { plan_from(changes, {trained("one", "1")}); });
}

}  // namespace
}  // namespace knlp::matrix
