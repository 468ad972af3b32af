#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include "src/data/utf8.h"

namespace knlp::test {

/// Root of the source tree.
inline std::filesystem::path source_root() {
    const char* path = std::getenv("KNLP_SRC");
    return path != nullptr ? path : ".";
}

inline std::string random_bytes(std::mt19937_64& random, size_t n) {
    std::string out(n, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
}

/// Text of what a word splitter finds hard: runs of white space of all kinds, apostrophes, digits,
/// letters and symbols of many scripts.
inline std::string random_text(std::mt19937_64& random, size_t n_pieces) {
    static const std::string kPieces[] = {"a",      "Z",      "word",   " ",
                                          " ",      "  ",     "\n",     "\r\n",
                                          "\t",     "'",      "'s",     "'S",
                                          "'ll",    "'re",    "'ve",    "'d",
                                          "'x",     "1",      "42",     "!",
                                          "...",    "_",      "é",      "ß",
                                          "日",     "本",     "한",     "🙂",
                                          "½",      "٣",      "\u0301", "\u00a0",
                                          "\u2003", "\u3000", "\u0085", "\u180e",
                                          "\u200b", "\u200d", "\ufeff", "Ⅷ",
                                          "²",      "\x1f",   "\x0b",   "<|endoftext|>",
                                          "n't",    "I'm"};
    std::string out;
    for (size_t i = 0; i < n_pieces; ++i) {
        if (random() % 16 != 0) {
            out += kPieces[random() % std::size(kPieces)];
            continue;
        }
        uint32_t code_point = static_cast<uint32_t>(random() % 0x110000);
        if (code_point >= 0xD800 && code_point < 0xE000) code_point = 0xFFFD;
        data::append_utf8(out, code_point);
    }
    return out;
}

}  // namespace knlp::test
