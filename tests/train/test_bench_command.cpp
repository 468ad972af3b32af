// knlp bench as a user calls it; what it measures is tested beside the benchmarks.

#include "train_command.h"

#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/report/report.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

namespace {

using namespace knlp;
using namespace knlp::test;
namespace fs = std::filesystem;

using testing::HasSubstr;

/// `knlp bench step` on one thread beside the configuration of `command`.
Finished bench_step(const Command& command, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"bench", "step", "--threads", "1", "--gemm", "native"});
    return run_knlp(arguments, command.runs.path());
}

/// The groups are there, and their times are the sum that is compared with the step.
void expect_breakdown(const nlohmann::json& details) {
    std::vector<std::string> names;
    double sum_ms = 0;
    for (const nlohmann::json& row : details.at("groups")) {
        names.push_back(row.at("group"));
        sum_ms += row.at("ms").get<double>();
    }
    for (const char* name :
         {"linear_forward", "linear_input", "linear_weight", "attention", "head", "optimizer"})
        EXPECT_THAT(names, testing::Contains(name));
    EXPECT_NEAR(sum_ms, details.at("sum_ms").get<double>(), 1e-9 * sum_ms);
    // How near it comes to 1 depends on what else the machine does while so short a step runs.
    const double ratio = details.at("sum_over_step");
    EXPECT_TRUE(std::isfinite(ratio) && ratio > 0) << ratio;
    EXPECT_NEAR(ratio, sum_ms / details.at("step_ms").get<double>(), 1e-9 * ratio);
}

TEST(BenchCommand, LinesOfJsonAreThoseOfItsFileAndTheBreakdownBecomesAPicture) {
    NEEDS_BINARY();
    const Command command;
    const Finished done =
        bench_step(command, {"--breakdown", "--json", "--out", "out.json", "--svg", "step.svg"});
    ASSERT_EQ(done.status, 0) << done.err;
    std::istringstream lines(done.out);
    nlohmann::json records = nlohmann::json::object();
    for (std::string line; std::getline(lines, line);) {
        const nlohmann::json record = nlohmann::json::parse(line);
        records[record.at("what").get<std::string>()] = record;
    }
    ASSERT_EQ(records.size(), 1u) << done.out;
    expect_breakdown(records.at("step").at("details"));
    EXPECT_GT(records["step"]["median_s"], 0);
    EXPECT_EQ(records["step"]["threads"], 1);

    const nlohmann::json file = read_json(command.runs.run("out.json"));
    EXPECT_EQ(file.at("records"), records);
    EXPECT_THAT(file.at("command").dump(), HasSubstr("--breakdown"));
    EXPECT_THAT(read_file(command.runs.run("step.svg"), 1 << 20), testing::StartsWith("<svg "));
    EXPECT_THAT(done.err, HasSubstr("written: out.json"));
}

TEST(BenchCommand, BreakdownOfARunStandsInItsDirectoryAndOnItsPage) {
    NEEDS_BINARY();
    const Command command;
    ASSERT_EQ(command({"--out", "a", "--max-iters", "2"}).status, 0);
    const fs::path run = command.runs.run("a");
    const auto page_shows_it = [&] {
        return read_file(run / "report.html", 16 << 20).find("The regions add up to") !=
               std::string::npos;
    };
    EXPECT_FALSE(page_shows_it());
    const Finished done = bench_step(command, {"--run", "a"});
    ASSERT_EQ(done.status, 0) << done.err;
    EXPECT_THAT(done.out, HasSubstr("linear_weight"));
    expect_breakdown(read_json(run / report::kBreakdownFile).at("details"));
    EXPECT_TRUE(page_shows_it());

    const Finished none = bench_step(command, {"--run", "absent"});
    EXPECT_EQ(none.status, 2);
    EXPECT_THAT(none.err, HasSubstr("absent/config"));
}

}  // namespace
