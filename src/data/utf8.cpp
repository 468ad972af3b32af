#include "src/data/utf8.h"

#include "knlp/core/error.h"
#include "knlp/data/tokenizer.h"

#include <cstring>

namespace knlp::data {

namespace {

/// Bytes from `at` on that are ASCII, counted eight at a time.
size_t skip_ascii(std::string_view text, size_t at) {
    while (at + 8 <= text.size()) {
        uint64_t word;
        std::memcpy(&word, text.data() + at, 8);
        if ((word & 0x8080808080808080u) != 0) break;
        at += 8;
    }
    return at;
}

size_t find_invalid_from(std::string_view text, size_t at) {
    const auto* const begin = reinterpret_cast<const unsigned char*>(text.data());
    const unsigned char* const end = begin + text.size();
    while (at < text.size()) {
        at = skip_ascii(text, at);
        if (at == text.size()) break;
        uint32_t code_point;
        const int length = decode_utf8(begin + at, end, code_point);
        if (length == 0) return at;
        at += static_cast<size_t>(length);
    }
    return std::string_view::npos;
}

}  // namespace

void append_utf8(std::string& out, uint32_t code_point) {
    KNLP_CHECK(code_point <= 0x10FFFF && (code_point < 0xD800 || code_point >= 0xE000));
    const auto byte = [&out](uint32_t value) { out.push_back(static_cast<char>(value)); };
    if (code_point < 0x80) {
        byte(code_point);
    } else if (code_point < 0x800) {
        byte(0xC0 | code_point >> 6);
        byte(0x80 | (code_point & 0x3F));
    } else if (code_point < 0x10000) {
        byte(0xE0 | code_point >> 12);
        byte(0x80 | (code_point >> 6 & 0x3F));
        byte(0x80 | (code_point & 0x3F));
    } else {
        byte(0xF0 | code_point >> 18);
        byte(0x80 | (code_point >> 12 & 0x3F));
        byte(0x80 | (code_point >> 6 & 0x3F));
        byte(0x80 | (code_point & 0x3F));
    }
}

bool is_valid_utf8(std::string_view text) {
    return find_invalid_utf8(text) == std::string_view::npos;
}

size_t find_invalid_utf8(std::string_view text) {
    return find_invalid_from(text, 0);
}

std::string repair_utf8(std::string_view text, int64_t& replaced) {
    std::string out;
    size_t begin = 0;
    for (;;) {
        const size_t bad = find_invalid_from(text, begin);
        out += text.substr(begin, bad == std::string_view::npos ? bad : bad - begin);
        if (bad == std::string_view::npos) return out;
        out += "\xEF\xBF\xBD";
        ++replaced;
        begin = bad + 1;
    }
}

int64_t count_code_points(std::string_view text) {
    int64_t count = 0;
    for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
    return count;
}

}  // namespace knlp::data
