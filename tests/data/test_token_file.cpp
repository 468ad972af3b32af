#include "knlp/data/token_file.h"

#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using data::TokenFile;
using data::TokenLayout;
using test::expect_error;

std::vector<int32_t> counting(int32_t n) {
    std::vector<int32_t> ids(static_cast<size_t>(n));
    std::iota(ids.begin(), ids.end(), 0);
    return ids;
}

std::vector<int64_t> read_all(const TokenFile& file) {
    std::vector<int64_t> ids(static_cast<size_t>(file.size()));
    file.read(0, ids);
    return ids;
}

TEST(TokenFile, EachLayoutRoundTrips) {
    struct Case {
        TokenLayout layout;
        int64_t vocab_size, width;
        int32_t largest;
    };
    for (const Case& c :
         {Case{TokenLayout::kPlain, 65536, 2, 65535}, Case{TokenLayout::kLlmc, 65536, 2, 65535},
          Case{TokenLayout::kPlain, 70000, 4, 69999}}) {
        const test::TempDir dir;
        const std::vector<int32_t> ids = {0, 1, c.largest, 7, 256};
        data::write_tokens(dir.file("t.bin"), ids, c.vocab_size, c.layout);
        const TokenFile file = TokenFile::open({dir.file("t.bin")}, c.width);
        EXPECT_EQ(read_all(file), std::vector<int64_t>(ids.begin(), ids.end()));
        EXPECT_EQ(file.max_id(), c.largest);
    }
}

TEST(TokenFile, BytesAreThoseOfNanoGptAndLlmc) {
    const test::TempDir dir;
    const std::vector<int32_t> ids = {1, 258, 50256};
    data::write_tokens(dir.file("plain"), ids, 50257, TokenLayout::kPlain);
    EXPECT_EQ(read_file(dir.file("plain")), std::string("\x01\x00\x02\x01\x50\xC4", 6));
    data::write_tokens(dir.file("llmc"), ids, 50257, TokenLayout::kLlmc);
    std::string header(1024, '\0');
    const int32_t words[] = {20240520, 1, 3};
    std::memcpy(header.data(), words, sizeof words);
    EXPECT_EQ(read_file(dir.file("llmc")), header + std::string("\x01\x00\x02\x01\x50\xC4", 6));
}

TEST(TokenFile, ShardsReadAsOneFile) {
    const test::TempDir dir;
    const std::vector<int32_t> ids = counting(100);
    data::write_tokens(dir.file("a"), std::span(ids).first(30), 257, TokenLayout::kPlain);
    data::write_tokens(dir.file("b"), std::span(ids).subspan(30, 2), 257, TokenLayout::kLlmc);
    data::write_tokens(dir.file("c"), std::span(ids).subspan(32), 257, TokenLayout::kPlain);
    const TokenFile file = TokenFile::open({dir.file("a"), dir.file("b"), dir.file("c")});
    ASSERT_EQ(file.size(), 100);
    for (int64_t begin : {0, 29, 30, 31, 32, 99})
        for (int64_t n = 0; n <= std::min<int64_t>(100 - begin, 40); ++n) {
            std::vector<int64_t> found(static_cast<size_t>(n)), expected(found);
            std::iota(expected.begin(), expected.end(), begin);
            file.read(begin, found);
            ASSERT_EQ(found, expected) << begin << " " << n;
        }
}

TEST(TokenFile, EveryTruncationOfALlmcFileIsRefused) {
    const test::TempDir dir;
    data::write_tokens(dir.file("whole"), counting(10), 257, TokenLayout::kLlmc);
    const std::string whole = read_file(dir.file("whole"));
    for (size_t size = 0; size < whole.size(); ++size) {
        write_file_atomic(dir.file("cut.bin"), whole.substr(0, size));
        expect_error(kData, {"cut.bin", std::to_string(size)},
                     [&] { TokenFile::open({dir.file("cut.bin")}); });
    }
}

TEST(TokenFile, SizeThatIsNotWholeTokensIsRefused) {
    const test::TempDir dir;
    write_file_atomic(dir.file("odd.bin"), "abcde");
    expect_error(kData, {"odd.bin", "5 bytes", "2-byte"},
                 [&] { TokenFile::open({dir.file("odd.bin")}); });
    write_file_atomic(dir.file("six.bin"), "abcdef");
    expect_error(kData, {"six.bin", "6 bytes", "4-byte"},
                 [&] { TokenFile::open({dir.file("six.bin")}, 4); });
}

TEST(TokenFile, HeaderOfAnotherVersionOrCountIsRefused) {
    const test::TempDir dir;
    data::write_tokens(dir.file("t"), counting(10), 257, TokenLayout::kLlmc);
    const std::string good = read_file(dir.file("t"));
    const auto refuse = [&](size_t word, int32_t value, std::initializer_list<std::string> parts) {
        std::string bad = good;
        std::memcpy(bad.data() + 4 * word, &value, 4);
        write_file_atomic(dir.file("t"), bad);
        expect_error(kData, parts, [&] { TokenFile::open({dir.file("t")}); });
    };
    refuse(1, 2, {"version 2", "expected 1", "byte 4"});
    refuse(2, 11, {"11 tokens", "1046", "1044"});
    refuse(2, -1, {"-1 tokens"});
    refuse(2, INT32_MAX, {"2147483647"});
}

TEST(TokenFile, MissingFileIsNamed) {
    expect_error(kData, {"/nonexistent/train.bin"},
                 [] { TokenFile::open({"/nonexistent/train.bin"}); });
}

TEST(TokenFile, IdOutsideTheVocabularyIsNamedWithItsPlace) {
    const test::TempDir dir;
    std::vector<int32_t> ids = counting(1000);
    ids[600] = 50300;
    ids[700] = 60000;
    data::write_tokens(dir.file("train.bin"), ids, 65536, TokenLayout::kPlain);
    const TokenFile file = TokenFile::open({dir.file("train.bin")});
    expect_error(
        kData, {"train.bin: token 50300 at position 600 is outside vocabulary 50257", "byte 1200"},
        [&] { file.check_vocabulary(50257); });
    EXPECT_NO_THROW(file.check_vocabulary(60001));
}

TEST(TokenFile, VocabularyCheckIsRememberedUntilTheFileChanges) {
    const test::TempDir dir;
    data::write_tokens(dir.file("t.bin"), counting(1000), 65536, TokenLayout::kPlain);
    TokenFile::open({dir.file("t.bin")}).check_vocabulary(1000);
    const fs::path memory = dir.file("t.bin.knlp-ok");
    ASSERT_TRUE(fs::exists(memory));

    data::write_tokens(dir.file("t.bin"), std::vector<int32_t>(1000, 5000), 65536,
                       TokenLayout::kPlain);
    expect_error(kData, {"token 5000 at position 0"},
                 [&] { TokenFile::open({dir.file("t.bin")}).check_vocabulary(1000); });
    EXPECT_EQ(TokenFile::open({dir.file("t.bin")}).max_id(), 5000);
}

TEST(TokenFile, DamagedMemoryOfTheCheckIsIgnored) {
    const test::TempDir dir;
    data::write_tokens(dir.file("t.bin"), counting(100), 65536, TokenLayout::kPlain);
    for (const std::string text : {"", "{", "{\"size\":200}", "[1]"}) {
        write_file_atomic(dir.file("t.bin.knlp-ok"), text);
        EXPECT_EQ(TokenFile::open({dir.file("t.bin")}).max_id(), 99);
    }
}

TEST(TokenFile, LittleOfALargeFileStaysInTheProcess) {
    const test::TempDir dir;
    write_file_atomic(dir.file("t.bin"), std::string(size_t{64} << 20, '\1'));
    const TokenFile tokens = TokenFile::open({dir.file("t.bin")});
    std::vector<int64_t> window(1024);
    const int64_t before = resident_bytes();
    for (int64_t at = 0; at + 1024 <= tokens.size(); at += 1024) tokens.read(at, window);
    EXPECT_EQ(window.back(), 257);
    EXPECT_LT(resident_bytes() - before, 16 << 20);
}

TEST(WriteTokens, LlmcLayoutRefusesIdsOf32Bits) {
    const test::TempDir dir;
    const std::vector<int32_t> ids = {1, 2};
    expect_error(kUsage, {"llm.c", "70000"},
                 [&] { data::write_tokens(dir.file("t"), ids, 70000, TokenLayout::kLlmc); });
    EXPECT_TRUE(fs::is_empty(dir.path()));
}

}  // namespace
}  // namespace knlp
