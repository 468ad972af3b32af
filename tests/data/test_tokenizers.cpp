#include "knlp/core/file.h"
#include "knlp/data/tokenizer.h"
#include "tests/data/texts.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

namespace knlp {
namespace {

using test::expect_error;
using Ids = std::vector<int32_t>;

TEST(ByteTokenizer, IdsAreTheBytes) {
    const auto tokenizer = data::make_byte_tokenizer();
    EXPECT_EQ(tokenizer->encode("A\xFF\n"), (Ids{65, 255, 10}));
    EXPECT_EQ(tokenizer->vocab_size(), 257);
    EXPECT_EQ(tokenizer->eot(), 256);
}

TEST(ByteTokenizer, DecodeUndoesEncodeForAllBytes) {
    const auto tokenizer = data::make_byte_tokenizer();
    std::mt19937_64 random(5);
    const std::string bytes = test::random_bytes(random, 5000);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes)), bytes);
}

TEST(ByteTokenizer, EncodeAppends) {
    Ids ids = {1};
    data::make_byte_tokenizer()->encode("b", ids);
    EXPECT_EQ(ids, (Ids{1, 98}));
}

TEST(CharTokenizer, IdsAreTheSortedCodePoints) {
    const auto tokenizer = data::make_char_tokenizer("日bé🙂ab");
    EXPECT_EQ(tokenizer->vocab_size(), 5);
    EXPECT_EQ(tokenizer->encode("abé日🙂"), (Ids{0, 1, 2, 3, 4}));
    EXPECT_EQ(tokenizer->decode(Ids{4, 3, 2, 1, 0}), "🙂日éba");
    EXPECT_EQ(tokenizer->eot(), -1);
}

TEST(CharTokenizer, RefusesACharacterItHasNotSeen) {
    const auto tokenizer = data::make_char_tokenizer("ab");
    expect_error(kData, {"U+00E9", "byte 2"}, [&] { tokenizer->encode("abé"); });
}

TEST(CharTokenizer, RefusesWhatIsNotText) {
    expect_error(kData, {"0xff", "offset 1", "UTF-8"}, [] { data::make_char_tokenizer("a\xFF"); });
    const auto tokenizer = data::make_char_tokenizer("ab");
    expect_error(kData, {"0x80", "offset 2"}, [&] { tokenizer->encode("ab\x80"); });
}

TEST(CharTokenizer, LeavesEndOfTextAsCharacters) {
    const auto tokenizer = data::make_char_tokenizer("<|endoftext|>");
    EXPECT_EQ(tokenizer->decode(tokenizer->encode_with_special("<|endoftext|>")), "<|endoftext|>");
}

TEST(Tokenizers, SavedOnesLoadEqual) {
    const auto byte = data::make_byte_tokenizer();
    const auto character = data::make_char_tokenizer("hello, wörld\n\"\\");
    for (const data::Tokenizer* tokenizer : {byte.get(), character.get()}) {
        const test::TempDir dir;
        tokenizer->save(dir.path());
        const auto loaded = data::load_tokenizer(dir.path());
        EXPECT_EQ(loaded->kind(), tokenizer->kind());
        EXPECT_EQ(loaded->sha256(), tokenizer->sha256());
        EXPECT_EQ(loaded->encode("hello"), tokenizer->encode("hello"));
    }
    EXPECT_NE(byte->sha256(), character->sha256());
}

TEST(Tokenizers, IdOutsideTheVocabularyIsRefused) {
    const auto byte = data::make_byte_tokenizer();
    expect_error(kData, {"257", "vocabulary 257"}, [&] { byte->decode(Ids{257}); });
    expect_error(kData, {"-1"}, [&] { byte->decode(Ids{-1}); });
    expect_error(kData, {"2", "vocabulary 2"},
                 [&] { data::make_char_tokenizer("ab")->decode(Ids{2}); });
}

TEST(Tokenizers, ForeignTokenizerJsonIsRefusedByItsType) {
    const test::TempDir dir;
    for (const std::string text :
         {"{\"type\":\"knlp.word\"}", "{}", "[]", "{\"type\":3}", "{\"type\":\"knlp.char\"}"}) {
        write_file_atomic(dir.file("tokenizer.json"), text);
        expect_error(kData, {"tokenizer.json", "knlp.byte"},
                     [&] { data::load_tokenizer(dir.path()); });
    }
    write_file_atomic(dir.file("tokenizer.json"), "{\"type\":\"knlp.char\",\"characters\":\"aa\"}");
    expect_error(kData, {"U+0061", "twice"}, [&] { data::load_tokenizer(dir.path()); });
}

}  // namespace
}  // namespace knlp
