#include "src/matrix/decimal.h"

#include "knlp/core/error.h"
#include "tests/support/expect_error.h"

#include <gtest/gtest.h>

namespace knlp::matrix {
namespace {

using Texts = std::vector<std::string>;

Texts range(const char* lo, const char* step, const char* hi) {
    return decimal_range(*parse_decimal(lo), *parse_decimal(step), *parse_decimal(hi), "axes");
}

TEST(Decimal, TextIsWhatWasParsedInPlainNotation) {
    for (const char* text : {"0", "1", "-1", "0.10", "-0.05", "12.500", "100"})
        EXPECT_EQ(decimal_text(*parse_decimal(text)), text);
    EXPECT_EQ(decimal_text(*parse_decimal("6e-4")), "0.0006");
    EXPECT_EQ(decimal_text(*parse_decimal("1.5e2")), "150");
    EXPECT_EQ(decimal_text(*parse_decimal("2.50e1")), "25.0");
}

TEST(Decimal, RefusesWhatItCannotHold) {
    for (const char* text : {"", "x", "1:2", "nan", "1e-16", "1234567890123456", "1e99", "0x10"})
        EXPECT_FALSE(parse_decimal(text)) << text;
}

TEST(DecimalRange, KeepsTheDecimalsOfTheStep) {
    EXPECT_EQ(range("0", "0.05", "0.1"), (Texts{"0.00", "0.05", "0.10"}));
    EXPECT_EQ(range("1", "1", "3"), (Texts{"1", "2", "3"}));
    EXPECT_EQ(range("1e-4", "1e-4", "3e-4"), (Texts{"0.0001", "0.0002", "0.0003"}));
}

TEST(DecimalRange, IsExactWhereBinaryFractionsAreNot) {
    const Texts values = range("0.1", "0.1", "1.0");
    ASSERT_EQ(values.size(), 10u);
    EXPECT_EQ(values[2], "0.3");
    EXPECT_EQ(values.back(), "1.0");
}

TEST(DecimalRange, EndsAtOrBeforeItsEnd) {
    EXPECT_EQ(range("1", "2", "6"), (Texts{"1", "3", "5"}));
    EXPECT_EQ(range("5", "1", "5"), (Texts{"5"}));
}

TEST(DecimalRange, CountsDown) {
    EXPECT_EQ(range("0.2", "-0.1", "-0.1"), (Texts{"0.2", "0.1", "0.0", "-0.1"}));
}

TEST(DecimalRange, RefusesWhatLeadsNowhere) {
    for (const auto& [lo, step, hi] :
         {std::tuple{"1", "0", "2"}, std::tuple{"2", "1", "1"}, std::tuple{"1", "-1", "2"}})
        test::expect_error(kUsage, {"axes", "start:step:end"},
                           [&, lo = lo, step = step, hi = hi] { range(lo, step, hi); });
    test::expect_error(kUsage, {"more decimals than its step"}, [] { range("0.5", "1", "3"); });
    test::expect_error(kUsage, {"more than 1000"}, [] { range("0", "1", "5000"); });
}

}  // namespace
}  // namespace knlp::matrix
