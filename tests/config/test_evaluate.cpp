#include "src/config/evaluate.h"

#include <gtest/gtest.h>

#include <array>

// Small trees made by hand; the tree of the project is compared with kconfig-conf in
// test_kconfig_agreement.
namespace knlp::config {
namespace {

using Conditional = SymbolInfo::Conditional;

constexpr std::array kWidthDefaults = {Conditional{"64", "BIG"}, Conditional{"8", ""}};
constexpr std::array kWidthRanges = {SymbolInfo::Range{"1", "16", "!BIG"},
                                     SymbolInfo::Range{"32", "128", ""}};
constexpr std::array kForcedBy = {Conditional{"BIG", ""}};
constexpr std::array kImpliedBy = {Conditional{"BIG", ""}};
constexpr std::array kDerivedDefaults = {Conditional{"wide", "WIDTH > 32"},
                                         Conditional{"narrow", ""}};
constexpr std::array kMachineDefaults = {Conditional{"HAVE_ENV = y", ""}};

constexpr std::array kSymbolsOfTree = {
    SymbolInfo{.name = "BIG", .type = SymbolType::kBool, .prompt = "big"},
    SymbolInfo{.name = "WIDTH",
               .type = SymbolType::kInt,
               .prompt = "width",
               .defaults = kWidthDefaults,
               .ranges = kWidthRanges},
    SymbolInfo{
        .name = "FORCED", .type = SymbolType::kBool, .prompt = "forced", .selected_by = kForcedBy},
    SymbolInfo{.name = "SUGGESTED",
               .type = SymbolType::kBool,
               .prompt = "suggested",
               .implied_by = kImpliedBy},
    SymbolInfo{.name = "DERIVED", .type = SymbolType::kString, .defaults = kDerivedDefaults},
    SymbolInfo{.name = "DEEP", .type = SymbolType::kString, .prompt = "deep", .depends = "BIG"},
    SymbolInfo{.name = "RED", .type = SymbolType::kBool, .prompt = "red", .choice = "COLOR"},
    SymbolInfo{.name = "GREEN", .type = SymbolType::kBool, .prompt = "green", .choice = "COLOR"},
    SymbolInfo{.name = "BLUE",
               .type = SymbolType::kBool,
               .prompt = "blue",
               .depends = "BIG",
               .choice = "COLOR"},
    SymbolInfo{.name = "HAVE_ENV", .type = SymbolType::kString, .env = "HAVE_ENV"},
    SymbolInfo{.name = "MACHINE", .type = SymbolType::kBool, .defaults = kMachineDefaults},
};
constexpr std::array<std::string_view, 3> kColors = {"RED", "GREEN", "BLUE"};
constexpr std::array kColorDefaults = {Conditional{"BLUE", "BIG"}, Conditional{"GREEN", ""}};
constexpr std::array kChoicesOfTree = {
    ChoiceInfo{.name = "COLOR",
               .prompt = "color",
               .condition = "!FORCED || BIG",
               .members = kColors,
               .defaults = kColorDefaults},
};

Evaluation evaluate(Values user) {
    return Evaluation({kSymbolsOfTree, kChoicesOfTree}, std::move(user));
}

std::string value(Values user, std::string_view name) {
    return evaluate(std::move(user)).of(name).value;
}

TEST(Evaluation, FirstDefaultWhoseConditionHoldsCounts) {
    EXPECT_EQ(value({}, "WIDTH"), "8");
    EXPECT_EQ(value({{"BIG", "y"}}, "WIDTH"), "64");
}

TEST(Evaluation, IntsAreClampedToTheFirstRangeThatHolds) {
    EXPECT_EQ(value({{"WIDTH", "40"}}, "WIDTH"), "16");
    EXPECT_EQ(value({{"WIDTH", "0"}}, "WIDTH"), "1");
    EXPECT_EQ(value({{"WIDTH", "8"}, {"BIG", "y"}}, "WIDTH"), "32");
}

TEST(Evaluation, SelectForcesAndImplySuggests) {
    EXPECT_EQ(value({{"BIG", "y"}, {"FORCED", "n"}}, "FORCED"), "y");
    EXPECT_EQ(value({{"BIG", "y"}}, "SUGGESTED"), "y");
    EXPECT_EQ(value({{"BIG", "y"}, {"SUGGESTED", "n"}}, "SUGGESTED"), "n");
}

TEST(Evaluation, SymbolWithoutPromptIgnoresTheUser) {
    EXPECT_EQ(value({{"DERIVED", "mine"}}, "DERIVED"), "narrow");
    EXPECT_EQ(value({{"BIG", "y"}}, "DERIVED"), "wide");
}

TEST(Evaluation, UnmetDependencyLeavesNoValue) {
    Evaluation evaluation = evaluate({{"DEEP", "text"}});
    EXPECT_EQ(evaluation.of("DEEP").value, "");
    EXPECT_FALSE(evaluation.of("DEEP").active);
    EXPECT_FALSE(evaluation.of("DEEP").visible);
}

TEST(Evaluation, ChoiceHasOneMemberOn) {
    EXPECT_EQ(value({}, "GREEN"), "y");
    EXPECT_EQ(value({{"RED", "y"}}, "RED"), "y");
    EXPECT_EQ(value({{"RED", "y"}}, "GREEN"), "n");
    EXPECT_EQ(value({{"BIG", "y"}}, "BLUE"), "y");
    // A member whose dependency is off cannot be had.
    EXPECT_EQ(value({{"BLUE", "y"}}, "GREEN"), "y");
}

TEST(Evaluation, ChoiceThatIsNotVisibleHasNoMemberOn) {
    Evaluation evaluation = evaluate({{"FORCED", "y"}});
    for (const std::string_view color : kColors)
        EXPECT_EQ(evaluation.of(color).value, "n") << color;
    EXPECT_EQ(evaluation.selected(kChoicesOfTree[0]), "");
}

TEST(Evaluation, DefaultOfASymbolLeavesItsUserValueAside) {
    Evaluation evaluation = evaluate({{"WIDTH", "3"}, {"RED", "y"}});
    EXPECT_EQ(evaluation.of("WIDTH").value, "3");
    EXPECT_EQ(evaluation.default_of(*evaluation.find("WIDTH")), "8");
    EXPECT_EQ(evaluation.default_of(*evaluation.find("GREEN")), "y");
}

TEST(Evaluation, FactsOfTheBuildMachineAreTakenFromTheFile) {
    EXPECT_EQ(value({}, "MACHINE"), "n");
    EXPECT_EQ(value({{"MACHINE", "y"}}, "MACHINE"), "y");
}

TEST(Evaluation, UnknownNameIsOurMistake) {
    EXPECT_THROW(evaluate({}).of("NOBODY"), std::logic_error);
}

}  // namespace
}  // namespace knlp::config
