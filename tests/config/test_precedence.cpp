#include "knlp/config/overrides.h"
#include "knlp/config/schema.h"
#include "knlp/config/symbols.h"

#include "tests/support/expect_error.h"

#include <nlohmann/json.hpp>

#include <cstdlib>

namespace knlp::config {
namespace {

/// Sets an environment variable while it lives.
class Variable {
public:
    Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
    ~Variable() { ::unsetenv(name_); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;

private:
    const char* name_;
};

TEST(Precedence, EachLevelWinsOverTheOnesBelowAndIsRecorded) {
    // Symbol i is set on the first i levels, so the highest of them must win.
    const Variable env("KNLP_SET", "GPT2_LOG_INTERVAL=3 NUM_THREADS=3 GPT2_MAX_ITERS=3 SEED=3");
    const Variable make("KNLP_MAKE_SET", "NUM_THREADS=4 GPT2_MAX_ITERS=4 SEED=4");
    std::vector<Symbols::Override> overrides = collect_overrides({"GPT2_MAX_ITERS=5", "SEED=5"});
    overrides.push_back({"SEED", "6", Origin::kFlag});
    const Symbols symbols = Symbols::from_values({{"GPT2_EVAL_INTERVAL", "2"},
                                                  {"GPT2_LOG_INTERVAL", "2"},
                                                  {"NUM_THREADS", "2"},
                                                  {"GPT2_MAX_ITERS", "2"},
                                                  {"SEED", "2"}},
                                                 overrides);
    struct Row {
        const char* name;
        int64_t value;
        Origin origin;
    };
    for (const Row& row :
         {Row{"CHECKPOINT_KEEP", 3, Origin::kDefault},
          Row{"GPT2_EVAL_INTERVAL", 2, Origin::kDotConfig},
          Row{"GPT2_LOG_INTERVAL", 3, Origin::kEnvironment}, Row{"NUM_THREADS", 4, Origin::kMake},
          Row{"GPT2_MAX_ITERS", 5, Origin::kCommandLine}, Row{"SEED", 6, Origin::kFlag}}) {
        EXPECT_EQ(symbols.integer(row.name), row.value) << row.name;
        EXPECT_EQ(symbols.origin(row.name), row.origin) << row.name;
    }
    const nlohmann::json resolved = nlohmann::json::parse(symbols.resolved_json());
    EXPECT_EQ(resolved["SEED"],
              nlohmann::json::parse(R"({"value":6,"type":"int","origin":"flag"})"));
    EXPECT_EQ(resolved["GPT2_MAX_ITERS"]["origin"], "cli");
    EXPECT_EQ(resolved["NUM_THREADS"]["origin"], "make");
    EXPECT_EQ(resolved["GPT2_LOG_INTERVAL"]["origin"], "env");
    EXPECT_EQ(resolved["GPT2_EVAL_INTERVAL"]["origin"], "dotconfig");
    EXPECT_EQ(resolved["CHECKPOINT_KEEP"]["origin"], "default");
}

TEST(Overrides, AreCheckedByNameAndTypeWithoutAConfiguration) {
    // Depends on a choice that the defaults do not take; only a configuration can tell.
    EXPECT_EQ(check_overrides({"GPT2_N_LAYER=4", "CONFIG_SEED=5", "RA_SEED=5"}),
              (std::vector<std::string>{"GPT2_N_LAYER", "SEED", "SEED"}));
    const auto refused = [](const char* text, std::initializer_list<std::string> parts) {
        test::expect_error(kConfig, parts, [&] { check_overrides({text}); });
    };
    refused("LEARNIG_RATE=1", {"--set", "LEARNIG_RATE", "LEARNING_RATE"});
    refused("SEED=many", {"--set", "SEED", "many"});
    refused("LTO=n", {"LTO", "menuconfig"});
    const Variable env("KNLP_SET", "SEEED=1");
    test::expect_error(kConfig, {"KNLP_SET", "SEEED", "SEED"}, [] { check_overrides({}); });
}

TEST(Precedence, OrderOfTheListDoesNotMatterAcrossLevels) {
    const Symbols symbols = Symbols::from_values({}, {{"SEED", "6", Origin::kFlag},
                                                      {"SEED", "3", Origin::kEnvironment},
                                                      {"SEED", "5", Origin::kCommandLine}});
    EXPECT_EQ(symbols.integer("SEED"), 6);
}

TEST(Precedence, LastOfTwoOnOneLevelWins) {
    EXPECT_EQ(Symbols::from_values({}, collect_overrides({"SEED=5", "SEED=7"})).integer("SEED"), 7);
}

TEST(Precedence, HigherLevelMayTakeAnotherMemberOfAChoice) {
    const Variable env("KNLP_SET", "GPT2_MODEL_TINY=y");
    EXPECT_TRUE(
        Symbols::from_values({}, collect_overrides({"GPT2_MODEL_NANO=y"})).on("GPT2_MODEL_NANO"));
}

TEST(Overrides, NameOfAChoiceTakesAMember) {
    const auto member = [](const char* text) { return check_overrides({text}).at(0); };
    EXPECT_EQ(member("GEMM_BACKEND=native"), "GEMM_NATIVE");
    EXPECT_EQ(member("CONFIG_GEMM_BACKEND=OneDNN"), "GEMM_ONEDNN");
    EXPECT_EQ(member("GEMM_BACKEND=GEMM_ATEN"), "GEMM_ATEN");
    for (const ChoiceInfo& choice : choices()) {
        EXPECT_EQ(find_choice(choice.name), &choice);
        for (const std::string_view name : choice.members)
            EXPECT_EQ(member_meant(choice, name, "test"), name);
    }
    const Variable env("KNLP_SET", "GEMM_BACKEND=native");
    const Symbols symbols = Symbols::from_values({}, collect_overrides({"LR_SCHEDULE=linear"}));
    EXPECT_TRUE(symbols.on("GEMM_NATIVE"));
    EXPECT_EQ(symbols.origin("GEMM_NATIVE"), Origin::kEnvironment);
    EXPECT_TRUE(symbols.on("LR_SCHEDULE_LINEAR"));
    EXPECT_EQ(symbols.origin("LR_SCHEDULE_LINEAR"), Origin::kCommandLine);
}

TEST(Overrides, WordsThatMembersShareEndAtAnUnderscore) {
    const auto meant = [](const char* choice, const char* value) {
        return member_meant(*find_choice(choice), value, "test");
    };
    EXPECT_EQ(meant("MODEL", "gpt2"), "MODEL_GPT2");  // the only one
    EXPECT_EQ(meant("OPTIMIZER", "adamw"), "OPTIMIZER_SELECT_ADAMW");
    EXPECT_EQ(meant("OPTIMIZER", "adamwspam"), "OPTIMIZER_SELECT_ADAMWSPAM");
    EXPECT_EQ(meant("LR_SCHEDULE", "cosine"), "LR_SCHEDULE_COSINE");
    EXPECT_EQ(meant("BUILD_TYPE", "release"), "BUILD_RELEASE");
    EXPECT_EQ(meant("GPT2_TOKENIZER", "bpe_trained"), "GPT2_TOKENIZER_BPE_TRAINED");
}

TEST(Overrides, WrongMemberOfAChoiceIsAnsweredWithAllOfThem) {
    test::expect_error(kConfig, {"--set", "GEMM_BACKEND=nativ", "auto, native, aten, onednn"},
                       [] { check_overrides({"GEMM_BACKEND=nativ"}); });
    for (const char* text : {"GEMM_BACKEND=", "GEMM_BACKEND=y", "GEMM_BACKEND=gemm_native"})
        test::expect_error(kConfig, {text, "no member"}, [&] { check_overrides({text}); });
    EXPECT_EQ(find_choice("GEMM_NATIVE"), nullptr);
    EXPECT_EQ(find_choice("NO_SUCH_CHOICE"), nullptr);
}

TEST(Overrides, MemberOfAChoiceIsOneWordOfTheUsers) {
    const auto route = [](const std::vector<std::string>& set) {
        return Symbols::from_values({{"GEMM_ATEN", "y"}}, collect_overrides(set));
    };
    EXPECT_TRUE(route({"GEMM_BACKEND=native"}).on("GEMM_NATIVE"));
    EXPECT_TRUE(route({"GEMM_BACKEND=native", "GEMM_BACKEND=onednn"}).on("GEMM_ONEDNN"));
    test::expect_error(kConfig, {"GEMM_ONEDNN=y", "GEMM_NATIVE=y", "another member"}, [&] {
        route({"GEMM_BACKEND=native", "GEMM_ONEDNN=y"});
    });
    // Build symbols stay what they are, however they are named.
    test::expect_error(kNotAvailable, {"BUILD_DEBUG", "menuconfig"},
                       [] { check_overrides({"BUILD_TYPE=debug"}); });
}

TEST(Overrides, QuotesKeepBlanksTogether) {
    const Variable env("KNLP_SET", "  DATA_DIR=\"my data\"  OUTPUT_DIR=out\t");
    const auto overrides = collect_overrides({});
    ASSERT_EQ(overrides.size(), 2u);
    EXPECT_EQ(overrides[0].value, "my data");
    EXPECT_EQ(overrides[1].name, "OUTPUT_DIR");
}

TEST(Overrides, TextWithoutEqualsIsWrongUsage) {
    test::expect_error(kUsage, {"--set", "'SEED'", "NAME=VALUE"},
                       [] { collect_overrides({"SEED"}); });
    test::expect_error(kUsage, {"--set"}, [] { collect_overrides({"=3"}); });
    const Variable env("KNLP_SET", "A=\"open");
    test::expect_error(kUsage, {"KNLP_SET", "quote"}, [] { collect_overrides({}); });
}

}  // namespace
}  // namespace knlp::config
