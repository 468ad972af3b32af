#pragma once

#include "src/data/unicode.h"

#include <string_view>
#include <vector>

namespace knlp::data {

/// Splits text into words as GPT-2 does before its byte-pair merges:
///   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+     (\s =
///   White_Space)
/// Each byte that is not part of well-formed UTF-8 is a word of its own, and what lies before and
/// after it is split as if it were a text of its own. The words, joined, are the text.
class WordSplitter {
public:
    explicit WordSplitter(std::string_view text)
        : at_(reinterpret_cast<const unsigned char*>(text.data())),
          end_(at_ + text.size()),
          classes_(class_table()) {}

    /// The next word; empty at the end.
    std::string_view next() {
        const unsigned char* const begin = at_;
        if (begin != end_) at_ = word_end(begin);
        return {reinterpret_cast<const char*>(begin), static_cast<size_t>(at_ - begin)};
    }

private:
    /// Class of the code point at p < end_ and its length; length 0 when the byte is not UTF-8.
    CharClass classify(const unsigned char* p, int& length) const;
    const unsigned char* word_end(const unsigned char* p) const;
    const unsigned char* run_end(const unsigned char* p, CharClass wanted) const;
    const unsigned char* space_end(const unsigned char* p) const;

    const unsigned char* at_;
    const unsigned char* end_;
    const ClassTable& classes_;
};

/// Cuts text into pieces of about piece_bytes whose words, one piece after the other, are the words
/// of the whole: between an ASCII letter and a blank or newline. Text without such a place stays
/// whole.
std::vector<std::string_view> cut_at_words(std::string_view text, size_t piece_bytes);

}  // namespace knlp::data
