// Runs started, stopped and continued through make, with the binary that is tested in place of one
// that make would build.
#include "tests/kconfig/tools.h"
#include "train_command.h"

#include "knlp/core/json.h"

#include <gmock/gmock-matchers.h>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;
using testing::HasSubstr;

/// An output directory of make with the tested binary and the tiny run's configuration in it.
class MakeRun : public testing::Test {
protected:
    void SetUp() override {
        NEEDS_BINARY();
        if (!fs::exists(source_tree() / "scripts/make"))
            GTEST_SKIP() << "no source tree at " << source_tree() << " (KNLP_SRC)";
        fs::create_symlink(knlp_binary(), output_.file("knlp"));
        write_text(output_.dot_config(), config::Symbols::from_values(runs_.values()).dot_config());
    }
    /// `make` and these words in the source tree, with $MAKE for the command line of it. -o build
    /// keeps the binary that is there.
    Finished shell(const std::string& line) const {
        return run_program(
            {"bash", "-c", line},
            clean_environment({{"MAKE", "make -o build O=" + output_.path().string()},
                               {"MAKEFLAGS", ""},
                               {"MAKEOVERRIDES", ""},
                               {"MFLAGS", ""},
                               {"MAKELEVEL", ""}}),
            source_tree());
    }
    fs::path only_run() const {
        const fs::path parent = runs_.run("results") / "runs";
        return fs::exists(parent) && !fs::is_empty(parent) ? fs::directory_iterator(parent)->path()
                                                           : fs::path();
    }
    TinyRuns runs_;
    Output output_;
};

TEST_F(MakeRun, InterruptedAndContinuedEndsWithTheSameBytes) {
    const Finished straight =
        shell("$MAKE train MAX_ITERS=200 OUT=" + runs_.run("straight").string());
    ASSERT_EQ(straight.status, 0) << straight.err;
    // The interrupt goes to the process group, as a terminal's does.
    const std::string runs = (runs_.run("results") / "runs").string();
    const Finished stopped = shell(
        "set -m; $MAKE train MAX_ITERS=200 & pid=$!; until [ \"$(cat " + runs +
        "/*/metrics.jsonl 2>/dev/null | wc -l)\" -ge 2 ]; do kill -0 $pid 2>/dev/null || break; "
        "done; kill -INT -- -$pid; wait $pid");
    EXPECT_NE(stopped.status, 0);
    EXPECT_THAT(stopped.err, HasSubstr("Error 130"));
    EXPECT_THAT(stopped.err, HasSubstr("go on with: knlp train --resume " + only_run().string()));
    EXPECT_EQ(read_json(only_run() / "status.json")["state"], "preempted");
    const Finished continued = shell("$MAKE continue");
    EXPECT_EQ(continued.status, 0) << continued.err;
    for (const char* name : {"model.safetensors", "optim.safetensors"})
        EXPECT_TRUE(same_bytes(newest(runs_.run("straight")) / name, newest(only_run()) / name))
            << name;
    const Finished nothing = shell("$MAKE continue");
    EXPECT_EQ(nothing.status, 2);
    EXPECT_THAT(nothing.err, HasSubstr("no interrupted run"));
}

TEST_F(MakeRun, VariablesBecomeOverridesWithTheirOrigin) {
    const Finished done =
        shell("$MAKE train MAX_ITERS=0 TIME=1 SET='LR_SCHEDULE_CONSTANT=y' SEED=9 OUT=" +
              runs_.run("timed").string());
    EXPECT_EQ(done.status, 0) << done.err;
    const nlohmann::json resolved = read_json(runs_.run("timed") / "config.resolved.json");
    for (const auto& [name, value] :
         std::map<std::string, int>{{"GPT2_MAX_TIME", 1}, {"SEED", 9}, {"GPT2_MAX_ITERS", 0}}) {
        EXPECT_EQ(resolved[name]["value"], value) << name;
        EXPECT_EQ(resolved[name]["origin"], "make") << name;
    }
    EXPECT_EQ(events(runs_.run("timed"), "final").at(0)["exit"], "max_time");
}

TEST_F(MakeRun, StrictRefusesAScheduleThatCannotComplete) {
    // Three steps are fewer than twice the warm-up of two.
    const std::string words = "$MAKE train MAX_ITERS=3 OUT=" + runs_.run("short").string();
    const Finished refused = shell(words + " STRICT=1");
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, HasSubstr("error[E_SCHEDULE]"));
    EXPECT_THAT(refused.err, HasSubstr("Error 4"));
    EXPECT_FALSE(fs::exists(runs_.run("short")));
    EXPECT_EQ(shell(words).status, 0);
}

}  // namespace
