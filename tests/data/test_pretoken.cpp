#include "src/data/pretoken.h"

#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "tests/data/pcre2_words.h"
#include "tests/data/texts.h"
#include "tests/support/public_data.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace knlp {
namespace {

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    data::WordSplitter splitter(text);
    for (std::string_view word = splitter.next(); !word.empty(); word = splitter.next())
        words.push_back(word);
    return words;
}

TEST(WordSplitter, ClassesEveryCodePointAsPcre2Does) {
    if (test::Pcre2Words::unicode_version().rfind("14.", 0) != 0)
        GTEST_SKIP() << "PCRE2 has Unicode " << test::Pcre2Words::unicode_version()
                     << ", the tables have 14";
    const test::Pcre2Words reference;
    std::string text;
    for (uint32_t code_point = 1; code_point < 0x110000; ++code_point) {
        if (code_point >= 0xD800 && code_point < 0xE000) continue;
        // Between a letter, a digit and a symbol each class breaks the word in its own places.
        text.assign("a");
        for (const char* after : {"b", "1", "!"}) {
            data::append_utf8(text, code_point);
            text += after;
        }
        ASSERT_EQ(words_of(text), reference(text)) << "U+" << std::hex << code_point;
    }
}

TEST(WordSplitter, SplitsRandomTextAsPcre2Does) {
    const test::Pcre2Words reference;
    for (uint64_t seed = 1; seed <= 300; ++seed) {
        std::mt19937_64 random(seed);
        const std::string text = test::random_text(random, 200);
        ASSERT_EQ(words_of(text), reference(text)) << "seed " << seed;
    }
}

TEST(WordSplitter, SplitsRealTextAsPcre2Does) {
    KNLP_NEEDS_PUBLIC_DATA();
    const std::string text = read_file(test::public_data() / "wikitext2-test.txt");
    EXPECT_EQ(words_of(text), test::Pcre2Words()(text));
}

TEST(WordSplitter, SplitsAsAnIndependentProgramDoes) {
    const nlohmann::json golden = read_json(test::source_root() / "tests/golden/bpe_train.json");
    const std::string text = golden.at("text");
    std::vector<std::string> expected;
    for (const std::string word : golden.at("words")) expected.push_back(base64_decode(word));
    const std::vector<std::string_view> words = words_of(text);
    EXPECT_EQ(std::vector<std::string>(words.begin(), words.end()), expected);
}

TEST(WordSplitter, JoinedWordsAreTheBytes) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        std::mt19937_64 random(seed);
        const std::string bytes = test::random_bytes(random, 300);
        std::string joined;
        for (const std::string_view word : words_of(bytes)) joined += word;
        ASSERT_EQ(joined, bytes) << "seed " << seed;
    }
}

TEST(WordSplitter, InvalidByteStandsAloneAndSplitsTheText) {
    // Overlong, surrogate, above U+10FFFF, cut short, lone continuation.
    for (const std::string bad :
         {"\xC0", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80", "\xFF"}) {
        const std::string left = "it's  ", right = " two\n";
        std::vector<std::string_view> expected = words_of(left);
        for (size_t i = 0; i < bad.size(); ++i)
            expected.push_back(std::string_view(bad).substr(i, 1));
        for (const std::string_view word : words_of(right)) expected.push_back(word);
        EXPECT_EQ(words_of(left + bad + right), expected) << bad;
    }
}

}  // namespace
}  // namespace knlp
