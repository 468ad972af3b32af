// The scripts behind bench-peers and bench-goals: their own tests, run by Python.
#include "tests/support/run_program.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace knlp::test {
namespace {

TEST(BenchScripts, JudgeMeasurementsAsTheirTestsSay) {
    const char* given = std::getenv("KNLP_SRC");
    const std::filesystem::path tree = given != nullptr ? given : std::filesystem::current_path();
    const Finished done = run_program(
        {"python3", "-B", (tree / "tests/bench/check_bench_scripts.py").string()}, {}, tree);
    EXPECT_EQ(done.status, 0) << done.err;
}

}  // namespace
}  // namespace knlp::test
