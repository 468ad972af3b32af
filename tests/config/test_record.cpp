#include "knlp/config/schema.h"
#include "knlp/config/symbols.h"

#include "knlp/core/hash.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace knlp::config {
namespace {

TEST(Record, HashIgnoresWhatMayChangeOnResume) {
    const Symbols base = Symbols::from_values({});
    EXPECT_EQ(Symbols::from_values({{"GPT2_MAX_ITERS", "77"}, {"LOG_LEVEL", "DEBUG"}}).hash(),
              base.hash());
    EXPECT_NE(Symbols::from_values({{"LEARNING_RATE", "1e-3"}}).hash(), base.hash());
    EXPECT_NE(Symbols::from_values({{"SEED", "2"}}).hash(), base.hash());
}

TEST(Record, HashIsThatOfTheSortedLines) {
    const Symbols symbols = Symbols::from_values({{"SEED", "4"}});
    std::vector<std::string> lines;
    for (const SymbolInfo& symbol : config::symbols()) {
        const auto found = symbols.values().find(symbol.name);
        if (found != symbols.values().end() && !symbol.resume_free)
            lines.push_back(found->first + "=" + found->second + "\n");
    }
    std::sort(lines.begin(), lines.end());
    std::string text;
    for (const std::string& line : lines) text += line;
    EXPECT_NE(text.find("SEED=4\n"), std::string::npos);
    EXPECT_EQ(symbols.hash(), sha256_hex(text));
}

TEST(Record, ExperimentHashIgnoresWhatSaysNothingAboutTheResult) {
    const Symbols base = Symbols::from_values({});
    const std::string hash = base.experiment_hash(1);
    EXPECT_EQ(Symbols::from_values({{"LOG_LEVEL", "DEBUG"},
                                    {"MATRIX_AXES", "SEED=1|2"},
                                    {"MATRIX_SEEDS", "7"},
                                    {"PARALLEL_JOBS", "2"}})
                  .experiment_hash(1),
              hash);
    EXPECT_NE(Symbols::from_values({{"GPT2_MAX_ITERS", "77"}}).experiment_hash(1), hash);
    EXPECT_NE(Symbols::from_values({{"LEARNING_RATE", "1e-3"}}).experiment_hash(1), hash);
}

TEST(Record, ExperimentHashCountsTheSeedItIsGiven) {
    const Symbols one = Symbols::from_values({}), two = Symbols::from_values({{"SEED", "2"}});
    EXPECT_EQ(one.experiment_hash(2), two.experiment_hash(2));
    EXPECT_NE(one.experiment_hash(1), one.experiment_hash(2));
    EXPECT_EQ(one.experiment_hash({}), two.experiment_hash({}));
    EXPECT_NE(one.experiment_hash({}), one.experiment_hash(1));
}

TEST(Record, DifferencesNameWhatAResumeRefuses) {
    const Symbols base = Symbols::from_values({});
    EXPECT_TRUE(
        base.differences(Symbols::from_values({{"GPT2_MAX_ITERS", "77"}, {"OUTPUT_DIR", "else"}}))
            .empty());
    EXPECT_THAT(base.differences(Symbols::from_values({{"SEED", "2"}, {"GPT2_DROPOUT", "0.2"}})),
                testing::ElementsAre("GPT2_DROPOUT", "SEED"));
}

TEST(Record, DifferencesSeeSymbolsThatOneSideLacks) {
    const Symbols base = Symbols::from_values({}),
                  spam = Symbols::from_values(
                      {{"ENABLE_SPAM", "y"}, {"OPTIMIZER_SELECT_ADAMWSPAM", "y"}});
    EXPECT_THAT(base.differences(spam), testing::Contains("SPAM_THETA"));
    EXPECT_EQ(base.differences(spam), spam.differences(base));
}

TEST(Record, WhatTheProgramChoseIsShownAndChangesNothingElse) {
    Symbols symbols = Symbols::from_values({});
    const std::string before = symbols.hash(), text = symbols.dot_config();
    symbols.record_auto("NUM_THREADS", "2");
    symbols.record_auto("GEMM_ROUTE", "onednn");
    EXPECT_EQ(symbols.hash(), before);
    EXPECT_EQ(symbols.dot_config(), text);
    EXPECT_EQ(symbols.integer("NUM_THREADS"), 0);
    EXPECT_EQ(symbols.origin("NUM_THREADS"), Origin::kAuto);
    const nlohmann::json resolved = nlohmann::json::parse(symbols.resolved_json());
    EXPECT_EQ(resolved["NUM_THREADS"],
              nlohmann::json::parse(R"({"value":2,"type":"int","origin":"auto"})"));
    EXPECT_EQ(resolved["GEMM_ROUTE"]["value"], "onednn");
}

TEST(Record, ResolvedValuesHaveTheirJsonTypes) {
    const nlohmann::json resolved = nlohmann::json::parse(Symbols::from_values({}).resolved_json());
    EXPECT_TRUE(resolved["DETERMINISTIC"]["value"].is_boolean());
    EXPECT_TRUE(resolved["SEED"]["value"].is_number_integer());
    EXPECT_EQ(resolved["LEARNING_RATE"]["value"], "6e-4");
    EXPECT_FALSE(resolved.contains("SPAM_THETA"));
}

TEST(Record, DefconfigHoldsOnlyWhatDiffers) {
    const std::string text = Symbols::from_values({{"GPT2_MODEL_NANO", "y"},
                                                   {"SEED", "4"},
                                                   {"GPT2_BIAS", "n"},
                                                   {"LEARNING_RATE", "6e-4"}})
                                 .defconfig();
    EXPECT_THAT(text, testing::HasSubstr("CONFIG_GPT2_MODEL_NANO=y\n"));
    EXPECT_THAT(text, testing::HasSubstr("# CONFIG_GPT2_BIAS is not set\n"));
    EXPECT_THAT(text, testing::HasSubstr("CONFIG_SEED=4\n"));
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("LEARNING_RATE")));
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("GPT2_MODEL_124M")));
}

}  // namespace
}  // namespace knlp::config
