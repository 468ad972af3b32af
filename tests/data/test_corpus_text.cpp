#include "knlp/data/prepare.h"

#include "knlp/core/signals.h"
#include "tests/data/trees.h"
#include "tests/support/expect_error.h"
#include "tests/support/public_data.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <csignal>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using data::DatasetMeta;
using data::TextFormat;
using test::expect_error;
using test::write_text;

class TextImport : public testing::Test {
protected:
    DatasetMeta make(const std::vector<fs::path>& files, data::PrepareOptions options = {},
                     TextFormat format = TextFormat::kText) {
        options.force = true;
        return data::make_text(files, format, options, out());
    }
    std::string train() const { return test::text_of(out(), "train"); }
    std::string val() const { return test::text_of(out(), "val"); }
    fs::path out() const { return dir_.file("out"); }
    fs::path text(const std::string& name, const std::string& content) const {
        write_text(dir_.file(name), content);
        return dir_.file(name);
    }
    test::TempDir dir_;
};

TEST_F(TextImport, ShakespeareHasThePublishedCounts) {
    KNLP_NEEDS_PUBLIC_DATA();
    const fs::path file = test::public_data() / "tinyshakespeare.txt";
    const DatasetMeta chars = make({file}, {.tokenizer = "char"});
    EXPECT_EQ(chars.vocab_size, 65);
    EXPECT_EQ(chars.train_tokens, 1003854);
    EXPECT_EQ(chars.val_tokens, 111540);
    const DatasetMeta gpt2 = make(
        {file}, {.tokenizer = "gpt2", .tokenizer_files = test::public_data() / "gpt2.tiktoken"});
    EXPECT_EQ(gpt2.train_tokens, 301966);
    EXPECT_EQ(gpt2.val_tokens, 36059);
    EXPECT_EQ(gpt2.train_bytes + gpt2.val_bytes, 1115394);
}

TEST_F(TextImport, TailOfTheCharactersIsValidation) {
    make({text("a.txt", "éééééééxyz")}, {.val_fraction = 0.4});
    EXPECT_EQ(train(), "éééééé");
    EXPECT_EQ(val(), "éxyz");
}

TEST_F(TextImport, DocumentsAreJoinedByEndOfText) {
    make({text("b.txt", "first"), text("a.txt", "second"), text("c.txt", "third")},
         {.val_fraction = 0.3});
    EXPECT_EQ(train() + "|" + val(), "first<|endoftext|>second<|endoftext|>|third");
}

TEST_F(TextImport, ADocumentAcrossTheCutIsDividedWithoutEndOfText) {
    make({text("a.txt", "0123456789"), text("b.txt", "abcdefghij")}, {.val_fraction = 0.75});
    EXPECT_EQ(train(), "01234");
    EXPECT_EQ(val(), "56789<|endoftext|>abcdefghij");
}

TEST_F(TextImport, EndOfTextInTheTextCountsOnlyWhenAsked) {
    const fs::path file = text("s.txt", "one<|endoftext|>two<|endoftext|>three four five");
    make({file}, {.val_fraction = 0.5, .special = true});
    EXPECT_EQ(data::open_dataset(out()).meta.train_bytes + data::open_dataset(out()).meta.val_bytes,
              21);
    make({file}, {.val_fraction = 0.5});
    EXPECT_EQ(
        data::open_dataset(out()).meta.train_tokens + data::open_dataset(out()).meta.val_tokens,
        47);
}

TEST_F(TextImport, DirectoriesAreReadByPathWithoutHiddenFiles) {
    text("d/b.txt", "bbb");
    text("d/a/z.txt", "zzz");
    text("d/.hidden", "no");
    text("d/.git/x", "no");
    test::write_gzip(dir_.file("d/c.txt.gz"), "ccc");
    make({dir_.file("d")}, {.val_fraction = 0.3});
    EXPECT_EQ(train() + val(), "zzz<|endoftext|>bbb<|endoftext|>ccc");
}

TEST_F(TextImport, LargeTextIsTokenizedInPiecesAsAWhole) {
    std::string words;
    for (int i = 0; words.size() < (size_t{9} << 20); ++i)
        words += "word" + std::to_string(i % 977) + "  it's\n";
    const fs::path file = text("large.txt", words);
    const DatasetMeta meta = make({file}, {.tokenizer = "bpe", .bpe_vocab = 400});
    const auto tokenizer = data::load_tokenizer(out());
    const data::Dataset dataset = data::open_dataset(out());
    std::vector<int64_t> ids(static_cast<size_t>(meta.train_tokens));
    dataset.train.read(0, ids);
    const std::vector<int32_t> whole =
        tokenizer->encode(std::string_view(words).substr(0, meta.train_bytes));
    EXPECT_EQ(ids, std::vector<int64_t>(whole.begin(), whole.end()));
}

TEST_F(TextImport, InvalidBytesAreReplaced) {
    make({text("bad.txt", "ab\377cdefghij")}, {.val_fraction = 0.3});
    EXPECT_EQ(train() + val(), "ab\uFFFDcdefghij");
}

TEST_F(TextImport, BinaryFilesAreRefusedWithThePlace) {
    expect_error(kData, {"bin.txt", "byte 3", "NUL"},
                 [&] { make({text("bin.txt", std::string("abc\0d", 5))}); });
}

TEST_F(TextImport, EmptyOrMissingInputIsRefused) {
    expect_error(kData, {"empty.txt", "no text"}, [&] { make({text("empty.txt", "")}); });
    expect_error(kData, {"absent.txt"}, [&] { make({dir_.file("absent.txt")}); });
    fs::create_directories(dir_.file("none"));
    expect_error(kData, {"none", "no file"}, [&] { make({dir_.file("none")}); });
    expect_error(kData, {"tiny.txt", "validation", "at least 2"},
                 [&] { make({text("tiny.txt", "abc")}); });
    EXPECT_FALSE(fs::exists(out()));
}

TEST_F(TextImport, FractionOutsideItsRangeIsRefused) {
    const fs::path file = text("a.txt", "some text");
    for (double fraction : {0.0, 1.0, -0.5, 2.0, std::nan("")})
        expect_error(kUsage, {"validation fraction"},
                     [&] { make({file}, {.val_fraction = fraction}); });
}

TEST_F(TextImport, Gpt2NeedsItsFiles) {
    expect_error(kData, {"vocab.json", "merges.txt", "rank file"},
                 [&] { make({text("a.txt", "some text")}, {.tokenizer = "gpt2"}); });
}

TEST_F(TextImport, JsonLinesGiveTheirText) {
    const fs::path file = text("a.jsonl",
                               "{\"text\":\"one\\n\",\"id\":1}\n\n{\"id\":2,\"text\":\"tw\\u00f6\"}"
                               "\r\n{\"text\":\"three\"}");
    make({file}, {.val_fraction = 0.4}, TextFormat::kJsonLines);
    EXPECT_EQ(train() + "|" + val(), "one\n<|endoftext|>twö<|endoftext|>|three");
}

TEST_F(TextImport, JsonLinesErrorsNameTheLine) {
    const auto refuse = [&](const std::string& line, const std::string& part) {
        const fs::path file = text("a.jsonl", "{\"text\":\"one\"}\n" + line + "\n");
        expect_error(kData, {"a.jsonl:2", part}, [&] { make({file}, {}, TextFormat::kJsonLines); });
    };
    refuse("{\"text\":\"cut", "not JSON");
    refuse("{\"txt\":\"x\"}", "\"text\"");
    refuse("{\"text\":5}", "\"text\"");
    refuse("[\"text\"]", "\"text\"");
    refuse("{\"text\":\"\xFF\"}", "not JSON");
}

TEST_F(TextImport, LlmcLayoutIsReadBack) {
    make({text("a.txt", "hello world, hello tokens")},
         {.name = "hello", .layout = data::TokenLayout::kLlmc});
    EXPECT_TRUE(fs::exists(out() / "hello_train_000000.bin"));
    EXPECT_TRUE(fs::exists(out() / "hello_val_000000.bin"));
    EXPECT_EQ(train() + val(), "hello world, hello tokens");
}

TEST_F(TextImport, AStopLeavesNothing) {
    const fs::path file = text("a.txt", "some text to tokenize");
    request_stop(SIGINT);
    EXPECT_THROW(make({file}), Stopped);
    clear_stop();
    EXPECT_FALSE(fs::exists(out()));
    EXPECT_TRUE(test::hidden_names(dir_.path()).empty());
}

TEST_F(TextImport, SameTextGivesTheSameBytes) {
    const fs::path file = text("a.txt", "the same text again and again and again");
    const DatasetMeta first = make({file}, {.tokenizer = "bpe", .bpe_vocab = 262, .threads = 1});
    const DatasetMeta second = make({file}, {.tokenizer = "bpe", .bpe_vocab = 262, .threads = 4});
    EXPECT_EQ(first.train_sha256, second.train_sha256);
    EXPECT_EQ(first.tokenizer_sha256, second.tokenizer_sha256);
}

}  // namespace
}  // namespace knlp
