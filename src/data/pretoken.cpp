#include "src/data/pretoken.h"

#include "src/data/utf8.h"

#include <array>

namespace knlp::data {

namespace {

/// Classes of ASCII bytes; a byte >= 0x80 must be decoded.
constexpr auto kNotAscii = static_cast<CharClass>(255);

constexpr std::array<CharClass, 256> ascii_classes() {
    std::array<CharClass, 256> table{};
    for (size_t c = 0; c < 256; ++c) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const bool digit = c >= '0' && c <= '9';
        const bool space = c == ' ' || (c >= '\t' && c <= '\r');
        table[c] = c >= 0x80 ? kNotAscii
                   : letter  ? CharClass::kLetter
                   : digit   ? CharClass::kNumber
                   : space   ? CharClass::kSpace
                             : CharClass::kOther;
    }
    return table;
}
constexpr std::array<CharClass, 256> kAscii = ascii_classes();

/// Length of 's 't 're 've 'm 'll 'd at p, which points at the apostrophe; 0 when there is none.
int contraction_length(const unsigned char* p, const unsigned char* end) {
    if (end - p < 2) return 0;
    const unsigned char c = p[1];
    if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
    if (end - p < 3) return 0;
    const bool long_form =
        (c == 'r' && p[2] == 'e') || (c == 'v' && p[2] == 'e') || (c == 'l' && p[2] == 'l');
    return long_form ? 3 : 0;
}

}  // namespace

CharClass WordSplitter::classify(const unsigned char* p, int& length) const {
    const CharClass simple = kAscii[*p];
    if (simple != kNotAscii) {
        length = 1;
        return simple;
    }
    uint32_t code_point = 0;
    length = decode_utf8(p, end_, code_point);
    return length == 0 ? CharClass::kOther : classes_[code_point];
}

const unsigned char* WordSplitter::run_end(const unsigned char* p, CharClass wanted) const {
    for (;;) {
        while (p != end_ && kAscii[*p] == wanted) ++p;
        if (p == end_ || *p < 0x80) return p;
        int length;
        if (classify(p, length) != wanted || length == 0) return p;
        p += length;
    }
}

/// End of a word that starts with white space and is not " word": \s+(?!\S)|\s+
const unsigned char* WordSplitter::space_end(const unsigned char* p) const {
    const unsigned char* last = p;  // start of the last white space of the run
    const unsigned char* at = p;
    int length = 0;
    while (at != end_ && classify(at, length) == CharClass::kSpace) {
        last = at;
        at += length;
    }
    const bool text_ends = at == end_ || length == 0;
    // Before something that is not white space the last one is left to the word that follows.
    return text_ends || last == p ? at : last;
}

const unsigned char* WordSplitter::word_end(const unsigned char* p) const {
    if (*p == '\'')
        if (const int length = contraction_length(p, end_); length != 0) return p + length;

    const unsigned char* body = *p == ' ' && end_ - p > 1 ? p + 1 : p;
    int length;
    CharClass first = classify(body, length);
    if (body != p && (length == 0 || first == CharClass::kSpace)) return space_end(p);
    if (length == 0) return body + 1;  // a byte that is not UTF-8
    if (first == CharClass::kSpace) return space_end(p);
    return run_end(body + length, first);
}

std::vector<std::string_view> cut_at_words(std::string_view text, size_t piece_bytes) {
    std::vector<std::string_view> pieces;
    const auto letter_before = [&](size_t i) {
        return kAscii[static_cast<unsigned char>(text[i - 1])] == CharClass::kLetter;
    };
    while (text.size() > piece_bytes) {
        size_t cut = piece_bytes;
        while (cut < text.size() &&
               !((text[cut] == ' ' || text[cut] == '\n') && letter_before(cut)))
            ++cut;
        pieces.push_back(text.substr(0, cut));
        text.remove_prefix(cut);
    }
    if (!text.empty()) pieces.push_back(text);
    return pieces;
}

}  // namespace knlp::data
