#include "knlp/core/json.h"

#include "fake_cell.h"
#include "fake_slurm.h"
#include "tests/cli/cli_test.h"

namespace knlp {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

class SubmitVerb : public test::CliTest {
protected:
    SubmitVerb() {
        plan_ = test::write_fake_matrix(dir_.file("m"), 4, "");
        write_config({}, "m/config.txt");
    }
    test::Finished submit(std::vector<std::string> more = {}) {
        more.insert(more.begin(), {"matrix", "submit", "m"});
        return knlp(more, slurm_.environment());
    }
    json answer(std::vector<std::string> more = {}) {
        more.push_back("--json");
        const test::Finished done = submit(more);
        EXPECT_EQ(done.status, 0) << done.err;
        return parse_json(done.out, "stdout");
    }
    void end(size_t cell, const std::string& state, const std::string& code = "") {
        test::FakeCell fake{.seed = plan_.cells[cell].seed, .state = state};
        fake.experiment_sha256 = plan_.cells[cell].config_sha256;
        fake.code = code;
        test::write_fake_cell(matrix::cell_directory(dir_.file("m"), plan_.cells[cell]), fake);
    }
    void finish(size_t cell) { end(cell, "done"); }
    void queue(const std::string& task_state_reason) {
        slurm_.write("queue", task_state_reason + "|" +
                                  std::filesystem::canonical(dir_.file("m/slurm")).string() +
                                  "/array.sbatch\n");
    }

    test::FakeSlurm slurm_;
    matrix::Plan plan_;
};

TEST_F(SubmitVerb, QueuesAllCellsOfANewPlan) {
    const json found = answer();
    EXPECT_EQ(found["cells"], "0-3");
    EXPECT_EQ(found["arrays"][0]["job"], "101");
    EXPECT_EQ(found["report"], "102");
    EXPECT_EQ(slurm_.submitted().size(), 2u);
}

TEST_F(SubmitVerb, QueuesAgainWhatIsNeitherDoneNorQueued) {
    submit();
    finish(0);
    finish(2);
    queue("101|1|PENDING|Priority");
    const json found = answer();
    EXPECT_EQ(found["done"], 2);
    EXPECT_EQ(found["queued"], 1);
    EXPECT_EQ(found["cells"], "3");
    EXPECT_THAT(slurm_.submitted().back(), HasSubstr("--dependency=afterany:101:103"));
}

TEST_F(SubmitVerb, QueuesNothingWhenAllIsDoneOrQueued) {
    submit();
    const size_t before = slurm_.submitted().size();
    for (size_t cell = 0; cell < 4; ++cell) finish(cell);
    const test::Finished done = submit();
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("nothing to submit"));
    EXPECT_EQ(slurm_.submitted().size(), before);
}

TEST_F(SubmitVerb, WhatFailedIsTriedAgainAndWhatDivergedIsNot) {
    end(0, "failed", "E_IO");
    end(1, "failed", "E_DIVERGED");
    end(3, "preempted");
    const json found = answer();
    EXPECT_EQ(found["cells"], "0,2-3");
    EXPECT_EQ(found["failed"], json({plan_.cells[1].id}));
    EXPECT_THAT(submit({"--dry-run"}).out,
                HasSubstr("knlp matrix rerun repeats: " + plan_.cells[1].id));
}

TEST_F(SubmitVerb, StatusShowsWhatTheQueueSays) {
    submit();
    finish(0);
    queue("101|1|PENDING|Priority");
    const test::Finished text = knlp({"matrix", "status", "m"}, slurm_.environment());
    EXPECT_THAT(text.out, HasSubstr("Slurm 101_1 PENDING (Priority)\n"));
    const json cells = parse_json(
        knlp({"matrix", "status", "m", "--json"}, slurm_.environment()).out, "stdout")["cells"];
    EXPECT_EQ(cells[0]["queue"], json());
    EXPECT_EQ(cells[1]["queue"]["task"], "101_1");
}

TEST_F(SubmitVerb, StatusWithoutTheQueueWarnsAndShowsTheRest) {
    submit();
    finish(0);
    slurm_.write("down", "");
    const test::Finished done = knlp({"matrix", "status", "m"}, slurm_.environment());
    EXPECT_EQ(done.status, 0);
    EXPECT_THAT(done.err, HasSubstr("no controller"));
    EXPECT_THAT(done.out, HasSubstr("4 cells: 1 done, 3 fresh"));
}

TEST_F(SubmitVerb, WritesScriptsForAnotherMachine) {
    const test::Finished done =
        knlp({"matrix", "submit", "m", "--emit-only"}, {{"PATH", "/nowhere"}});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("sbatch m/SCRIPT"));
    EXPECT_TRUE(std::filesystem::exists(dir_.file("m/slurm/array.sbatch")));
    EXPECT_TRUE(std::filesystem::exists(dir_.file("m/slurm/report.sbatch")));
    EXPECT_FALSE(std::filesystem::exists(dir_.file("m/slurm/jobs.jsonl")));
}

// Relative paths of the configuration start where the plan was made: cells run there.
TEST_F(SubmitVerb, JobsRunInTheDirectoryItWasSubmittedFrom) {
    plan_ = test::write_fake_matrix(dir_.file("m"), 4, "echo \"$3\" > \"where-$5\"\n");
    submit();
    EXPECT_EQ(slurm_.run_task(101, 2, dir_.path()).status, 0);
    EXPECT_EQ(read_file(dir_.file("where-2")), "m\n");
    const test::TempDir elsewhere;
    const test::Finished done = slurm_.run_task(101, 2, elsewhere.path());
    EXPECT_EQ(done.status, 2);
    EXPECT_THAT(done.err,
                HasSubstr("m: no plan.json there; submit from where the script was made"));
    EXPECT_TRUE(std::filesystem::is_empty(elsewhere.path()));
}

TEST_F(SubmitVerb, ADirectoryMayBeginWithADash) {
    std::filesystem::rename(dir_.file("m"), dir_.file("-m"));
    const test::Finished done = knlp({"matrix", "submit", "./-m"}, slurm_.environment());
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(read_file(dir_.file("-m/slurm/array.sbatch")),
                testing::AllOf(HasSubstr("--output=./-m/logs/"), HasSubstr("matrix='./-m'\n")));
}

TEST_F(SubmitVerb, ADryRunChangesNothing) {
    EXPECT_EQ(answer({"--dry-run"})["cells"], "0-3");
    EXPECT_FALSE(std::filesystem::exists(dir_.file("m/slurm")));
    EXPECT_TRUE(slurm_.submitted().empty());
}

TEST_F(SubmitVerb, TheClusterIsAskedForWhatSetSays) {
    submit({"--set", "SLURM_PARTITION=gpu", "--set", "SLURM_TIME=30"});
    const std::string script = read_file(dir_.file("m/slurm/array.sbatch"));
    EXPECT_THAT(script, HasSubstr("#SBATCH --partition=gpu\n"));
    EXPECT_THAT(script, HasSubstr("#SBATCH --time=30\n"));
}

TEST_F(SubmitVerb, AnArmThatIsExpectedToNeedMoreMemoryIsNamed) {
    plan_.arms[1].estimate.memory_bytes = int64_t{9} << 30;
    plan_.arms[1].estimate.memory_source = "estimated";
    write("m/plan.json", matrix::plan_text(plan_));
    EXPECT_THAT(submit().err, HasSubstr("is estimated to take 9216 MiB of memory (estimated), and "
                                        "SLURM_MEM asks for 8G"));
    EXPECT_EQ(submit({"--set", "SLURM_MEM=10000"}).err, "");
}

TEST_F(SubmitVerb, WithoutSlurmSaysWhatToDo) {
    expect_failure({"matrix", "submit", "m"}, 5, "E_NOT_AVAILABLE",
                   {"sbatch is not in $PATH", "--emit-only", "knlp matrix run m"},
                   {{"PATH", "/nowhere"}});
}

TEST_F(SubmitVerb, WrongUseIsRefused) {
    expect_failure({"matrix", "submit"}, 2, "E_USAGE", {"directory"});
    expect_failure({"matrix", "submit", "m", "--set", "MATRIX_ALPHA=0.01"}, 2, "E_USAGE",
                   {"the plan fixes"}, slurm_.environment());
    expect_failure({"matrix", "submit", "none"}, 3, "E_DATA", {"none", "plan.json"},
                   slurm_.environment());
    expect_failure({"matrix", "submit", "m", "--set", "SLURM_TIME=1"}, 2, "E_RANGE", {"SLURM_TIME"},
                   slurm_.environment());
    write("m/plan.json", "{}");
    expect_failure({"matrix", "submit", "m"}, 3, "E_DATA", {"plan.json"}, slurm_.environment());
}

}  // namespace
}  // namespace knlp
