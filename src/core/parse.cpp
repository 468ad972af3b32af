#include "knlp/core/parse.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <string>

namespace knlp {

namespace {

size_t count_digits(std::string_view text) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
}

/// Length of digits[.digits][e[+-]digits] at the start of text, 0 when it does not start so.
size_t match_real(std::string_view text, bool exponent) {
    size_t length = count_digits(text);
    if (length == 0) return 0;
    if (length < text.size() && text[length] == '.') {
        const size_t fraction = count_digits(text.substr(length + 1));
        if (fraction == 0) return 0;
        length += 1 + fraction;
    }
    if (!exponent || length == text.size() || (text[length] != 'e' && text[length] != 'E'))
        return length;
    size_t at = length + 1;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    const size_t digits = count_digits(text.substr(at));
    return digits == 0 ? 0 : at + digits;
}

template <class Number>
std::optional<Number> convert(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::string_view without_plus(std::string_view text) {
    return !text.empty() && text[0] == '+' ? text.substr(1) : text;
}

}  // namespace

std::optional<int64_t> parse_int(std::string_view text) {
    const std::string_view digits =
        !text.empty() && (text[0] == '+' || text[0] == '-') ? text.substr(1) : text;
    if (digits.empty() || count_digits(digits) != digits.size()) return std::nullopt;
    return convert<int64_t>(without_plus(text));
}

std::optional<uint64_t> parse_unsigned(std::string_view text) {
    if (text.empty() || count_digits(text) != text.size()) return std::nullopt;
    return convert<uint64_t>(text);
}

std::optional<double> parse_real(std::string_view text) {
    const std::string_view number =
        !text.empty() && (text[0] == '+' || text[0] == '-') ? text.substr(1) : text;
    if (number.empty() || match_real(number, true) != number.size()) return std::nullopt;
    return convert<double>(without_plus(text));
}

std::optional<int64_t> parse_bytes(std::string_view text) {
    const size_t length = match_real(text, false);
    if (length == 0) return std::nullopt;
    const std::optional<double> number = convert<double>(text.substr(0, length));
    std::string suffix(text.substr(length));
    std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });

    struct Unit {
        std::string_view name;
        double bytes;
    };
    static constexpr std::array<Unit, 14> kUnits = {{{"", 1},
                                                     {"b", 1},
                                                     {"k", 0x1p10},
                                                     {"kib", 0x1p10},
                                                     {"kb", 1e3},
                                                     {"m", 0x1p20},
                                                     {"mib", 0x1p20},
                                                     {"mb", 1e6},
                                                     {"g", 0x1p30},
                                                     {"gib", 0x1p30},
                                                     {"gb", 1e9},
                                                     {"t", 0x1p40},
                                                     {"tib", 0x1p40},
                                                     {"tb", 1e12}}};
    for (const Unit& unit : kUnits) {
        if (unit.name != suffix || !number) continue;
        // Plain digits are exact beyond 2^53 too.
        if (unit.bytes == 1 && text.substr(0, length).find('.') == std::string_view::npos)
            return parse_int(text.substr(0, length));
        const double bytes = std::floor(*number * unit.bytes);
        if (!(bytes < 0x1p63)) return std::nullopt;
        return static_cast<int64_t>(bytes);
    }
    return std::nullopt;
}

}  // namespace knlp
