#include "src/matrix/expand.h"

#include "src/matrix/rules.h"

#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "tests/support/expect_error.h"

#include <gmock/gmock-matchers.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace knlp::matrix {
namespace {

using test::expect_error;

/// An axis each of whose values sets the axis' own symbol.
Axis axis(const std::string& name, const std::vector<std::string>& labels) {
    Axis out{.name = name, .values = {}};
    for (const std::string& label : labels) out.values.push_back({label, {{name, label}}});
    return out;
}

/// A configuration is its settings.
Evaluated plain(const std::vector<Setting>& settings) {
    Evaluated out{.model = "gpt2", .optimizer = "adamw"};
    std::string text;
    for (const Setting& setting : settings) {
        text += setting.name + "=" + setting.value + "\n";
        if (setting.name == "optimizer") out.optimizer = setting.value;
        if (setting.name == "model") out.model = setting.value;
    }
    out.sha256 = sha256_hex(text);
    return out;
}

std::vector<std::string> ids(const Expansion& expansion) {
    std::vector<std::string> out;
    for (const Arm& arm : expansion.arms) out.push_back(arm.id);
    return out;
}

std::map<std::string, int> rules(const Expansion& expansion) {
    std::map<std::string, int> out;
    for (const Excluded& excluded : expansion.excluded) ++out[excluded.rule];
    return out;
}

TEST(Expand, WithoutAxesThereIsOneArm) {
    EXPECT_THAT(ids(expand({}, plain)), testing::ElementsAre("gpt2_adamw"));
}

TEST(Expand, LastAxisIsTheFastest) {
    const Expansion e = expand({axis("A", {"1", "2"}), axis("B", {"x", "y"})}, plain);
    EXPECT_THAT(ids(e), testing::ElementsAre("gpt2_adamw_a-1_b-x", "gpt2_adamw_a-1_b-y",
                                             "gpt2_adamw_a-2_b-x", "gpt2_adamw_a-2_b-y"));
    EXPECT_TRUE(e.excluded.empty());
}

TEST(Expand, CountsTheArmsOfThePruningStudyByHand) {
    // 5 * (1 + 3 + 3) + (1 + 2 * 3): five optimizers dense, by magnitude and by movement at three
    // levels; AdamWPrune dense, and by state at three levels with two variants.
    const Expansion e = expand(
        {axis("optimizer", {"sgd", "adam", "adamw", "adamwadv", "adamw_spam", "adamw_prune"}),
         axis("pruning", {"none", "magnitude", "movement", "state"}),
         axis("sparsity", {"50", "70", "90"}), axis("variant", {"bitter0", "bitter7"})},
        plain);
    EXPECT_EQ(e.arms.size(), 42u);
    EXPECT_EQ(e.arms.size() + e.excluded.size(), 6u * 4 * 3 * 2);
    const auto by_rule = rules(e);
    EXPECT_EQ(by_rule.at("R1"), 2 * 3 * 2);  // AdamWPrune by magnitude or movement
    EXPECT_EQ(by_rule.at("R2"), 5 * 3 * 2);  // state with another optimizer
    EXPECT_EQ(by_rule.at("R7"), 6 * 4 * 3 * 2 - 42 - 12 - 30);
    EXPECT_THAT(ids(e), testing::Contains("gpt2_adamw_prune_state_90_bitter7"));
    EXPECT_THAT(ids(e), testing::Contains("gpt2_sgd_none"));
    const std::vector<std::string> all = ids(e);
    EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
}

TEST(Expand, CollapsedCombinationsNameTheirRuleAndTheArmThatStays) {
    const Expansion e =
        expand({axis("pruning", {"none", "magnitude"}), axis("sparsity", {"50", "70"})}, plain);
    ASSERT_EQ(e.excluded.size(), 1u);
    EXPECT_EQ(e.excluded[0].labels, (std::vector<std::string>{"none", "70"}));
    EXPECT_EQ(e.excluded[0].rule, "R7");
    EXPECT_EQ(e.excluded[0].why, "the same as 'gpt2_adamw_none' (R3)");
}

TEST(Expand, AttentionIsOfGpt2AndTokenizersOfImageModels) {
    const Expansion e =
        expand({axis("model", {"gpt2", "lenet5"}), axis("attention", {"causal", "mla"}),
                axis("tokenizer", {"none", "pca"})},
               plain);
    EXPECT_THAT(ids(e), testing::ElementsAre("gpt2_adamw_causal", "gpt2_adamw_mla",
                                             "lenet5_adamw_none", "lenet5_adamw_pca"));
}

TEST(Expand, SettingsWithoutEffectMakeTheAxisIdle) {
    const Evaluate spam_only = [](const std::vector<Setting>& settings) {
        std::vector<Setting> active;
        Evaluated idle;
        for (const Setting& setting : settings) {
            if (setting.name == "INTERVAL" && settings[0].value == "adamw")
                idle.idle.push_back(setting.name);
            else
                active.push_back(setting);
        }
        Evaluated out = plain(active);
        out.idle = idle.idle;
        return out;
    };
    const Expansion e = expand(
        {axis("optimizer", {"adamw", "adamw_spam"}), axis("INTERVAL", {"200", "500"})}, spam_only);
    EXPECT_THAT(ids(e), testing::ElementsAre("gpt2_adamw", "gpt2_adamw_spam_interval-200",
                                             "gpt2_adamw_spam_interval-500"));
    EXPECT_EQ(e.arms[0].labels, (std::vector<std::string>{"adamw", "-"}));
    EXPECT_EQ(e.arms[0].settings.size(), 1u);
    ASSERT_EQ(e.excluded.size(), 1u);
    EXPECT_EQ(e.excluded[0].why, "the same as 'gpt2_adamw' (INTERVAL has no effect there)");
    expect_error(kUsage, {"the axis INTERVAL does nothing"}, [&] {
        expand({axis("optimizer", {"adamw"}), axis("INTERVAL", {"200", "500"})}, spam_only);
    });
}

TEST(Expand, WhatTheConfigurationRefusesIsListedWithItsReason) {
    const Evaluate odd_only = [](const std::vector<Setting>& settings) {
        Evaluated out = plain(settings);
        if (settings[0].value == "2") out.refused = "2 is even";
        return out;
    };
    const Expansion e = expand({axis("A", {"1", "2", "3"})}, odd_only);
    EXPECT_EQ(e.arms.size(), 2u);
    ASSERT_EQ(e.excluded.size(), 1u);
    EXPECT_EQ(e.excluded[0].rule, "config");
    EXPECT_EQ(e.excluded[0].why, "2 is even");
    expect_error(kUsage, {"the plan is empty", "2 is even"},
                 [&] { expand({axis("A", {"2"})}, odd_only); });
}

TEST(Expand, IdsDependOnTheArmAlone) {
    const Expansion all = expand({axis("A", {"1", "2"}), axis("B", {"x", "y"})}, plain);
    const Expansion few = expand({axis("A", {"2"}), axis("B", {"y"})}, plain);
    EXPECT_EQ(few.arms[0].id, all.arms[3].id);
}

TEST(Expand, IdsThatMeetGetTheHashOfTheirConfiguration) {
    const Expansion e = expand({axis("A", {"x:1", "x/1"})}, plain);
    ASSERT_EQ(e.arms.size(), 2u);
    EXPECT_NE(e.arms[0].id, e.arms[1].id);
    EXPECT_EQ(e.arms[0].id, "gpt2_adamw_a-x-1-" + e.arms[0].config_sha256.substr(0, 6));
}

TEST(Expand, IdsHoldWhatADirectoryNameMay) {
    const Expansion e = expand({axis("A", {std::string(300, 'v'), "a b/../\"c\""})}, plain);
    for (const Arm& arm : e.arms) {
        EXPECT_LT(arm.id.size(), 160u);
        EXPECT_EQ(arm.id.find_first_of("/\" "), std::string::npos) << arm.id;
    }
}

TEST(Expand, RefusesMoreThanAnyoneWillRun) {
    const std::vector<std::string> many(200, "x");
    expect_error(kUsage, {"more than 20000 combinations"}, [&] {
        expand({axis("A", many), axis("B", many)}, plain);
    });
}

TEST(SparsityLabel, IsAPercentageWithoutAPoint) {
    for (const auto& [share, label] : std::map<std::string, std::string>{{"0.7", "70"},
                                                                         {"0.995", "99p5"},
                                                                         {"0.29", "29"},
                                                                         {"0", "0"},
                                                                         {"0.5", "50"},
                                                                         {"0.12345", "12p345"},
                                                                         {"0.10", "10"},
                                                                         {"9e-1", "90"}})
        EXPECT_EQ(sparsity_label(share), label);
    for (const char* share : {"1", "-0.1", "0.123456", "half"})
        expect_error(kUsage, {"sparsity"}, [&] { sparsity_label(share); });
}

}  // namespace
}  // namespace knlp::matrix
