#include "src/config/semantic.h"

#include <gtest/gtest.h>

#include <clocale>

namespace knlp::config {
namespace {

std::string code(std::string_view type, std::string_view value) {
    return check_semantic(type, value).code;
}

TEST(SemanticType, FloatIntervalsAreOpenAndClosedAsWritten) {
    EXPECT_EQ(code("float[0,1)", "0"), "");
    EXPECT_EQ(code("float[0,1)", "0.999"), "");
    EXPECT_EQ(code("float[0,1)", "1"), "E_RANGE");
    EXPECT_EQ(code("float(0,100]", "0"), "E_RANGE");
    EXPECT_EQ(code("float(0,100]", "1e2"), "");
    EXPECT_EQ(code("float(0,1e12]", "1e13"), "E_RANGE");
    EXPECT_EQ(code("float", "-7.5"), "");
}

TEST(SemanticType, FloatGrammarHasNoInfinitiesBlanksOrCommas) {
    for (const char* text :
         {"", "inf", "nan", "1,5", " 1", "1 ", "0x1p3", "1e", ".5", "1.", "--1", "6e-4f", "1e999"})
        EXPECT_EQ(code("float", text), "E_TYPE") << text;
    for (const char* text : {"1", "+1", "-0.5", "6e-4", "1.25e+3", "007"})
        EXPECT_EQ(code("float", text), "") << text;
}

TEST(SemanticType, FloatsDoNotDependOnTheLocale) {
    const std::string before = std::setlocale(LC_ALL, nullptr);
    // Where no such locale is installed nothing changes, and the values must be read all the same.
    std::setlocale(LC_ALL, "de_DE.UTF-8");
    EXPECT_EQ(code("float[0,1)", "0.5"), "");
    EXPECT_EQ(code("float[0,1)", "0,5"), "E_TYPE");
    std::setlocale(LC_ALL, before.c_str());
}

TEST(SemanticType, EnumNamesTheNearestWord) {
    const ValueProblem problem = check_semantic("enum(bfloat16,float32)", "bfloat");
    EXPECT_EQ(problem.code, "E_TYPE");
    EXPECT_NE(problem.text.find("did you mean bfloat16?"), std::string::npos) << problem.text;
    EXPECT_EQ(code("enum(bfloat16,float32)", "float32"), "");
}

TEST(SemanticType, ListsAreCheckedElementByElement) {
    EXPECT_EQ(code("list(int)", "1,32, 128"), "");
    EXPECT_EQ(code("list(int)", ""), "");
    EXPECT_EQ(code("list(int)", "1,x"), "E_TYPE");
    EXPECT_EQ(code("list(int)", "1,,2"), "E_TYPE");
    EXPECT_EQ(code("list(enum a,b)", "a,b,a"), "");
    EXPECT_EQ(code("list(enum a,b)", "a,c"), "E_TYPE");
}

TEST(SemanticType, DevicesAndSizes) {
    for (const char* text : {"auto", "cpu", "cuda", "cuda:0", "cuda:7"})
        EXPECT_EQ(code("device", text), "") << text;
    for (const char* text : {"", "gpu", "cuda:", "cuda:-1", "cuda:99999"})
        EXPECT_EQ(code("device", text), "E_TYPE") << text;
    EXPECT_EQ(code("bytes", "512M"), "");
    EXPECT_EQ(code("bytes", "much"), "E_TYPE");
}

TEST(SemanticType, KconfigTypesHaveTheirGrammar) {
    const SymbolInfo flag{.name = "F", .type = SymbolType::kBool},
        number{.name = "N", .type = SymbolType::kInt}, mask{.name = "M", .type = SymbolType::kHex},
        text{.name = "T", .type = SymbolType::kString};
    for (const char* value : {"Y", "1", "m", "yes", ""})
        EXPECT_FALSE(check_type(flag, value).ok()) << value;
    for (const char* value : {"012", "+3", "1.5", "abc", "", "99999999999999999999", "12 "})
        EXPECT_FALSE(check_type(number, value).ok()) << value;
    EXPECT_TRUE(check_type(number, "-3").ok());
    EXPECT_TRUE(check_type(mask, "0xfF").ok());
    // The engine reads a bare 255 as 0x255.
    for (const char* value : {"255", "0x", "0xg"})
        EXPECT_FALSE(check_type(mask, value).ok()) << value;
    EXPECT_TRUE(check_type(text, "a \"b\" \\ ü #").ok());
    EXPECT_FALSE(check_type(text, "two\nlines").ok());
}

TEST(SemanticType, TextIsAnyLine) {
    EXPECT_TRUE(check_semantic("text", "").ok());
    EXPECT_TRUE(check_semantic("text", "--a=\"b\" ü|;").ok());
    EXPECT_EQ(check_semantic("text", "a\tb").code, "E_TYPE");
}

TEST(SemanticType, UnknownTypeIsOurMistake) {
    EXPECT_THROW(check_semantic("colour", "red"), std::logic_error);
}

}  // namespace
}  // namespace knlp::config
