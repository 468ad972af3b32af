#include "format.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace knlp::report {

std::string significant(double value, int digits) {
    if (!std::isfinite(value)) return "not finite";
    if (value == 0) return "0";
    const double size = std::abs(value);
    if (size < 1e-4 || size >= 1e9) return fmt::format("{:.{}e}", value, digits - 1);
    // Rounding may add a digit (9.996 -> 10.0), so the exponent is taken from the rounded text.
    const std::string rounded = fmt::format("{:.{}e}", size, digits - 1);
    const int exponent = std::stoi(rounded.substr(rounded.find('e') + 1));
    return fmt::format("{:.{}f}", value, std::max(0, digits - 1 - exponent));
}

std::string grouped(int64_t value) {
    const std::string digits = std::to_string(value);
    std::string out;
    for (size_t i = 0; i < digits.size(); ++i) {
        const bool boundary = i > 0 && digits[i - 1] != '-' && (digits.size() - i) % 3 == 0;
        if (boundary) out += ',';
        out += digits[i];
    }
    return out;
}

std::string compact(double value) {
    if (!std::isfinite(value)) return "not finite";
    constexpr std::array<const char*, 6> prefixes = {"", " k", " M", " G", " T", " P"};
    size_t step = 0;
    double scaled = value;
    // 999.5 would print as 1000: it belongs to the next prefix.
    while (std::abs(scaled) >= 999.5 && step + 1 < prefixes.size()) {
        scaled /= 1000;
        ++step;
    }
    if (step == 0 && scaled == std::floor(scaled)) return fmt::format("{:.0f}", scaled);
    return significant(scaled, 3) + prefixes[step];
}

std::string bytes_text(double bytes) {
    if (!std::isfinite(bytes)) return "unknown";
    constexpr std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t step = 0;
    while (std::abs(bytes) >= 1023.5 && step + 1 < units.size()) {
        bytes /= 1024;
        ++step;
    }
    return step == 0 ? fmt::format("{:.0f} B", bytes)
                     : fmt::format("{} {}", significant(bytes, 3), units[step]);
}

namespace {

/// Bytes of the well-formed UTF-8 character at the start of `text` that XML allows, or 0.
size_t character_length(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80)
        return lead >= 0x20 && lead != 0x7F ? 1 : (lead == '\n' || lead == '\t' ? 1 : 0);
    const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
    uint32_t point = lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
        point = point << 6 | (byte(i) & 0x3Fu);
    }
    const bool too_long = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
    const bool forbidden = (point >= 0xD800 && point <= 0xDFFF) || point > 0x10FFFF ||
                           (point >= 0x80 && point < 0xA0) || (point & 0xFFFE) == 0xFFFE;
    return too_long || forbidden ? 0 : length;
}

template <class Each>
void for_each_character(std::string_view text, Each each) {
    while (!text.empty()) {
        const size_t length = character_length(text);
        each(length == 0 ? std::string_view("\uFFFD") : text.substr(0, length));
        text.remove_prefix(length == 0 ? 1 : length);
    }
}

}  // namespace

std::string valid_text(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for_each_character(text, [&](std::string_view c) { out += c; });
    return out;
}

std::string escape(std::string_view text) {
    std::string out;
    out.reserve(text.size() + text.size() / 8);
    for_each_character(text, [&](std::string_view c) {
        switch (c[0]) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            case '\'':
                out += "&#39;";
                break;
            default:
                out += c;
        }
    });
    return out;
}

std::string_view clip_text(std::string_view text, size_t max_bytes) {
    if (text.size() <= max_bytes) return text;
    size_t end = max_bytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return text.substr(0, end);
}

}  // namespace knlp::report
