#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::test {

/// GPT-2's word pattern run by PCRE2 over valid UTF-8: what WordSplitter is compared with.
class Pcre2Words {
public:
    Pcre2Words() {
        // PCRE2's \s counts U+180E, which is not White_Space since Unicode 6.3.
        const std::string pattern =
            R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+)"
            R"(|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+)";
        int error = 0;
        PCRE2_SIZE offset = 0;
        code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
        if (code_ == nullptr) throw std::runtime_error("pcre2_compile failed");
        pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE);
        match_ = pcre2_match_data_create_from_pattern(code_, nullptr);
    }
    ~Pcre2Words() {
        pcre2_match_data_free(match_);
        pcre2_code_free(code_);
    }
    Pcre2Words(const Pcre2Words&) = delete;
    Pcre2Words& operator=(const Pcre2Words&) = delete;

    std::vector<std::string_view> operator()(std::string_view text) const {
        std::vector<std::string_view> words;
        for (size_t at = 0; at < text.size();) {
            const int found = pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()),
                                          text.size(), at, PCRE2_NO_UTF_CHECK, match_, nullptr);
            const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match_);
            if (found < 1 || span[0] != at) throw std::runtime_error("the pattern left a gap");
            words.push_back(text.substr(span[0], span[1] - span[0]));
            at = span[1];
        }
        return words;
    }

    static std::string unicode_version() {
        char text[64] = {};
        pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, text);
        return text;
    }

private:
    pcre2_code* code_ = nullptr;
    pcre2_match_data* match_ = nullptr;
};

}  // namespace knlp::test
