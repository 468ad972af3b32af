#include "knlp/config/build_info.h"
#include "knlp/config/overrides.h"
#include "knlp/config/schema.h"
#include "knlp/config/symbols.h"

#include "knlp/core/file.h"

#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

namespace knlp::config {
namespace {

/// A complete .config of the defaults, with one text replaced.
std::string changed(const std::string& from, const std::string& to) {
    std::string text = Symbols::from_values({}).dot_config();
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

class SymbolsFile : public testing::Test {
protected:
    Symbols load(const std::string& text, const std::vector<Symbols::Override>& overrides = {}) {
        write_file_atomic(path(), text);
        return Symbols::load(path(), overrides);
    }

    void refuse(const std::string& text, const std::string& code,
                std::initializer_list<std::string> parts) {
        try {
            load(text);
            ADD_FAILURE() << "loaded, " << code << " expected";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code) << error.what();
            for (const std::string& part : parts)
                EXPECT_THAT(error.what(), testing::HasSubstr(part));
        }
        EXPECT_EQ(read_file(path()), text) << "the file was changed";
    }

    std::filesystem::path path() const { return dir_.file("my.config"); }

    test::TempDir dir_;
};

TEST_F(SymbolsFile, WhatWasWrittenLoadsToTheSameValues) {
    const Symbols first =
        Symbols::from_values({{"GPT2_MODEL_NANO", "y"}, {"LEARNING_RATE", "1e-3"}, {"SEED", "9"}});
    const Symbols second = load(first.dot_config());
    EXPECT_EQ(second.values(), first.values());
    EXPECT_EQ(second.hash(), first.hash());
    EXPECT_EQ(second.integer("SEED"), 9);
    EXPECT_EQ(second.real("LEARNING_RATE"), 1e-3);
    EXPECT_TRUE(second.on("GPT2_MODEL_NANO"));
    EXPECT_FALSE(second.on("GPT2_MODEL_124M"));
}

TEST_F(SymbolsFile, OriginTellsDefaultsFromSettings) {
    const Symbols symbols = load(changed("CONFIG_SEED=1\n", "CONFIG_SEED=5\n"));
    EXPECT_EQ(symbols.origin("SEED"), Origin::kDotConfig);
    EXPECT_EQ(symbols.origin("LEARNING_RATE"), Origin::kDefault);
}

TEST_F(SymbolsFile, RangeNamesLineSymbolAndBounds) {
    refuse(changed("CONFIG_SEED=1\n", "CONFIG_SEED=-3\n"), "E_RANGE",
           {"my.config:", "SEED=-3", "0..2147483647"});
    refuse(changed("CONFIG_SEED=1\n", "CONFIG_SEED=2147483648\n"), "E_RANGE", {"SEED=2147483648"});
}

TEST_F(SymbolsFile, UnmetDependencyNamesExpressionOperandAndFix) {
    const std::string off =
        changed("CONFIG_SAVE_CHECKPOINT=y", "# CONFIG_SAVE_CHECKPOINT is not set");
    refuse(off, "E_DEPENDS",
           {"my.config:", "CHECKPOINT_", "SAVE_CHECKPOINT is n", "set SAVE_CHECKPOINT=y"});
}

TEST_F(SymbolsFile, ChoiceTakesOneMember) {
    const std::string two =
        changed("# CONFIG_GPT2_TOKENIZER_CHAR is not set", "CONFIG_GPT2_TOKENIZER_CHAR=y");
    refuse(two, "E_CHOICE", {"GPT2_TOKENIZER_CHAR", "GPT2_TOKENIZER", "keep one of them"});
    const std::string none = changed("CONFIG_GPT2_TOKENIZER_BPE_TRAINED=y",
                                     "# CONFIG_GPT2_TOKENIZER_BPE_TRAINED is not set");
    refuse(none, "E_CHOICE", {"one member of choice GPT2_TOKENIZER must be y"});
}

TEST_F(SymbolsFile, DerivedSymbolIsNotTheUsersToSet) {
    for (const SymbolInfo& symbol : symbols()) {
        if (!symbol.prompt.empty() || !symbol.env.empty() || symbol.type != SymbolType::kBool ||
            symbol.build)
            continue;
        test::expect_error(kConfig, {"is derived"}, [&] {
            const bool on = Symbols::from_values({}).on(symbol.name);
            Symbols::from_values({{std::string(symbol.name), on ? "n" : "y"}});
        });
    }
    for (const char* value : {"n", "y"})
        test::expect_error(kConfig, {"HAVE_CUDA_TOOLKIT", "is what make found", "leave it out"},
                           [&] {
                               Symbols::from_values({}, {{"HAVE_CUDA_TOOLKIT", value}});
                           });
}

TEST_F(SymbolsFile, AnotherBuildIsRefusedUnlessTheBinaryHasMore) {
    // Whatever this test was built as, the other build type is another build.
    const bool debug = built("BUILD_DEBUG") == "y";
    const Symbols other = Symbols::from_values({{debug ? "BUILD_RELEASE" : "BUILD_DEBUG", "y"}});
    refuse(other.dot_config(), "E_BUILD_MISMATCH",
           {"my.config", debug ? "BUILD_RELEASE=y" : "BUILD_DEBUG=y"});
    EXPECT_NO_THROW(Symbols::load_for_any_build(path()));

    const bool werror = built("WERROR") == "y";
    const Symbols less = Symbols::from_values({{"WERROR", werror ? "n" : "y"}});
    if (werror)
        EXPECT_NO_THROW(load(less.dot_config()));
    else
        refuse(less.dot_config(), "E_BUILD_MISMATCH", {"WERROR=y (binary: n)"});
}

TEST_F(SymbolsFile, MissingOrForeignFileIsAConfigurationError) {
    test::expect_error(kConfig, {"nowhere", "make menuconfig"},
                       [&] { Symbols::load(dir_.file("nowhere"), {}); });
    test::expect_error(kConfig, {"my.config:1"},
                       [&] { load(std::string("\x7f") + "ELF\x02\x01\x01"); });
}

TEST_F(SymbolsFile, NewSymbolsTakeTheirDefaults) {
    const Symbols symbols = load(changed("CONFIG_SEED=1\n", ""));
    EXPECT_EQ(symbols.integer("SEED"), 1);
    EXPECT_EQ(symbols.origin("SEED"), Origin::kDefault);
}

TEST(Symbols, DefaultsFollowAnOverrideThatMovesThem) {
    const Symbols base = Symbols::from_values({});
    EXPECT_EQ(base.integer("GPT2_BLOCK_SIZE"), 1024);
    const Symbols nano = Symbols::from_values(
        base.values().empty()
            ? std::map<std::string, std::string>{}
            : std::map<std::string, std::string>(base.values().begin(), base.values().end()),
        {{"GPT2_MODEL_NANO", "y"}});
    EXPECT_EQ(nano.integer("GPT2_BLOCK_SIZE"), 128);
    EXPECT_EQ(nano.origin("GPT2_BLOCK_SIZE"), Origin::kDefault);
    EXPECT_EQ(Symbols::from_values({{"GPT2_BLOCK_SIZE", "512"}}, {{"GPT2_MODEL_NANO", "y"}})
                  .integer("GPT2_BLOCK_SIZE"),
              512);
}

TEST(Symbols, OverrideOfAChoiceMemberPutsTheOthersAside) {
    const Symbols symbols =
        Symbols::from_values({{"GPT2_MODEL_TINY", "y"}}, {{"GPT2_MODEL_NANO", "y"}});
    EXPECT_TRUE(symbols.on("GPT2_MODEL_NANO"));
    EXPECT_FALSE(symbols.on("GPT2_MODEL_TINY"));
    test::expect_error(kConfig, {"GPT2_MODEL_NANO=y", "GPT2_MODEL_TINY=y", "--set"}, [] {
        Symbols::from_values({}, {{"GPT2_MODEL_NANO", "y"}, {"GPT2_MODEL_TINY", "y"}});
    });
    test::expect_error(kConfig, {"GPT2_MODEL_124M=n", "one member of choice"}, [] {
        Symbols::from_values({}, {{"GPT2_MODEL_124M", "n"}});
    });
}

TEST(Symbols, OverridesAreCheckedLikeTheFile) {
    const auto code = [](const std::string& name, const std::string& value) {
        try {
            Symbols::from_values({{"ENABLE_SPAM", "y"}}, {{name, value}});
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kConfig);
            EXPECT_EQ(std::string(error.what()).find("--set: "), 0u) << error.what();
            return error.code();
        }
        return std::string();
    };
    EXPECT_EQ(code("LERNING_RATE", "1"), "E_UNKNOWN_SYMBOL");
    EXPECT_EQ(code("SEED", "x"), "E_TYPE");
    EXPECT_EQ(code("SEED", "-1"), "E_RANGE");
    EXPECT_EQ(code("LEARNING_RATE", "0"), "E_RANGE");
    EXPECT_EQ(code("SPAM_THETA", "50"), "E_DEPENDS");
    EXPECT_EQ(code("CONFIG_SEED", "3"), "");
    EXPECT_EQ(code("LEARNING_RATE", "\"3e-4\""), "");
}

TEST(Symbols, OldNameOfASymbolIsTakenInAnOverrideAndNamedInAFile) {
    ASSERT_EQ(alias_of("GPT2_GRADIENT_ACCUMULATION"), "GRADIENT_ACCUMULATION");
    const Symbols symbols = Symbols::from_values({}, {{"GPT2_GRADIENT_ACCUMULATION", "4"}});
    EXPECT_EQ(symbols.integer("GRADIENT_ACCUMULATION"), 4);
    test::expect_error(
        kConfig, {"GPT2_GRADIENT_ACCUMULATION", "its name here is GRADIENT_ACCUMULATION"}, [] {
            Symbols::from_values({{"GPT2_GRADIENT_ACCUMULATION", "4"}});
        });
}

TEST(Symbols, DependencyMetByAnotherOverrideIsMet) {
    const Symbols symbols = Symbols::from_values(
        {{"ENABLE_SPAM", "y"}}, {{"SPAM_THETA", "70"}, {"OPTIMIZER_SELECT_ADAMWSPAM", "y"}});
    EXPECT_EQ(symbols.text("SPAM_THETA"), "70");
}

TEST(Symbols, SettingsOfAFeatureThatAnOverrideSwitchesOffAreLeftOut) {
    const Symbols symbols = Symbols::from_values(
        {{"ENABLE_SPAM", "y"}, {"OPTIMIZER_SELECT_ADAMWSPAM", "y"}, {"SPAM_THETA", "70"}},
        {{"OPTIMIZER_SELECT_ADAMW", "y"}});
    EXPECT_FALSE(symbols.has("SPAM_THETA"));
}

TEST(Symbols, BuildSymbolsCannotBeOverridden) {
    test::expect_error(kConfig, {"WERROR", "make menuconfig"}, [] {
        Symbols::from_values({}, {{"WERROR", "n"}});
    });
    if (built("USE_CUDA") != "y")
        test::expect_error(kNotAvailable, {"built without CONFIG_USE_CUDA"}, [] {
            Symbols::from_values({}, {{"USE_CUDA", "y"}});
        });
}

TEST(Symbols, FeatureThatWasNotBuiltIsNamedWithTheWayToGetIt) {
    // The binary of this test may have the feature, so the file says it has not.
    test::expect_error(
        kNotAvailable, {"OPTIMIZER_SELECT_ADAMWSPAM=y", "CONFIG_ENABLE_SPAM", "make menuconfig"},
        [] {
            Symbols::from_values({{"ENABLE_SPAM", "n"}}, {{"OPTIMIZER_SELECT_ADAMWSPAM", "y"}});
        });
}

TEST(OverridesOfAPlan, ThatHaveNoEffectAreLeftOut) {
    const Symbols base = Symbols::from_values({{"ENABLE_SPAM", "y"}});
    const Symbols adamw = base.with({{"SPAM_INTERVAL", "300", Origin::kMatrix}});
    EXPECT_FALSE(adamw.has("SPAM_INTERVAL"));
    const Symbols spam = base.with({{"OPTIMIZER_SELECT_ADAMWSPAM", "y", Origin::kMatrix},
                                    {"SPAM_INTERVAL", "300", Origin::kMatrix}});
    EXPECT_EQ(spam.integer("SPAM_INTERVAL"), 300);
    EXPECT_EQ(spam.origin("SPAM_INTERVAL"), Origin::kMatrix);
}

TEST(OverridesOfAPlan, OutOfRangeAreRefused) {
    const Symbols base = Symbols::from_values({});
    test::expect_error(kConfig, {"plan", "GPT2_MAX_ITERS=-1", "outside"}, [&] {
        base.with({{"GPT2_MAX_ITERS", "-1", Origin::kMatrix}});
    });
}

TEST(OverridesOfAPlan, TellOfARuleTheyBreak) {
    const Symbols base = Symbols::from_values({});
    std::string broken;
    base.with({{"LEARNING_RATE", "1e-9", Origin::kMatrix}}, &broken);
    EXPECT_THAT(broken, testing::HasSubstr("GPT2_MIN_LR=6e-5 is above LEARNING_RATE=1e-9"));
    EXPECT_THROW(base.with({{"LEARNING_RATE", "1e-9", Origin::kMatrix}}), Error);
}

TEST(CheckSetting, NamesTheSymbolMeantAndRefusesWhatIsNone) {
    EXPECT_EQ(check_setting("CONFIG_LEARNING_RATE", "1e-3", "axes"), "LEARNING_RATE");
    test::expect_error(kConfig, {"axes", "LEARNING_RAT", "LEARNING_RATE"},
                       [] { check_setting("LEARNING_RAT", "1", "axes"); });
    test::expect_error(kConfig, {"LEARNING_RATE=fast"},
                       [] { check_setting("LEARNING_RATE", "fast", "axes"); });
    test::expect_error(kConfig, {"HAVE_CUDA_TOOLKIT", "leave it out"},
                       [] { check_setting("HAVE_CUDA_TOOLKIT", "y", "axes"); });
}

TEST(Symbols, ListsAreSplit) {
    // The getters refuse what is none of their type.
    const Symbols symbols =
        Symbols::from_values({{"OUTPUT_DIR", "1, 32,128"}, {"DATA_DIR", "a,b"}});
    EXPECT_EQ(symbols.integers("OUTPUT_DIR"), (std::vector<int64_t>{1, 32, 128}));
    EXPECT_EQ(symbols.words("DATA_DIR"), (std::vector<std::string>{"a", "b"}));
    EXPECT_THROW(symbols.integers("DATA_DIR"), Error);
}

TEST(Symbols, RealChecksTheRangeOfTheCaller) {
    const Symbols symbols = Symbols::from_values({{"GPT2_DROPOUT", "0"}});
    EXPECT_EQ(symbols.real("GPT2_DROPOUT", {.min = 0.0, .below = 1.0}), 0.0);
    test::expect_error(kConfig, {"GPT2_DROPOUT=0", "(0,"},
                       [&] { symbols.real("GPT2_DROPOUT", {.above = 0.0}); });
}

TEST(Symbols, ReadingWhatIsNotThereIsOurMistake) {
    const Symbols symbols = Symbols::from_values({});
    EXPECT_THROW(symbols.on("NO_SUCH_SYMBOL"), std::logic_error);
    EXPECT_THROW(symbols.text("SEED"), std::logic_error);
    EXPECT_THROW(symbols.text("SPAM_THETA"), std::logic_error);
}

}  // namespace
}  // namespace knlp::config
