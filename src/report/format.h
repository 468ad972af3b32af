#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace knlp::report {

/// `value` with this many significant digits, no trailing zeros cut: 3 -> "0.0512", "2.20", "218".
/// Below 1e-4 and from 1e9 on in scientific form. "not finite" for NaN and infinities.
std::string significant(double value, int digits);

/// 1,234,567.
std::string grouped(int64_t value);

/// Three digits and a decimal prefix: "950", "1.23 k", "45.6 M", "7.00 G".
std::string compact(double value);

/// Binary prefixes: "640 KiB", "1.21 GiB".
std::string bytes_text(double bytes);

/// Text made safe for HTML and XML, in attributes too: & < > " ' escaped; bytes that are not UTF-8
/// and characters XML forbids become U+FFFD.
std::string escape(std::string_view text);

/// UTF-8 repaired as by escape(), markup left alone.
std::string valid_text(std::string_view text);

/// First `max_bytes` of UTF-8 text, cut between characters.
std::string_view clip_text(std::string_view text, size_t max_bytes);

}  // namespace knlp::report
