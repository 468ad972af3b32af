#include "knlp/core/file.h"
#include "knlp/data/tokenizer.h"
#include "src/data/bpe_merges.h"
#include "src/data/pretoken.h"
#include "tests/data/texts.h"
#include "tests/support/public_data.h"

#include <gtest/gtest.h>

#include <thread>

namespace knlp {
namespace {

using Ids = std::vector<int32_t>;

std::unique_ptr<data::Tokenizer> gpt2() {
    return data::load_bpe(test::public_data() / "gpt2.tiktoken");
}

/// A small tokenizer that needs no files.
std::unique_ptr<data::Tokenizer> trained() {
    const std::string_view text =
        "the cat sat on the mat, the hat; aaaa aaaaaaa that's it, it's that\n\n  the  end";
    return data::train_bpe({&text, 1}, 285, 1);
}

TEST(Gpt2Tokenizer, GivesThePublishedIds) {
    KNLP_NEEDS_PUBLIC_DATA();
    const auto tokenizer = gpt2();
    EXPECT_EQ(tokenizer->encode("Hello world"), (Ids{15496, 995}));
    EXPECT_EQ(tokenizer->encode("Hello, world!"), (Ids{15496, 11, 995, 0}));
    EXPECT_EQ(tokenizer->encode(" the"), Ids{262});
    EXPECT_EQ(tokenizer->encode("\n"), Ids{198});
    EXPECT_EQ(tokenizer->encode("\n\n"), Ids{628});
    EXPECT_EQ(tokenizer->encode("a"), Ids{64});
}

TEST(Gpt2Tokenizer, HasTheSizeNameAndEndOfText) {
    KNLP_NEEDS_PUBLIC_DATA();
    const auto tokenizer = gpt2();
    EXPECT_EQ(tokenizer->kind(), "gpt2");
    EXPECT_EQ(tokenizer->vocab_size(), 50257);
    EXPECT_EQ(tokenizer->eot(), 50256);
}

TEST(Gpt2Tokenizer, EveryTokenThatIsOneWordEncodesToItself) {
    KNLP_NEEDS_PUBLIC_DATA();
    const auto tokenizer = gpt2();
    int64_t words = 0;
    for (int32_t id = 0; id < 50256; ++id) {
        const std::string bytes(tokenizer->bytes_of(id));
        if (data::WordSplitter(bytes).next().size() != bytes.size()) continue;
        ASSERT_EQ(tokenizer->encode(bytes), Ids{id}) << bytes;
        ++words;
    }
    EXPECT_GT(words, 49000);
}

TEST(BpeTokenizer, DecodeUndoesEncodeForAllBytes) {
    const auto tokenizer = trained();
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        std::mt19937_64 random(seed);
        const std::string bytes =
            seed % 2 == 0 ? test::random_bytes(random, 400) : test::random_text(random, 100);
        ASSERT_EQ(tokenizer->decode(tokenizer->encode(bytes)), bytes) << "seed " << seed;
    }
}

TEST(BpeTokenizer, ReadsEndOfTextOnlyWhenSpecialTokensAreAllowed) {
    const auto tokenizer = trained();
    const std::string text = "the<|endoftext|>cat<|endoftext|>";
    const Ids plain = tokenizer->encode(text), special = tokenizer->encode_with_special(text);
    EXPECT_EQ(std::count(plain.begin(), plain.end(), tokenizer->eot()), 0);
    EXPECT_EQ(std::count(special.begin(), special.end(), tokenizer->eot()), 2);
    EXPECT_EQ(special.back(), tokenizer->eot());
    EXPECT_EQ(tokenizer->decode(plain), text);
    EXPECT_EQ(tokenizer->decode(special), text);
}

TEST(BpeTokenizer, EncodingIsTheSameFromManyThreads) {
    const auto tokenizer = trained();
    std::mt19937_64 random(7);
    const std::string text = test::random_text(random, 3000);
    const Ids expected = tokenizer->encode(text);
    std::vector<Ids> found(4);
    {
        std::vector<std::jthread> threads;
        for (Ids& ids : found) threads.emplace_back([&] { ids = tokenizer->encode(text); });
    }
    for (const Ids& ids : found) EXPECT_EQ(ids, expected);
}

/// Merges by definition: the lowest rank, its first occurrence, again and again.
std::vector<data::Symbol> merge_plainly(const data::MergeTable& table,
                                        std::vector<data::Symbol> symbols) {
    for (;;) {
        size_t best = symbols.size();
        data::Merge merge;
        for (size_t i = 0; i + 1 < symbols.size(); ++i)
            if (const data::Merge m = table.find(symbols[i], symbols[i + 1]); m.rank < merge.rank) {
                merge = m;
                best = i;
            }
        if (best == symbols.size()) return symbols;
        symbols[best] = merge.symbol;
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
}

TEST(Merger, ShortAndLongWordsMergeByDefinition) {
    for (uint64_t seed = 1; seed <= 200; ++seed) {
        std::mt19937_64 random(seed);
        data::MergeTable table;
        for (data::Symbol s = 256; s < 280; ++s)
            table.add(static_cast<data::Symbol>(random() % 3 == 0 ? 256 + random() % (s - 255)
                                                                  : random() % 3),
                      static_cast<data::Symbol>(random() % 3), {s - 256, s});
        std::vector<data::Symbol> symbols(2 + random() % 150);
        for (data::Symbol& s : symbols) s = static_cast<data::Symbol>(random() % 3);
        const std::vector<data::Symbol> expected = merge_plainly(table, symbols);
        data::Merger merger;
        symbols.resize(merger.merge(table, symbols));
        ASSERT_EQ(symbols, expected) << "seed " << seed;
    }
}

// An n^2 merge would take minutes here; that the test ends at all is its point.
TEST(BpeTokenizer, MergesAMebibyteOfOneLetter) {
    const auto tokenizer = trained();
    const std::string text(size_t{1} << 20, 'a');
    const Ids ids = tokenizer->encode(text);
    EXPECT_EQ(tokenizer->decode(ids), text);
    EXPECT_LT(ids.size(), text.size() / 2);
}

}  // namespace
}  // namespace knlp
