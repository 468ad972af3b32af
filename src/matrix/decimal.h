#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::matrix {

/// A number as it is written: digits * 10^-decimals, exactly.
struct Decimal {
    int64_t digits = 0;
    int64_t decimals = 0;
};

/// [+-]?digits[.digits][e[+-]digits] of at most 15 digits in plain notation, with at most 15
/// decimals; nullopt for anything else.
std::optional<Decimal> parse_decimal(std::string_view text);

/// Plain notation with exactly its decimals: "0.10".
std::string decimal_text(const Decimal& number);

constexpr int64_t kMaxRangeValues = 1000;

/// lo, lo + step, … up to hi, each written with the decimals of the step. Error{kUsage} where the
/// step does not lead from lo to hi, lo has more decimals than the step, or there are more than
/// kMaxRangeValues; `where` begins the message.
std::vector<std::string> decimal_range(const Decimal& lo, const Decimal& step, const Decimal& hi,
                                       const std::string& where);

}  // namespace knlp::matrix
