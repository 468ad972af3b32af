// The test matrix through make, with the binary that is tested in place of one that make would
// build.
#include "tests/kconfig/tools.h"
#include "tests/train/train_command.h"

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;
using testing::HasSubstr;

class MakeMatrix : public testing::Test {
protected:
    void SetUp() override {
        NEEDS_BINARY();
        if (!fs::exists(source_tree() / "scripts/make"))
            GTEST_SKIP() << "no source tree at " << source_tree() << " (KNLP_SRC)";
        fs::create_symlink(knlp_binary(), output_.file("knlp"));
        write_text(output_.dot_config(),
                   config::Symbols::from_values(runs_.values({{"RUN_MATRIX", "y"}})).dot_config());
    }
    Finished make(const std::string& words) const {
        return run_program(
            {"bash", "-c", "make -o build O=" + output_.path().string() + " " + words},
            clean_environment(
                {{"MAKEFLAGS", ""}, {"MAKEOVERRIDES", ""}, {"MFLAGS", ""}, {"MAKELEVEL", ""}}),
            source_tree());
    }
    TinyRuns runs_;
    Output output_;
};

TEST_F(MakeMatrix, DryRunShowsThePlanWithTheVariablesOfTheCommandLine) {
    write_file_atomic(runs_.run("sweep"), "CONFIG_LEARNING_RATE=1e-2|2e-2\n");
    for (const char* goal :
         {"matrix-dry-run", "test-matrix-dry-run", "matrix DRY_RUN=1", "all DRY_RUN=1"}) {
        const Finished done = make(
            std::string(goal) + " SEEDS=4,5,6 JOBS=1 RANGE_CONFIG=" + runs_.run("sweep").string());
        EXPECT_EQ(done.status, 0) << goal << done.err;
        EXPECT_THAT(done.out, HasSubstr("cells     6: 2 arms x 3 seeds (4, 5, 6), 1 at once"))
            << goal;
        EXPECT_THAT(done.out, HasSubstr("nothing was written"));
    }
    EXPECT_FALSE(fs::exists(runs_.run("results")));
}

TEST_F(MakeMatrix, RunsOfAPatternAreTheBaseline) {
    for (const char* seed : {"1", "2"})
        EXPECT_EQ(runs_.train(std::string("results/runs/base-") + seed, {{"SEED", seed}}).status,
                  0);
    const Finished done = make("matrix-dry-run SEEDS=1,2 SET=LEARNING_RATE=2e-2 BASELINE='" +
                               runs_.run("results/runs").string() + "/base-*'");
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("gpt2_adamw_baseline  (baseline)"));
    EXPECT_THAT(done.out, HasSubstr("gpt2_adamw_baseline_s2  (from runs/base-2)"));
    EXPECT_EQ(make("train BASELINE=1").status, 2);
}

TEST_F(MakeMatrix, VariablesOfAMatrixDoNothingForOneRun) {
    const Finished done = make("train SEEDS=1,2");
    EXPECT_EQ(done.status, 2);
    EXPECT_THAT(done.err, HasSubstr("SEEDS= does nothing for make train"));
}

}  // namespace
