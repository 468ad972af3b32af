#include "knlp/core/json.h"

#include "tests/cli/cli_test.h"
#include "tests/matrix/fake_cell.h"

namespace knlp {
namespace {

using nlohmann::json;
using test::write_fake_cell;
using testing::HasSubstr;

constexpr const char* kPilot = "# arm - baseline\n-0.5\n +0.5 # second\n\n-1.0\r\n1\n0";

class PowerVerb : public test::CliTest {
protected:
    json answer(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"matrix", "power", "--json"});
        const test::Finished done = knlp(arguments);
        EXPECT_EQ(done.status, 0) << done.err;
        return parse_json(done.out, "stdout");
    }
    void expect_power_failure(std::vector<std::string> arguments, int status,
                              const std::string& code, const std::vector<std::string>& parts) {
        arguments.insert(arguments.begin(), {"matrix", "power"});
        expect_failure(arguments, status, code, parts);
    }
    /// Runs base1…n at loss 3 and arm1…n at 3 + d.
    void write_runs(const std::vector<double>& d) {
        for (size_t s = 0; s < d.size(); ++s) {
            const std::string number = std::to_string(s + 1);
            write_fake_cell(dir_.file("base" + number), {.seed = s + 1, .loss = 3});
            write_fake_cell(dir_.file("arm" + number), {.seed = s + 1, .loss = 3 + d[s]});
        }
    }
};

// Mean 0 and variance 2.5 / 4; an effect of half the standard deviation needs 34 seeds by
// Guenther's formula (test_power.cpp).
TEST_F(PowerVerb, AnswersFromAFileOfDifferences) {
    write("pilot.txt", kPilot);
    const json found = answer({"--differences", "pilot.txt", "--effect", "0.3952847075210474"});
    EXPECT_EQ(found["pilot"]["n"], 5);
    EXPECT_EQ(found["pilot"]["differences"], json({-0.5, 0.5, -1.0, 1.0, 0.0}));
    EXPECT_NEAR(found["pilot"]["sd"].get<double>(), std::sqrt(0.625), 1e-12);
    EXPECT_EQ(found["needed"]["seeds"], 34);
    EXPECT_GE(found["needed"]["power"], 0.8);
    EXPECT_GT(found["needed_carefully"]["seeds"], 34);
    EXPECT_EQ(found["alpha"], 0.05);
}

TEST_F(PowerVerb, PrintsForPeople) {
    write("pilot.txt", kPilot);
    const test::Finished done =
        knlp({"matrix", "power", "--differences", "pilot.txt", "--effect", "-0.3952847075210474"});
    EXPECT_EQ(done.status, 0) << done.err;
    EXPECT_EQ(done.err, "");
    EXPECT_THAT(done.out, HasSubstr("seeds       34 (power 0.8"));
    EXPECT_THAT(done.out, HasSubstr("5 differences, mean 0, standard deviation 0.7906"));
    EXPECT_THAT(done.out, HasSubstr("upper bound with 80 % confidence"));
}

TEST_F(PowerVerb, MoreComparisonsAndPowerNeedMoreSeeds) {
    write("pilot.txt", kPilot);
    const auto seeds = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"--differences", "pilot.txt", "--effect", "0.4"});
        return answer(more)["needed"]["seeds"].get<int64_t>();
    };
    const int64_t plain = seeds({});
    EXPECT_GT(seeds({"--contrasts", "4"}), plain);
    EXPECT_GT(seeds({"--power", "0.9"}), plain);
    EXPECT_GT(seeds({"--set", "MATRIX_ALPHA=0.01"}), plain);
    EXPECT_EQ(seeds({"--contrasts", "5"}), seeds({"--set", "MATRIX_ALPHA=0.01"}));
}

TEST_F(PowerVerb, TheEffectMayComeFromTheConfiguration) {
    write("pilot.txt", kPilot);
    const json found = answer({"--differences", "pilot.txt", "--set", "MATRIX_MIN_EFFECT=0.4"});
    EXPECT_EQ(found["effect"], 0.4);
    expect_power_failure({"--differences", "pilot.txt"}, 2, "E_USAGE",
                         {"--effect X", "MATRIX_MIN_EFFECT"});
}

TEST_F(PowerVerb, MoreSeedsThanAnyoneHasAreNotCounted) {
    write("pilot.txt", kPilot);
    EXPECT_EQ(answer({"--differences", "pilot.txt", "--effect", "1e-9"})["needed"]["seeds"],
              json());
    EXPECT_THAT(knlp({"matrix", "power", "--differences", "pilot.txt", "--effect", "1e-9"}).out,
                HasSubstr("more than 100000"));
}

TEST_F(PowerVerb, TakesRunsThatPairBySeed) {
    write_runs({-0.5, 0.5, -1, 1});
    write_fake_cell(dir_.file("arm9"), {.seed = 9});
    const std::vector<std::string> runs = {
        "--baseline", "base1", "--baseline", "base2", "--baseline", "base4", "--baseline",
        "base3",      "--arm", "arm4",       "--arm", "arm9",       "--arm", "arm2",
        "--arm",      "arm1",  "--arm",      "arm3",  "--effect",   "0.4"};
    const json found = answer(runs);
    EXPECT_EQ(found["pilot"]["differences"], json({-0.5, 0.5, -1.0, 1.0}));
    EXPECT_EQ(found["pilot"]["dropped"],
              json::array({{{"seed", 9}, {"why", "baseline: no result"}}}));
    EXPECT_THAT(knlp({"matrix", "power", "--baseline", "base1", "--baseline", "base2", "--arm",
                      "arm1", "--arm", "arm2", "--arm", "arm9", "--effect", "1"})
                    .err,
                HasSubstr("seed 9 is left out: baseline: no result"));
}

TEST_F(PowerVerb, RunsThatDoNotCompareAreNotPaired) {
    write_runs({-0.5, 0.5});
    write_fake_cell(dir_.file("other"), {.seed = 2, .windows_sha256 = std::string(64, 'x')});
    expect_power_failure(
        {"--baseline", "base1", "--baseline", "base2", "--arm", "arm1", "--arm", "other",
         "--effect", "1"},
        3, "E_DATA", {"seed 2: other evaluation windows", "1 paired difference;", "at least two"});
    expect_power_failure(
        {"--baseline", "base1", "--baseline", "base1", "--arm", "arm1", "--effect", "1"}, 3,
        "E_DATA", {"two results of arm 'baseline' with seed 1"});
    expect_power_failure({"--baseline", "base1", "--arm", "none", "--effect", "1"}, 3, "E_DATA",
                         {"none: no such run directory"});
}

TEST_F(PowerVerb, AFileThatIsNoPilotIsRefused) {
    write("pilot.txt", "0.1\nzero\n");
    expect_power_failure({"--differences", "pilot.txt", "--effect", "1"}, 3, "E_DATA",
                         {"pilot.txt:2: 'zero' is not a number"});
    expect_power_failure({"--differences", "gone.txt", "--effect", "1"}, 3, "E_DATA", {"gone.txt"});
}

TEST_F(PowerVerb, WrongUseIsRefused) {
    write("pilot.txt", kPilot);
    const auto refuses = [&](const std::vector<std::string>& arguments,
                             const std::vector<std::string>& parts) {
        expect_power_failure(arguments, 2, "E_USAGE", parts);
    };
    refuses({"--effect", "1"}, {"--differences FILE", "--baseline RUN"});
    refuses({"--differences", "pilot.txt", "--arm", "x", "--effect", "1"}, {"give a pilot"});
    refuses({"--arm", "x", "--effect", "1"}, {"both --baseline RUN and --arm RUN"});
    refuses({"--differences", "pilot.txt", "--effect", "0"}, {"--effect 0"});
    refuses({"--differences", "pilot.txt", "--effect", "nan"}, {"--effect nan"});
    refuses({"--differences", "pilot.txt", "--effect", "1", "--power", "1"}, {"--power 1"});
    refuses({"--differences", "pilot.txt", "--effect", "1", "--power", "0.05"}, {"(0.05, 1)"});
    refuses({"--differences", "pilot.txt", "--effect", "1", "--contrasts", "0"}, {"--contrasts"});
    expect_failure({"matrix"}, 2, "E_USAGE", {"knlp matrix: A subcommand is required"});
    expect_failure({"matrix", "powr"}, 2, "E_USAGE", {"powr", "power"});
    expect_failure({"matrix", "power", "--set", "MATRIX_ALPHA=0.5"}, 2, "E_RANGE",
                   {"MATRIX_ALPHA"});
}

}  // namespace
}  // namespace knlp
