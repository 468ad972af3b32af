#include "src/config/expr.h"

#include <gmock/gmock-more-matchers.h>
#include <gtest/gtest.h>

#include <map>

namespace knlp::config {
namespace {

Operand look_up(std::string_view name) {
    static const std::map<std::string_view, Operand> known = {
        {"A", {"y", SymbolType::kBool, true}},      {"B", {"n", SymbolType::kBool, true}},
        {"N", {"12", SymbolType::kInt, true}},      {"M", {"9", SymbolType::kInt, true}},
        {"S", {"text", SymbolType::kString, true}}, {"<choice C>", {"n", SymbolType::kBool, true}},
    };
    const auto found = known.find(name);
    return found == known.end() ? Operand{std::string(name), SymbolType::kString, false}
                                : found->second;
}

bool value(std::string_view text) {
    return evaluate_expression(text, look_up);
}

TEST(Expression, EmptyIsYes) {
    EXPECT_TRUE(value(""));
}

TEST(Expression, AndBindsTighterThanOrAndNotTighterThanBoth) {
    EXPECT_TRUE(value("A || B && B"));
    EXPECT_FALSE(value("(A || B) && B"));
    EXPECT_TRUE(value("!B && A"));
    EXPECT_FALSE(value("!(B || A)"));
    EXPECT_TRUE(value("!!A"));
}

TEST(Expression, IntegersCompareAsNumbers) {
    // As text "12" comes before "9".
    EXPECT_TRUE(value("N > M"));
    EXPECT_TRUE(value("N >= 12"));
    EXPECT_FALSE(value("N < 9"));
    EXPECT_TRUE(value("M <= 9"));
    EXPECT_TRUE(value("N != 13"));
}

TEST(Expression, OtherOperandsCompareAsText) {
    EXPECT_TRUE(value("S = \"text\""));
    EXPECT_TRUE(value("S != 'other'"));
    EXPECT_TRUE(value("A = y"));
    EXPECT_TRUE(value("B = \"n\""));
    EXPECT_TRUE(value("S > N"));
}

TEST(Expression, NumberOrStringAloneIsNo) {
    EXPECT_FALSE(value("N"));
    EXPECT_FALSE(value("S"));
    EXPECT_FALSE(value("UNDEFINED"));
    EXPECT_TRUE(value("y"));
    EXPECT_FALSE(value("n"));
}

TEST(Expression, ChoiceIsAskedByItsName) {
    EXPECT_TRUE(value("!<choice C>"));
}

TEST(Expression, FailingOperandsNameWhatStandsInTheWay) {
    EXPECT_THAT(failing_operands("A && B && N > 20", look_up),
                testing::ElementsAre("B is n", "N is 12, not > 20"));
    EXPECT_THAT(failing_operands("!A", look_up), testing::ElementsAre("A is y"));
    EXPECT_THAT(failing_operands("A || B", look_up), testing::IsEmpty());
}

TEST(Expression, SettingsThatHelpTurnBoolsOver) {
    EXPECT_THAT(settings_that_help("B && !A", look_up), testing::ElementsAre("B=y", "A=n"));
}

TEST(Expression, SymbolsAreFoundWithoutLiterals) {
    EXPECT_THAT(symbols_in("A && (N > 3 || S = \"x\")"), testing::ElementsAre("A", "N", "S"));
}

TEST(Expression, TextOutsideTheGrammarIsOurMistake) {
    for (const char* text : {"A &&", "(A", "A B", "&& A", "S = \"x", "A = "})
        EXPECT_THROW(value(text), std::logic_error) << text;
}

}  // namespace
}  // namespace knlp::config
