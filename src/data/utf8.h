#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace knlp::data {

/// Length 1..4 of the well-formed UTF-8 sequence at the start of [p, end) and its code point; 0
/// when there is none (overlong, surrogate, above U+10FFFF, cut short). p < end.
inline int decode_utf8(const unsigned char* p, const unsigned char* end, uint32_t& code_point) {
    const uint32_t lead = p[0];
    if (lead < 0x80) {
        code_point = lead;
        return 1;
    }
    const int length = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (length == 0 || end - p < length) return 0;
    uint32_t value = lead & (0xFFu >> (length + 1));
    for (int i = 1; i < length; ++i) {
        if ((p[i] & 0xC0u) != 0x80u) return 0;
        value = value << 6 | (p[i] & 0x3Fu);
    }
    if (length == 3 && (value < 0x800 || (value >= 0xD800 && value < 0xE000))) return 0;
    if (length == 4 && (value < 0x10000 || value > 0x10FFFF)) return 0;
    code_point = value;
    return length;
}

void append_utf8(std::string& out, uint32_t code_point);

/// Byte offset of the first byte that is not well-formed UTF-8, or npos.
size_t find_invalid_utf8(std::string_view text);

/// Copies `text` with each byte that is not part of well-formed UTF-8 replaced by U+FFFD;
/// `replaced` grows by their number.
std::string repair_utf8(std::string_view text, int64_t& replaced);

/// Code points of valid UTF-8.
int64_t count_code_points(std::string_view text);

}  // namespace knlp::data
