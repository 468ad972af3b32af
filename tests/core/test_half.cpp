#include "knlp/core/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace knlp {
namespace {

/// Value of a code with `exponent_bits` and `mantissa_bits` by the formula of IEEE 754.
double value_of(uint32_t code, int exponent_bits, int mantissa_bits) {
    const uint32_t mantissa = code & ((1u << mantissa_bits) - 1);
    const int exponent = static_cast<int>((code >> mantissa_bits) & ((1u << exponent_bits) - 1));
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const double sign = (code >> (exponent_bits + mantissa_bits)) != 0 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                             : sign * std::numeric_limits<double>::infinity();
    const double fraction = mantissa / std::ldexp(1.0, mantissa_bits) + (exponent != 0 ? 1 : 0);
    return sign * std::ldexp(fraction, std::max(exponent, 1) - bias);
}

struct Format {
    const char* name;
    int exponent_bits, mantissa_bits;
    float (*to)(uint16_t);
    uint16_t (*from)(float);
};

class HalfFormat : public testing::TestWithParam<Format> {};

TEST_P(HalfFormat, EveryCodeHasTheValueOfTheFormulaAndComesBack) {
    const Format& f = GetParam();
    for (uint32_t code = 0; code < 65536; ++code) {
        const float value = f.to(static_cast<uint16_t>(code));
        const double wanted = value_of(code, f.exponent_bits, f.mantissa_bits);
        if (std::isnan(wanted)) {
            ASSERT_TRUE(std::isnan(value)) << code;
            ASSERT_TRUE(std::isnan(f.to(f.from(value)))) << code;
            continue;
        }
        ASSERT_EQ(static_cast<double>(value), wanted) << code;
        ASSERT_EQ(std::signbit(value), code >= 0x8000) << code;
        ASSERT_EQ(f.from(value), code);
    }
}

// Between two neighbouring codes everything below the middle goes down, above it up, and the middle
// itself to the even code; this covers every rounding decision of the format.
TEST_P(HalfFormat, RoundsToNearestTiesToEven) {
    const Format& f = GetParam();
    const uint32_t infinity = ((1u << f.exponent_bits) - 1) << f.mantissa_bits;
    for (uint32_t code = 0; code + 1 < infinity; ++code) {
        const float low = f.to(static_cast<uint16_t>(code)),
                    high = f.to(static_cast<uint16_t>(code + 1));
        const float middle = static_cast<float>((double{low} + double{high}) / 2);
        const uint32_t even = code % 2 == 0 ? code : code + 1;
        for (const uint32_t sign : {0u, 0x8000u}) {
            const float s = sign != 0 ? -1.0f : 1.0f;
            // The subnormal middle of bf16 is a float of its own, so no value is lost here.
            ASSERT_EQ(f.from(s * middle), even | sign) << code;
            ASSERT_EQ(f.from(s * std::nextafter(middle, low)), code | sign) << code;
            ASSERT_EQ(f.from(s * std::nextafter(middle, high)), (code + 1) | sign) << code;
        }
    }
}

TEST_P(HalfFormat, TooLargeValuesBecomeInfinity) {
    const Format& f = GetParam();
    const uint16_t infinity =
        static_cast<uint16_t>(((1u << f.exponent_bits) - 1) << f.mantissa_bits);
    const double largest = f.to(static_cast<uint16_t>(infinity - 1));
    const double before = f.to(static_cast<uint16_t>(infinity - 2));
    const float limit = static_cast<float>(largest + (largest - before) / 2);
    EXPECT_EQ(f.from(limit), infinity);
    EXPECT_EQ(f.from(-limit), infinity | 0x8000);
    EXPECT_EQ(f.from(std::nextafter(limit, 0.0f)), infinity - 1);
    EXPECT_EQ(f.from(std::numeric_limits<float>::infinity()), infinity);
    EXPECT_EQ(f.from(std::numeric_limits<float>::max()), infinity);
}

TEST_P(HalfFormat, NanNeverBecomesInfinity) {
    const Format& f = GetParam();
    for (const uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0x7fc00000u, 0x7f80ffffu}) {
        EXPECT_TRUE(std::isnan(f.to(f.from(std::bit_cast<float>(bits))))) << std::hex << bits;
    }
}

INSTANTIATE_TEST_SUITE_P(Both, HalfFormat,
                         testing::Values(Format{"f16", 5, 10, f16_to_f32, f32_to_f16},
                                         Format{"bf16", 8, 7, bf16_to_f32, f32_to_bf16}),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace knlp
