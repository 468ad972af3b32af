#include "knlp/core/parse.h"

#include <gtest/gtest.h>

#include <clocale>
#include <cstdint>
#include <limits>
#include <string>

namespace knlp {
namespace {

TEST(ParseInt, TakesTheWholeRange) {
    EXPECT_EQ(parse_int("0"), 0);
    EXPECT_EQ(parse_int("+12"), 12);
    EXPECT_EQ(parse_int("-9223372036854775808"), std::numeric_limits<int64_t>::min());
    EXPECT_EQ(parse_int("9223372036854775807"), std::numeric_limits<int64_t>::max());
    EXPECT_EQ(parse_unsigned("18446744073709551615"), std::numeric_limits<uint64_t>::max());
}

TEST(ParseInt, RefusesEverythingElse) {
    for (const char* text : {"", "-", "+", "+-1", "-+1", "--1", " 1", "1 ", "1.0", "0x10", "1e3",
                             "1_000", "9223372036854775808", "-9223372036854775809", "one"})
        EXPECT_EQ(parse_int(text), std::nullopt) << "'" << text << "'";
    for (const char* text : {"", "-1", "+1", "18446744073709551616"})
        EXPECT_EQ(parse_unsigned(text), std::nullopt) << "'" << text << "'";
}

TEST(ParseInt, RefusesEmbeddedNul) {
    EXPECT_EQ(parse_int(std::string_view("1\0002", 3)), std::nullopt);
}

TEST(ParseReal, FollowsTheGrammar) {
    EXPECT_EQ(parse_real("6e-4"), 6e-4);
    EXPECT_EQ(parse_real("+0.5"), 0.5);
    EXPECT_EQ(parse_real("-1.25E+2"), -125.0);
    EXPECT_EQ(parse_real("3"), 3.0);
    EXPECT_EQ(parse_real("0.1"), 0.1);
}

TEST(ParseReal, RefusesEverythingElse) {
    for (const char* text : {"", ".", ".5", "5.", "e3", "1e", "1e+", "inf", "nan", "-inf", "0x1p3",
                             "1,5", " 1", "1 ", "1e999", "-1e999", "+-1", "1.2.3"})
        EXPECT_EQ(parse_real(text), std::nullopt) << "'" << text << "'";
}

TEST(ParseReal, IgnoresTheLocale) {
    const std::string before = std::setlocale(LC_NUMERIC, nullptr);
    // Where no such locale is installed the call changes nothing and the test still holds.
    std::setlocale(LC_NUMERIC, "de_DE.UTF-8");
    EXPECT_EQ(parse_real("1.5"), 1.5);
    std::setlocale(LC_NUMERIC, before.c_str());
}

TEST(ParseBytes, KnowsItsUnits) {
    EXPECT_EQ(parse_bytes("0"), 0);
    EXPECT_EQ(parse_bytes("512"), 512);
    EXPECT_EQ(parse_bytes("64MiB"), int64_t{64} << 20);
    EXPECT_EQ(parse_bytes("64m"), int64_t{64} << 20);
    EXPECT_EQ(parse_bytes("1.5G"), (int64_t{3} << 30) / 2);
    EXPECT_EQ(parse_bytes("2KB"), 2000);
    EXPECT_EQ(parse_bytes("3TB"), 3000000000000);
    EXPECT_EQ(parse_bytes("9223372036854775807"), std::numeric_limits<int64_t>::max());
}

TEST(ParseBytes, RefusesEverythingElse) {
    for (const char* text :
         {"", "-1", "1 KB", "KB", "1x", "1.K", "99999999T", "1e3", "9223372036854775808"})
        EXPECT_EQ(parse_bytes(text), std::nullopt) << "'" << text << "'";
}

}  // namespace
}  // namespace knlp
