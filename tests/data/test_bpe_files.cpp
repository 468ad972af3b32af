#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/data/tokenizer.h"
#include "tests/data/texts.h"
#include "tests/support/expect_error.h"
#include "tests/support/public_data.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace knlp {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

std::unique_ptr<data::Tokenizer> trained() {
    const std::string_view text =
        "low lower lowest newer newest wider widest, the low and the new\n";
    return data::train_bpe({&text, 1}, 275, 1);
}

/// Lines of a rank file of the bytes and these tokens.
std::string rank_lines(const std::vector<std::string>& tokens) {
    std::string out;
    int64_t rank = 0;
    const auto add = [&](std::string_view bytes) {
        out += base64_encode(std::as_bytes(std::span(bytes))) + " " + std::to_string(rank++) + "\n";
    };
    for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
    for (const std::string& token : tokens) add(token);
    return out;
}

TEST(BpeFiles, SavedTokenizerLoadsEqualFromEachFormat) {
    const test::TempDir dir;
    const auto tokenizer = trained();
    tokenizer->save(dir.path());
    const auto from_json = data::load_tokenizer(dir.path());
    const auto from_ranks = data::load_bpe(dir.file("ranks.tiktoken"));
    EXPECT_EQ(from_json->sha256(), tokenizer->sha256());
    EXPECT_EQ(from_ranks->sha256(), tokenizer->sha256());
    std::mt19937_64 random(3);
    const std::string text = test::random_text(random, 500) + " lowest newest";
    EXPECT_EQ(from_json->encode(text), tokenizer->encode(text));
    EXPECT_EQ(from_ranks->encode(text), tokenizer->encode(text));
}

TEST(BpeFiles, Gpt2RankFileRoundTripsThroughVocabAndMerges) {
    KNLP_NEEDS_PUBLIC_DATA();
    const test::TempDir dir;
    const fs::path ranks = test::public_data() / "gpt2.tiktoken";
    const auto tokenizer = data::load_bpe(ranks);
    tokenizer->save(dir.path());
    EXPECT_EQ(read_file(dir.file("ranks.tiktoken")), read_file(ranks));
    EXPECT_EQ(data::load_bpe(dir.path())->sha256(), tokenizer->sha256());
}

TEST(BpeFiles, IdsOfVocabJsonNeedNotFollowTheMerges) {
    const test::TempDir dir;
    trained()->save(dir.path());
    const auto old = data::load_bpe(dir.path());
    nlohmann::json vocab = read_json(dir.file("vocab.json"));
    for (auto& id : vocab) id = (id.get<int64_t>() + 1) % old->vocab_size();
    write_file_atomic(dir.file("vocab.json"), vocab.dump());
    fs::remove(dir.file("ranks.tiktoken"));
    const auto moved = data::load_bpe(dir.path());
    std::vector<int32_t> expected = old->encode("the newest low");
    for (int32_t& id : expected) ++id;
    EXPECT_EQ(moved->encode("the newest low"), expected);
    EXPECT_EQ(moved->eot(), 0);
}

TEST(BpeFiles, RankFileErrorsNameTheLine) {
    const test::TempDir dir;
    const fs::path file = dir.file("bad.tiktoken");
    const auto refuse = [&](const std::string& text, std::initializer_list<std::string> parts) {
        write_file_atomic(file, text);
        expect_error(kData, parts, [&] { data::load_bpe(file); });
    };
    const std::string good = rank_lines({"th", "the"});
    write_file_atomic(file, good);
    EXPECT_EQ(data::load_bpe(file)->encode("the"), std::vector<int32_t>{257});

    refuse("", {"bad.tiktoken", "0 tokens", "256"});
    refuse(good + "dGhlbg== 300\n", {"bad.tiktoken:259", "300", "258"});
    refuse(good + "dGhlbg==\n", {"bad.tiktoken:259"});
    refuse(good + "!!!! 258\n", {"bad.tiktoken:259"});
    refuse(good + " 258\n", {"bad.tiktoken:259", "empty"});
    refuse(rank_lines({"xyz"}), {"rank 256", "3 earlier tokens", "expected 2"});
    refuse("dGhl 0\n" + good, {"bad.tiktoken:1", "one byte"});
    refuse("YQ== 0\nYQ== 1\n" + good.substr(good.find(" 1\n") + 3), {"byte 0x61"});
}

TEST(BpeFiles, TruncatedRankFileIsRefusedOrIsAShorterVocabulary) {
    const test::TempDir dir;
    const std::string good = rank_lines({"th", "the"});
    const fs::path file = dir.file("cut.tiktoken");
    for (size_t size = 0; size < good.size(); size += 7) {
        write_file_atomic(file, good.substr(0, size));
        try {
            EXPECT_LT(data::load_bpe(file)->vocab_size(), 259);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kData) << error.what();
        }
    }
}

TEST(BpeFiles, VocabAndMergesErrorsNameFileLineAndToken) {
    const test::TempDir dir;
    trained()->save(dir.path());
    fs::remove(dir.file("ranks.tiktoken"));
    const std::string vocab = read_file(dir.file("vocab.json")),
                      merges = read_file(dir.file("merges.txt"));
    const auto refuse = [&](const std::string& v, const std::string& m,
                            std::initializer_list<std::string> parts) {
        write_file_atomic(dir.file("vocab.json"), v);
        write_file_atomic(dir.file("merges.txt"), m);
        expect_error(kData, parts, [&] { data::load_bpe(dir.path()); });
    };
    const auto lines = std::to_string(std::count(merges.begin(), merges.end(), '\n') + 1);
    refuse(vocab, merges + "qqq w\n", {"merges.txt:" + lines, "'qqq'", "vocab.json"});
    refuse(vocab, merges + "lonely\n", {"merges.txt:" + lines, "lonely"});
    refuse(vocab, merges + "z z\n", {"merge", "no token for the result"});
    refuse(vocab, merges + merges.substr(merges.find('\n') + 1), {"second time"});
    refuse("[]", merges, {"vocab.json", "object"});
    refuse("{\"a\": 5}", merges, {"\"a\"", "5"});
    refuse("{\"a\": 0, \"b\": 0}", merges, {"\"b\"", "another"});
    refuse("{\"a\": 0}", "", {"byte 0x00"});
    refuse(vocab.substr(0, vocab.size() / 2), merges, {"vocab.json"});
}

TEST(BpeFiles, EmptyDirectoryNamesTheFilesItWants) {
    const test::TempDir dir;
    expect_error(kData, {"vocab.json", "merges.txt"}, [&] { data::load_bpe(dir.path()); });
    expect_error(kData, {"tokenizer.json", "vocab.json", "ranks.tiktoken"},
                 [&] { data::load_tokenizer(dir.path()); });
    expect_error(kData, {"absent", "no such"}, [&] { data::load_bpe(dir.file("absent")); });
}

}  // namespace
}  // namespace knlp
