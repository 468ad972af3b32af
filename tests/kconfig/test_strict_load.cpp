// Every kind of bad line in a preset: status 2, one line with file, line, symbol, reason and fix,
// and the .config as it was. Kconfig itself takes each of them with status 0 (most without a word).
#include "tests/kconfig/tools.h"

#include <algorithm>
#include <string>
#include <vector>

namespace knlp::test {
namespace {

using testing::HasSubstr;

struct BadLine {
    const char* name;
    std::string lines;  // the last is the bad one
    const char* code;
    std::vector<std::string> parts;  // what the message must hold besides file and line
};

const BadLine kBadLines[] = {
    {"Unknown",
     "CONFIG_GPT2_MAX_ITER=5",
     "E_UNKNOWN_SYMBOL",
     {"CONFIG_GPT2_MAX_ITER", "GPT2_MAX_ITERS", "delete"}},
    {"AboveRange",
     "CONFIG_GPT2_PAD_VOCAB=5000",
     "E_RANGE",
     {"CONFIG_GPT2_PAD_VOCAB=5000", "1..4096"}},
    {"Negative", "CONFIG_SEED=-3", "E_RANGE", {"CONFIG_SEED=-3", "0..2147483647"}},
    {"TwentyDigits",
     "CONFIG_SEED=99999999999999999999",
     "E_RANGE",
     {"CONFIG_SEED=", "0..2147483647"}},
    {"NotANumber",
     "CONFIG_SEED=abc",
     "E_TYPE",
     {"CONFIG_SEED=abc", "whole number", "0..2147483647"}},
    {"QuotedNumber",
     "CONFIG_SEED=\"12\"",
     "E_TYPE",
     {"CONFIG_SEED=\"12\"", "write: CONFIG_SEED=12"}},
    {"EmptyNumber", "CONFIG_SEED=", "E_TYPE", {"CONFIG_SEED", "whole number"}},
    {"LeadingZero", "CONFIG_SEED=012", "E_TYPE", {"write: CONFIG_SEED=12"}},
    {"Comment",
     "CONFIG_SEED=12 # note",
     "E_SYNTAX",
     {"CONFIG_SEED", "comment", "write: CONFIG_SEED=12"}},
    {"BlanksAroundEquals",
     "CONFIG_SEED = 12",
     "E_SYNTAX",
     {"CONFIG_SEED", "blanks", "write: CONFIG_SEED=12"}},
    {"LeadingBlank",
     "  CONFIG_SEED=12",
     "E_SYNTAX",
     {"CONFIG_SEED", "blanks", "write: CONFIG_SEED=12"}},
    {"TrailingBlank", "CONFIG_SEED=12 ", "E_SYNTAX", {"CONFIG_SEED", "write: CONFIG_SEED=12"}},
    {"SmallLetters", "CONFIG_seed=12", "E_SYNTAX", {"small letters", "write: CONFIG_SEED=12"}},
    {"FreeText", "some words", "E_SYNTAX", {"'some words'", "CONFIG_NAME=value"}},
    {"NoPrefix", "SEED=12", "E_SYNTAX", {"'SEED=12'"}},
    {"UnquotedString",
     "CONFIG_LEARNING_RATE=6e-4",
     "E_SYNTAX",
     {"write: CONFIG_LEARNING_RATE=\"6e-4\""}},
    {"SingleQuotes",
     "CONFIG_LEARNING_RATE='6e-4'",
     "E_SYNTAX",
     {"write: CONFIG_LEARNING_RATE=\"6e-4\""}},
    {"OpenQuote",
     "CONFIG_LEARNING_RATE=\"6e-4",
     "E_SYNTAX",
     {"not closed", "write: CONFIG_LEARNING_RATE=\"6e-4\""}},
    {"LostBackslash",
     "CONFIG_DATA_DIR=\"a\\tb\"",
     "E_SYNTAX",
     {"backslash", "write: CONFIG_DATA_DIR=\"a\\\\tb\""}},
    {"CapitalY", "CONFIG_GPT2_BIAS=Y", "E_TYPE", {"neither y nor n", "write: CONFIG_GPT2_BIAS=y"}},
    {"NumberForBool", "CONFIG_GPT2_BIAS=1", "E_TYPE", {"neither y nor n"}},
    {"Module", "CONFIG_GPT2_BIAS=m", "E_TYPE", {"neither y nor n"}},
    {"LooseNotSet",
     "#CONFIG_GPT2_BIAS is not set",
     "E_SYNTAX",
     {"write: # CONFIG_GPT2_BIAS is not set"}},
    {"NotSettable",
     "CONFIG_HAVE_CUDA_TOOLKIT=y",
     "E_NOT_SETTABLE",
     {"CONFIG_HAVE_CUDA_TOOLKIT", "not user-settable"}},
    {"Dependency",
     "CONFIG_GPT2_N_LAYER=4",
     "E_DEPENDS",
     {"CONFIG_GPT2_N_LAYER=4", "depends on GPT2_MODEL_CUSTOM", "GPT2_MODEL_CUSTOM is n",
      "set CONFIG_GPT2_MODEL_CUSTOM=y"}},
    {"DependencyOnNumber",
     "CONFIG_OPTIMIZER_SELECT_ADAMWSPAM=y\nCONFIG_SPAM_INTERVAL=0\nCONFIG_SPAM_WARMUP_STEPS=5",
     "E_DEPENDS",
     {"SPAM_INTERVAL > 0", "SPAM_INTERVAL is 0"}},
    {"Toolchain", "CONFIG_USE_CUDA=y", "E_DEPENDS", {"HAVE_CUDA_TOOLKIT is n", "NVCC="}},
    {"TwoOfAChoice",
     "CONFIG_GPT2_MODEL_NANO=y\nCONFIG_GPT2_MODEL_TINY=y",
     "E_CHOICE",
     {"CONFIG_GPT2_MODEL_TINY=y", "line 1", "CONFIG_GPT2_MODEL_NANO=y"}},
    {"NoneOfAChoice",
     "# CONFIG_OPTIMIZER_SELECT_ADAMW is not set",
     "E_CHOICE",
     {"CONFIG_OPTIMIZER_SELECT_ADAMWSPAM=y"}},
    {"TwiceDifferently",
     "CONFIG_SEED=1\nCONFIG_SEED=2",
     "E_CONFLICT",
     {"CONFIG_SEED=2", "line 1", "CONFIG_SEED=1"}},
    {"FloatOutside",
     "CONFIG_GPT2_DROPOUT=\"1.0\"",
     "E_RANGE",
     {"CONFIG_GPT2_DROPOUT=\"1.0\"", "[0,1)"}},
    {"FloatOfWords",
     "CONFIG_GPT2_DROPOUT=\"nan\"",
     "E_TYPE",
     {"CONFIG_GPT2_DROPOUT=\"nan\"", "[0,1)"}},
    {"FloatComma", "CONFIG_GPT2_DROPOUT=\"0,1\"", "E_TYPE", {"CONFIG_GPT2_DROPOUT=\"0,1\""}},
    {"EnumOther", "CONFIG_LOG_LEVEL=\"LOUD\"", "E_TYPE", {"DEBUG, INFO, WARNING, ERROR"}},
    {"DeviceOther", "CONFIG_DEVICE=\"gpu\"", "E_TYPE", {"auto, cpu, cuda, cuda:N"}},
    {"OldAndNewDiffer",
     "CONFIG_SEED=1\nCONFIG_RA_SEED=2",
     "E_CONFLICT",
     {"CONFIG_RA_SEED (now CONFIG_SEED)=2"}},
    {"DerivedContradicts",
     "CONFIG_GPT2_DATASET=\"finewebedu\"",
     "E_CONFLICT",
     {"set CONFIG_GPT2_DATASET_FINEWEBEDU=y"}},
    {"NotInThisVersion",
     "CONFIG_ENABLE_PRUNING=y",
     "E_UNKNOWN_SYMBOL",
     {"asks for pruning", "does not have"}},
    {"OldValueUnknown",
     "CONFIG_GPT2_MODEL_SIZE=\"175B\"",
     "E_RANGE",
     {"\"124M\"", "nothing of \"175B\""}},
    {"WidthIsNoMultipleOfHeads",
     "CONFIG_GPT2_MODEL_CUSTOM=y\nCONFIG_GPT2_N_HEAD=12\nCONFIG_GPT2_N_EMBD=130",
     "E_RANGE",
     {"GPT2_N_EMBD=130 is no multiple of GPT2_N_HEAD=12", "120 or 132"}},
    {"NoBudget",
     "CONFIG_GPT2_MAX_ITERS=0",
     "E_RANGE",
     {"GPT2_MAX_ITERS=0, GPT2_MAX_TOKENS=0 and GPT2_MAX_TIME=0", "more than 0"}},
    {"LearningRateRises",
     "CONFIG_GPT2_MIN_LR=\"2e-3\"",
     "E_RANGE",
     {"GPT2_MIN_LR=2e-3 is above LEARNING_RATE=6e-4", "[0, 6e-4]"}},
    {"PaddingAboveVocabulary",
     "CONFIG_GPT2_VOCAB_SIZE=300\nCONFIG_GPT2_TOKENIZER_BYTE=y\nCONFIG_GPT2_PAD_VOCAB=512",
     "E_RANGE",
     {"GPT2_PAD_VOCAB=512 is larger than GPT2_VOCAB_SIZE=300"}},
    {"VocabularyBelowTheTokenizers",
     "CONFIG_GPT2_TOKENIZER_BPE_TRAINED=y\nCONFIG_GPT2_VOCAB_SIZE=600",
     "E_RANGE",
     {"GPT2_VOCAB_SIZE=600 is smaller than the tokenizer's vocabulary of 8192"}},
    {"SpamWarmupBeyondTheReset",
     "CONFIG_OPTIMIZER_SELECT_ADAMWSPAM=y\nCONFIG_SPAM_INTERVAL=100\nCONFIG_SPAM_WARMUP_STEPS=101",
     "E_RANGE",
     {"SPAM_WARMUP_STEPS=101 does not end by the next reset, SPAM_INTERVAL=100"}},
    {"NotUtf8", std::string("CONFIG_DATA_DIR=\"\xff\""), "E_SYNTAX", {"not UTF-8"}},
    {"ZeroByte", std::string("CONFIG_SEED=1\0", 14), "E_SYNTAX", {"zero byte"}},
};

class StrictLoad : public testing::TestWithParam<BadLine> {};

TEST_P(StrictLoad, RefusesTheLineAndKeepsDotConfig) {
    const Output output;
    const std::string before = "# a .config of the user's\nCONFIG_SEED=42\n";
    write_text(output.dot_config(), before);
    const std::string& lines = GetParam().lines;
    const Finished result = output.load(lines + "\n");

    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.err.rfind(std::string("knlp: error[") + GetParam().code + "]: ", 0), 0u)
        << result.err;
    const auto line = 1 + std::count(lines.begin(), lines.end(), '\n');
    EXPECT_THAT(result.err,
                HasSubstr(output.file("fragment").string() + ":" + std::to_string(line) + ": "));
    for (const std::string& part : GetParam().parts) EXPECT_THAT(result.err, HasSubstr(part));
    EXPECT_EQ(read_text(output.dot_config()), before);
    EXPECT_EQ(names_in(output.path()), (std::vector<std::string>{".config", "fragment"}));
}

INSTANTIATE_TEST_SUITE_P(EachRow, StrictLoad, testing::ValuesIn(kBadLines),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Load, ReportsEveryProblemOfAFileAtOnceInTheOrderOfItsLines) {
    const Output output;
    const Finished result = output.load(
        "CONFIG_NO_SUCH_THING=y\nCONFIG_GPT2_PAD_VOCAB=0\nCONFIG_GPT2_N_HEAD=4\nCONFIG_SEED=3 # "
        "mine\n");
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 4) << result.err;
    EXPECT_THAT(result.err, testing::MatchesRegex(
                                "(.|\n)*E_UNKNOWN_SYMBOL(.|\n)*:1:(.|\n)*E_RANGE(.|\n)*:2:"
                                "(.|\n)*E_DEPENDS(.|\n)*:3:(.|\n)*E_SYNTAX(.|\n)*:4:(.|\n)*"));
    EXPECT_FALSE(std::filesystem::exists(output.dot_config()));
}

TEST(Load, WhatFollowsFromARefusedLineIsNotReportedAgain) {
    const Output output;
    const Finished result = output.load("CONFIG_USE_CUDA=y\nCONFIG_CUDA_ARCH_SM90=y\n");
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_THAT(result.err, HasSubstr("CONFIG_USE_CUDA=y depends on HAVE_CUDA_TOOLKIT"));
}
TEST(Load, AcceptsWhatIsHarmless) {
    const Output output;
    const Finished result = output.load(
        "# purpose\r\n\r\nCONFIG_SEED=5\r\nCONFIG_SEED=5\r\nCONFIG_GPT2_BIAS=n\r\n# "
        "CONFIG_USE_CUDA is not set\r\n"
        "CONFIG_DATA_DIR=\"d\xc3\xa4ta \\\"1\\\" #2 \\\\ $(HOME)\"");
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    const std::string text = read_text(output.dot_config());
    EXPECT_THAT(text, HasSubstr("\nCONFIG_SEED=5\n"));
    EXPECT_THAT(text, HasSubstr("\n# CONFIG_GPT2_BIAS is not set\n"));
    EXPECT_THAT(text, HasSubstr("\nCONFIG_DATA_DIR=\"d\xc3\xa4ta \\\"1\\\" #2 \\\\ $(HOME)\"\n"));
}

TEST(Load, KeepsTheConfigurationBefore) {
    const Output output;
    ASSERT_EQ(output.load("CONFIG_SEED=5\n").status, 0);
    const std::string first = read_text(output.dot_config());
    ASSERT_EQ(output.load("CONFIG_SEED=6\n").status, 0);
    EXPECT_EQ(read_text(output.file(".config.old")), first);
    EXPECT_THAT(read_text(output.dot_config()), HasSubstr("\nCONFIG_SEED=6\n"));
}

TEST(Load, LeavesASymbolicLinkALink) {
    const Output output;
    write_text(output.file("elsewhere"), "");
    std::filesystem::create_symlink("elsewhere", output.dot_config());
    ASSERT_EQ(output.load("CONFIG_SEED=5\n").status, 0);
    EXPECT_TRUE(std::filesystem::is_symlink(output.dot_config()));
    EXPECT_THAT(read_text(output.file("elsewhere")), HasSubstr("\nCONFIG_SEED=5\n"));
}

}  // namespace
}  // namespace knlp::test
