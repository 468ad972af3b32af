#include "knlp/core/hash.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/data/tokenizer.h"
#include "tests/data/texts.h"
#include "tests/support/expect_error.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace knlp {
namespace {

std::string sha256_of_training(std::span<const std::string_view> documents, int64_t vocab_size,
                               int64_t threads) {
    return data::train_bpe(documents, vocab_size, threads)->sha256();
}

TEST(BpeTraining, FindsTheMergesOfAnIndependentProgram) {
    const nlohmann::json golden = read_json(test::source_root() / "tests/golden/bpe_train.json");
    const std::string text = golden.at("text");
    const std::string_view view = text;
    const auto n = static_cast<int64_t>(golden.at("merges").size());
    const auto tokenizer = data::train_bpe({&view, 1}, 257 + n, 1);
    for (int64_t i = 0; i < n; ++i) {
        const nlohmann::json& pair = golden.at("merges").at(i);
        EXPECT_EQ(tokenizer->bytes_of(static_cast<int32_t>(256 + i)),
                  base64_decode(pair.at(0).get<std::string>()) +
                      base64_decode(pair.at(1).get<std::string>()))
            << "merge " << i;
    }
}

TEST(BpeTraining, IsTheSameForAnyNumberOfThreads) {
    std::mt19937_64 random(11);
    std::string text;
    while (text.size() < (size_t{5} << 20)) {  // several pieces of one MiB
        text += std::to_string(random() % 5000) + " word" + std::to_string(random() % 700);
        text += random() % 9 == 0 ? ".\n" : ", ";
    }
    const std::string other = test::random_text(random, 5000);
    const std::string_view documents[] = {text, other, std::string_view(text).substr(0, 1000)};
    const std::string one = sha256_of_training(documents, 1000, 1);
    EXPECT_EQ(sha256_of_training(documents, 1000, 2), one);
    EXPECT_EQ(sha256_of_training(documents, 1000, 8), one);
}

TEST(BpeTraining, OrderOfDocumentsDoesNotMatter) {
    const std::string_view forward[] = {"the cat sat", "on the mat", "that hat"};
    const std::string_view backward[] = {"that hat", "on the mat", "the cat sat"};
    EXPECT_EQ(sha256_of_training(forward, 266, 1), sha256_of_training(backward, 266, 1));
}

TEST(BpeTraining, VocabularyIsBytesThenMergesThenEndOfText) {
    const std::string_view text = "abab abab";
    const auto tokenizer = data::train_bpe({&text, 1}, 259, 1);
    EXPECT_EQ(tokenizer->vocab_size(), 259);
    EXPECT_EQ(tokenizer->eot(), 258);
    EXPECT_EQ(tokenizer->bytes_of(97), "a");
    EXPECT_EQ(tokenizer->bytes_of(256), "ab");
    EXPECT_EQ(tokenizer->bytes_of(257), "abab");
    EXPECT_EQ(tokenizer->kind(), "bpe");
}

TEST(BpeTraining, RefusesMoreMergesThanTheTextHas) {
    const std::string_view text = "ab ab";
    test::expect_error(kData, {"only 2 merges", "259", "300"}, [&] {
        data::train_bpe({&text, 1}, 300, 1);
    });
}

TEST(BpeTraining, RefusesAVocabularySmallerThanTheBytes) {
    const std::string_view text = "ab";
    test::expect_error(kUsage, {"256", "257"}, [&] { data::train_bpe({&text, 1}, 256, 1); });
}

}  // namespace
}  // namespace knlp
