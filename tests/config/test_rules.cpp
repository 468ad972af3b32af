#include "knlp/config/symbols.h"

#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

namespace knlp::config {
namespace {

void refuse(const std::map<std::string, std::string>& values,
            std::initializer_list<std::string> parts) {
    test::expect_error(kConfig, parts, [&] { Symbols::from_values(values); });
}

TEST(Rules, WidthIsAMultipleOfHeads) {
    refuse({{"GPT2_MODEL_CUSTOM", "y"}, {"GPT2_N_EMBD", "130"}, {"GPT2_N_HEAD", "12"}},
           {"GPT2_N_EMBD=130", "GPT2_N_HEAD=12", "120 or 132"});
    EXPECT_NO_THROW(Symbols::from_values(
        {{"GPT2_MODEL_CUSTOM", "y"}, {"GPT2_N_EMBD", "132"}, {"GPT2_N_HEAD", "12"}}));
}

/// Loads a complete .config in which `line` stands in place of the line of its symbol.
void refuse_line(const std::string& line, const std::vector<Symbols::Override>& overrides,
                 const std::string& where, bool named) {
    const test::TempDir dir;
    std::string text = Symbols::from_values({{"GPT2_MODEL_CUSTOM", "y"}}).dot_config();
    const size_t begin = text.find("\n" + line.substr(0, line.find('=') + 1)) + 1;
    text.replace(begin, text.find('\n', begin) - begin, line);
    const auto number =
        1 + std::count(text.begin(), text.begin() + static_cast<int64_t>(begin), '\n');
    std::ofstream(dir.file(".config")) << text;
    const std::string place = fmt::format("{}:{}: {}", dir.file(".config").string(), number, where);
    try {
        Symbols::load(dir.file(".config"), overrides);
        ADD_FAILURE() << "not refused: " << line;
    } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).starts_with(place), named) << error.what();
    }
}

TEST(Rules, NameTheLineOfDotConfig) {
    refuse_line("CONFIG_GPT2_N_EMBD=130", {}, "GPT2_N_EMBD=130", true);
    refuse_line("CONFIG_GPT2_MAX_ITERS=0", {}, "GPT2_MAX_ITERS=0", true);
    refuse_line("CONFIG_GPT2_MIN_LR=\"2e-3\"", {}, "GPT2_MIN_LR=2e-3", true);
}

TEST(Rules, BlameNoLineForWhatAnOverrideBroke) {
    refuse_line("CONFIG_GPT2_N_EMBD=768", {{"GPT2_N_HEAD", "7", Origin::kCommandLine}},
                "GPT2_N_EMBD=768", false);
}

TEST(Rules, VocabularyHoldsTheTokenizer) {
    refuse({{"GPT2_TOKENIZER_BPE_TRAINED", "y"},
            {"GPT2_BPE_VOCAB", "8192"},
            {"GPT2_VOCAB_SIZE", "8000"}},
           {"GPT2_VOCAB_SIZE=8000", "8192"});
    refuse({{"GPT2_TOKENIZER_GPT2", "y"}, {"GPT2_VOCAB_SIZE", "50256"}},
           {"GPT2_VOCAB_SIZE=50256", "50257"});
    refuse({{"GPT2_TOKENIZER_BYTE", "y"}, {"GPT2_VOCAB_SIZE", "300"}, {"GPT2_PAD_VOCAB", "512"}},
           {"GPT2_PAD_VOCAB=512", "GPT2_VOCAB_SIZE=300"});
}

TEST(Rules, SomeBudgetIsSet) {
    refuse({{"GPT2_MAX_ITERS", "0"}}, {"GPT2_MAX_ITERS=0", "GPT2_MAX_TOKENS=0", "GPT2_MAX_TIME=0"});
    for (const char* budget : {"GPT2_MAX_TOKENS", "GPT2_MAX_TIME"})
        EXPECT_NO_THROW(Symbols::from_values({{"GPT2_MAX_ITERS", "0"}, {budget, "60"}})) << budget;
}

TEST(Rules, LearningRateFallsNotRises) {
    refuse({{"LEARNING_RATE", "1e-4"}, {"GPT2_MIN_LR", "2e-4"}},
           {"GPT2_MIN_LR=2e-4", "LEARNING_RATE=1e-4"});
    EXPECT_NO_THROW(Symbols::from_values({{"LEARNING_RATE", "1e-4"}, {"GPT2_MIN_LR", "1e-4"}}));
}

TEST(Rules, SpamWarmupEndsByTheNextReset) {
    refuse({{"ENABLE_SPAM", "y"},
            {"OPTIMIZER_SELECT_ADAMWSPAM", "y"},
            {"SPAM_INTERVAL", "100"},
            {"SPAM_WARMUP_STEPS", "101"}},
           {"SPAM_WARMUP_STEPS=101", "SPAM_INTERVAL=100", "0..100"});
    EXPECT_NO_THROW(Symbols::from_values({{"ENABLE_SPAM", "y"},
                                          {"OPTIMIZER_SELECT_ADAMWSPAM", "y"},
                                          {"SPAM_INTERVAL", "100"},
                                          {"SPAM_WARMUP_STEPS", "100"}}));
    EXPECT_NO_THROW(Symbols::from_values(
        {{"ENABLE_SPAM", "y"}, {"OPTIMIZER_SELECT_ADAMWSPAM", "y"}, {"SPAM_INTERVAL", "0"}}));
}

TEST(Rules, CustomDataHasAPath) {
    refuse({{"GPT2_DATASET_CUSTOM", "y"}}, {"GPT2_CUSTOM_DATASET_PATH"});
    EXPECT_NO_THROW(Symbols::from_values(
        {{"GPT2_DATASET_CUSTOM", "y"}, {"GPT2_CUSTOM_DATASET_PATH", "my.txt"}}));
}

}  // namespace
}  // namespace knlp::config
