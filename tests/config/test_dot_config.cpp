#include "src/config/dot_config.h"

#include "tests/support/expect_error.h"

namespace knlp::config {
namespace {

/// Parses one line as line 2 of "my.config"; gives the code of the error, "" for none.
std::string code_of(const std::string& line) {
    try {
        parse_dot_config("# header\n" + line + "\n", "my.config");
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), kConfig);
        EXPECT_EQ(std::string(error.what()).find("my.config:2: "), 0u) << error.what();
        return error.code();
    }
    return "";
}

std::string value_of(const std::string& line) {
    return parse_dot_config(line, "f").at(0).value;
}

TEST(DotConfig, EveryFormOfASettingIsRead) {
    EXPECT_EQ(value_of("CONFIG_GPT2_BIAS=y"), "y");
    EXPECT_EQ(value_of("CONFIG_GPT2_BIAS=n"), "n");
    EXPECT_EQ(value_of("# CONFIG_GPT2_BIAS is not set"), "n");
    EXPECT_EQ(value_of("CONFIG_SEED=7"), "7");
    EXPECT_EQ(value_of("CONFIG_LEARNING_RATE=\"6e-4\""), "6e-4");
    EXPECT_EQ(value_of("CONFIG_OUTPUT_DIR=\"a \\\"b\\\" \\\\ # c ü\""), "a \"b\" \\ # c ü");
    EXPECT_EQ(value_of("CONFIG_SEED=7\r\n"), "7");
    EXPECT_TRUE(
        parse_dot_config("\n  \n# a remark\n#\n# CONFIG_ is not set up here\n", "f").empty());
}

TEST(DotConfig, LinesComeOutAsTheyWentIn) {
    const SymbolInfo& directory = *find_symbol("OUTPUT_DIR");
    const std::string value = "a \"b\" \\ # c";
    EXPECT_EQ(value_of(dot_config_line(directory, value)), value);
    EXPECT_EQ(dot_config_line(*find_symbol("GPT2_BIAS"), "n"), "# CONFIG_GPT2_BIAS is not set");
    EXPECT_EQ(dot_config_line(*find_symbol("SEED"), "3"), "CONFIG_SEED=3");
}

TEST(DotConfig, BlanksCommentsAndQuotesAreSyntaxErrorsWithTheRightLine) {
    const std::pair<const char*, const char*> rows[] = {
        {"CONFIG_SEED = 7", "write: CONFIG_SEED=7"},
        {"CONFIG_SEED= 7", "write: CONFIG_SEED=7"},
        {"CONFIG_SEED=7 # note", "write: CONFIG_SEED=7"},
        {"CONFIG_SEED=7 ", "write: CONFIG_SEED=7"},
        {"CONFIG_SEED=\"7\"", "write: CONFIG_SEED=7"},
        {"CONFIG_LEARNING_RATE=6e-4", "write: CONFIG_LEARNING_RATE=\"6e-4\""},
        {"CONFIG_LEARNING_RATE=\"6e-4\" # note", "write: CONFIG_LEARNING_RATE=\"6e-4\""},
        {"CONFIG_LEARNING_RATE=\"6e-4", "not closed"},
        {"CONFIG_OUTPUT_DIR=\"a\\tb\"", "escape"},
        {"config_seed=7", "is not a setting"},
        {"free text", "is not a setting"},
        {"# CONFIG_SEED is not set", "cannot be \"not set\""},
    };
    for (const auto& [line, part] : rows) {
        EXPECT_EQ(code_of(line), "E_SYNTAX") << line;
        test::expect_error(kConfig, {part}, [&] { parse_dot_config(line, "f"); });
    }
}

TEST(DotConfig, ValuesOfAnotherTypeAreRefused) {
    for (const char* line :
         {"CONFIG_SEED=abc", "CONFIG_SEED=", "CONFIG_SEED=012", "CONFIG_SEED=99999999999999999999",
          "CONFIG_GPT2_BIAS=Y", "CONFIG_GPT2_BIAS=1", "CONFIG_GPT2_BIAS=m",
          "CONFIG_LEARNING_RATE=\"fast\"", "CONFIG_LOG_LEVEL=\"LOUD\"", "CONFIG_DEVICE=\"tpu\""})
        EXPECT_EQ(code_of(line), "E_TYPE") << line;
    EXPECT_EQ(code_of("CONFIG_GPT2_DROPOUT=\"1.0\""), "E_RANGE");
}

TEST(DotConfig, UnknownSymbolNamesTheNearest) {
    EXPECT_EQ(code_of("CONFIG_LEARNING_RAET=\"1\""), "E_UNKNOWN_SYMBOL");
    test::expect_error(kConfig, {"f:1", "CONFIG_LEARNING_RAET", "did you mean LEARNING_RATE"},
                       [] { parse_dot_config("CONFIG_LEARNING_RAET=\"1\"", "f"); });
    EXPECT_EQ(code_of("# CONFIG_NOBODY_KNOWS_THIS is not set"), "E_UNKNOWN_SYMBOL");
}

TEST(DotConfig, SecondLineForASymbolIsRefused) {
    test::expect_error(kConfig, {"f:3", "CONFIG_SEED", "f:1"},
                       [] { parse_dot_config("CONFIG_SEED=1\n\nCONFIG_SEED=1\n", "f"); });
}

TEST(DotConfig, AnyBytesGiveAnErrorOrSettings) {
    uint32_t state = 1;
    for (int round = 0; round < 2000; ++round) {
        std::string text = "CONFIG_OUTPUT_DIR=\"a\\\\b\"\nCONFIG_SEED=7\n# CONFIG_LTO is not set\n";
        for (int change = 0; change < 3; ++change) {
            state = state * 1664525u + 1013904223u;
            text[(state >> 8) % text.size()] = static_cast<char>(state >> 24);
        }
        try {
            EXPECT_LE(parse_dot_config(text, "f").size(), 3u);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kConfig) << "round " << round << ": " << error.what();
        }
    }
}

}  // namespace
}  // namespace knlp::config
