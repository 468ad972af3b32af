#include "decimal.h"

#include "knlp/core/error.h"
#include "knlp/core/parse.h"

#include <algorithm>
#include <cstdlib>

namespace knlp::matrix {
namespace {

constexpr int64_t kMaxDigits = 15;

int64_t power_of_ten(int64_t n) {
    int64_t power = 1;
    for (; n > 0; --n) power *= 10;
    return power;
}

/// The same number with more decimals; nullopt where it gets too long.
std::optional<int64_t> scaled(const Decimal& number, int64_t decimals) {
    const int64_t limit = power_of_ten(kMaxDigits + 2),
                  factor = power_of_ten(decimals - number.decimals);
    if (std::abs(number.digits) > limit / factor) return std::nullopt;
    return number.digits * factor;
}

}  // namespace

std::optional<Decimal> parse_decimal(std::string_view text) {
    if (!parse_real(text)) return std::nullopt;  // the grammar
    const size_t e = text.find_first_of("eE");
    const std::string_view mantissa = text.substr(0, e);
    std::string digits;
    int64_t decimals = 0;
    bool behind_point = false;
    for (const char c : mantissa) {
        if (c == '.') {
            behind_point = true;
        } else if (c != '+' && c != '-') {
            digits += c;
            decimals += behind_point;
        }
    }
    if (e != std::string_view::npos) decimals -= parse_int(text.substr(e + 1)).value_or(1000);
    for (; decimals < 0 && std::ssize(digits) <= kMaxDigits; ++decimals) digits += '0';
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
    if (std::ssize(digits) > kMaxDigits || decimals > kMaxDigits || decimals < 0)
        return std::nullopt;
    const int64_t magnitude = parse_int(digits).value();
    return Decimal{text.starts_with('-') ? -magnitude : magnitude, decimals};
}

std::string decimal_text(const Decimal& number) {
    std::string digits = std::to_string(std::abs(number.digits));
    const auto decimals = static_cast<size_t>(number.decimals);
    if (digits.size() <= decimals) digits.insert(0, decimals + 1 - digits.size(), '0');
    if (decimals > 0) digits.insert(digits.size() - decimals, 1, '.');
    return (number.digits < 0 ? "-" : "") + digits;
}

std::vector<std::string> decimal_range(const Decimal& lo, const Decimal& step, const Decimal& hi,
                                       const std::string& where) {
    const std::string range =
        fmt::format("{}:{}:{}", decimal_text(lo), decimal_text(step), decimal_text(hi));
    if (lo.decimals > step.decimals)
        fail(kUsage,
             "{}: {} starts at a value with more decimals than its step; write the step with as "
             "many",
             where, range);
    const int64_t decimals = std::max(step.decimals, hi.decimals);
    const auto first = scaled(lo, decimals), by = scaled(step, decimals),
               last = scaled(hi, decimals);
    if (!first || !by || !last) fail(kUsage, "{}: {} has too many digits", where, range);
    if (*by == 0 || (*last - *first) / *by < 0 || (*last < *first) != (*by < 0))
        fail(kUsage, "{}: {} does not lead from {} to {}; a range is start:step:end", where, range,
             decimal_text(lo), decimal_text(hi));
    const int64_t steps = (*last - *first) / *by;
    if (steps >= kMaxRangeValues)
        fail(kUsage, "{}: {} has {} values, more than {}", where, range, steps + 1,
             kMaxRangeValues);
    const int64_t begin = scaled(lo, step.decimals).value();
    std::vector<std::string> values;
    for (int64_t i = 0; i <= steps; ++i)
        values.push_back(decimal_text({begin + i * step.digits, step.decimals}));
    return values;
}

}  // namespace knlp::matrix
