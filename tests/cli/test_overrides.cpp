#include "knlp/config/build_info.h"

#include "tests/cli/cli_test.h"

namespace knlp::test {
namespace {

class Overrides : public CliTest {
protected:
    void SetUp() override { write_config({{"SEED", "2"}}); }

    /// Value and origin of a symbol as `config explain` sees it.
    std::pair<std::string, std::string> seen(
        const std::string& name, std::vector<std::string> arguments,
        const std::map<std::string, std::string>& environment = {}) {
        arguments.insert(arguments.begin(), {"config", "explain", name, "--json"});
        const Finished done = knlp(arguments, environment);
        EXPECT_EQ(done.status, 0) << done.err;
        const nlohmann::json value = nlohmann::json::parse(done.out);
        return {value["value"], value["origin"]};
    }
};

using Pair = std::pair<std::string, std::string>;

TEST_F(Overrides, EachWayOfSayingItIsRecorded) {
    EXPECT_EQ(seen("SEED", {}), Pair("2", "dotconfig"));
    const std::map<std::string, std::string> env = {{"KNLP_SET", "SEED=3"}};
    EXPECT_EQ(seen("SEED", {}, env), Pair("3", "env"));
    const std::map<std::string, std::string> make = {{"KNLP_SET", "SEED=3"},
                                                     {"KNLP_MAKE_SET", "SEED=4"}};
    EXPECT_EQ(seen("SEED", {}, make), Pair("4", "make"));
    EXPECT_EQ(seen("SEED", {"--set", "SEED=5"}, make), Pair("5", "cli"));
    EXPECT_EQ(seen("SEED", {"--set", "SEED=5", "--seed", "6"}, make), Pair("6", "flag"));
}

TEST_F(Overrides, WrongOnesEndBeforeAnythingIsDone) {
    expect_failure({"train", "--set", "LERNING_RATE=1"}, 2, "E_UNKNOWN_SYMBOL",
                   {"--set", "LERNING_RATE", "did you mean LEARNING_RATE?"});
    expect_failure({"train", "--set", "GPT2_DROPOUT=1.5"}, 2, "E_RANGE",
                   {"GPT2_DROPOUT=1.5", "[0,1)"});
    expect_failure({"train", "--set", "SEED=x"}, 2, "E_TYPE", {"SEED=x"});
    expect_failure({"train", "--set", "SEED"}, 2, "E_USAGE", {"NAME=VALUE"});
    expect_failure({"train", "--set", "WERROR=n"}, 2, "E_BUILD_MISMATCH",
                   {"WERROR", "make menuconfig"});
    expect_failure({"train", "--seed", "-4"}, 2, "E_RANGE", {"SEED=-4", "0..2147483647"});
    expect_failure({"train", "--set", "GPT2_N_LAYER=3"}, 2, "E_DEPENDS", {"GPT2_MODEL_CUSTOM"});
    EXPECT_EQ(files(), std::vector<std::string>{".config"});
}

TEST_F(Overrides, UnknownNamesCanBeWrittenWithTheirPrefix) {
    expect_failure({"train", "--set", "CONFIG_LEARNING_RTE=1"}, 2, "E_UNKNOWN_SYMBOL",
                   {"unknown symbol CONFIG_LEARNING_RTE", "LEARNING_RATE"});
}

TEST_F(Overrides, FeatureThatIsNotBuiltIsNotAvailable) {
    if (config::built("USE_CUDA") == "y") GTEST_SKIP() << "this binary has CUDA";
    expect_failure({"train", "--set", "USE_CUDA=y"}, 5, "E_NOT_BUILT",
                   {"CONFIG_USE_CUDA", "make menuconfig", "run make"});
}

}  // namespace
}  // namespace knlp::test
