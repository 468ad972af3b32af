#include "knlp/bench/train_bench.h"

#include "tests/support/expect_error.h"
#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

namespace knlp::bench {
namespace {

/// Runs of a tiny model whose evaluation, checkpoint and log come every `interval` steps.
config::Symbols symbols(const test::TinyRuns& runs, const std::string& interval, bool save) {
    return config::Symbols::from_values(
        runs.values({{"GPT2_MAX_ITERS", std::to_string(stretch_end(4))},
                     {"GPT2_EVAL_INTERVAL", interval},
                     {"GPT2_LOG_INTERVAL", interval},
                     {"CHECKPOINT_INTERVAL", save ? interval : ""},
                     {"SAVE_CHECKPOINT", save ? "y" : "n"}}));
}

TEST(TrainBench, ComparesRunsWithAndWithoutWhatTheyDoBesideTheirSteps) {
    const test::TinyRuns runs;
    const Record record = bench_train({.on = symbols(runs, "4", true),
                                       .off = symbols(runs, "1000", false),
                                       .steps = 4,
                                       .samples = 7,
                                       .directory = runs.path()});
    EXPECT_EQ(record.timing.samples_s.size(), 7u);
    const Timing& bare = record.rivals.at("all off");
    EXPECT_EQ(bare.samples_s.size(), 7u);
    EXPECT_DOUBLE_EQ(record.results.at("ratio"), bare.median_s / record.timing.median_s);
    EXPECT_DOUBLE_EQ(record.results.at("steps_per_s") * record.timing.median_s, 1);
    EXPECT_GT(record.results.at("eval_s"), 0) << "an evaluation lies in the middle of the stretch";
    EXPECT_FALSE(std::filesystem::exists(runs.run("with-everything")));
    EXPECT_FALSE(std::filesystem::exists(runs.run("bare")));
}

TEST(TrainBench, RefusesTooLittle) {
    const test::TinyRuns runs;
    const auto with = [&](int64_t steps, int64_t samples) {
        bench_train({.on = symbols(runs, "4", true),
                     .off = symbols(runs, "1000", false),
                     .steps = steps,
                     .samples = samples,
                     .directory = runs.path()});
    };
    test::expect_error(kUsage, {"steps"}, [&] { with(1, 7); });
    test::expect_error(kUsage, {"6 runs", "7"}, [&] { with(4, 6); });
}

}  // namespace
}  // namespace knlp::bench
