#include "knlp/data/prepare.h"

#include "tests/data/trees.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace knlp {
namespace {

namespace fs = std::filesystem;

data::DatasetMeta make(const std::string& kind, int64_t n, uint64_t seed, const fs::path& out) {
    return data::make_synthetic(kind, n, seed, {.force = true}, out);
}

TEST(SyntheticMarkov, MeasuredConditionalEntropyIsTheStatedRate) {
    const test::TempDir dir;
    const data::DatasetMeta meta = make("markov", 600000, 5, dir.file("d"));
    const std::string text = test::text_of(dir.file("d"), "train");
    std::map<std::string, double> contexts, continued;
    for (size_t i = 3; i < text.size(); ++i) {
        contexts[text.substr(i - 3, 3)] += 1;
        continued[text.substr(i - 3, 4)] += 1;
    }
    double entropy = 0;
    const auto n = static_cast<double>(text.size() - 3);
    for (const auto& [gram, count] : continued)
        entropy -= count / n * std::log(count / contexts[gram.substr(0, 3)]);
    // The plug-in estimate is low by (8 - 1) · 512 / 2n = 0.0033; its standard deviation here is
    // about 0.0015.
    EXPECT_NEAR(entropy + 7.0 * 512 / (2 * n), meta.entropy_nats, 0.008);
    EXPECT_LT(meta.entropy_nats, std::log(8.0) - 0.2);
}

TEST(SyntheticRecords, RatesAreTheEntropyOfOneRecordOverItsLength) {
    const test::TempDir dir;
    EXPECT_NEAR(make("arith", 1000, 1, dir.file("d")).entropy_nats, 2 * std::log(100.0) / 10,
                1e-12);
    EXPECT_NEAR(make("copy", 1000, 1, dir.file("d")).entropy_nats, 32 * std::log(26.0) / 66, 1e-12);
    // 8! = 40320 orders of the keys, twice; eight letters.
    EXPECT_NEAR(make("induction", 1000, 1, dir.file("d")).entropy_nats,
                (8 * std::log(26.0) + 2 * std::log(40320.0)) / 34, 1e-12);
}

TEST(SyntheticArith, SumsAreRight) {
    const test::TempDir dir;
    make("arith", 5000, 2, dir.file("d"));
    const std::string text = test::text_of(dir.file("d"), "train");
    for (size_t at = 0; at + 10 <= text.size(); at += 10) {
        int a = 0, b = 0, c = 0;
        ASSERT_EQ(std::sscanf(text.c_str() + at, "%2d+%2d=%3d\n", &a, &b, &c), 3)
            << text.substr(at, 10);
        ASSERT_EQ(a + b, c);
    }
}

TEST(SyntheticCopy, SecondHalfRepeatsTheFirst) {
    const test::TempDir dir;
    make("copy", 5000, 2, dir.file("d"));
    const std::string text = test::text_of(dir.file("d"), "train");
    for (size_t at = 0; at + 66 <= text.size(); at += 66) {
        ASSERT_EQ(text.substr(at, 32), text.substr(at + 33, 32));
        ASSERT_EQ(text[at + 32], '|');
    }
}

TEST(SyntheticInduction, KeysKeepTheirLetters) {
    const test::TempDir dir;
    make("induction", 5000, 2, dir.file("d"));
    const std::string text = test::text_of(dir.file("d"), "train");
    for (size_t at = 0; at + 34 <= text.size(); at += 34) {
        std::map<char, char> first, second;
        for (size_t i = 0; i < 16; i += 2) {
            first[text[at + i]] = text[at + i + 1];
            second[text[at + 17 + i]] = text[at + 17 + i + 1];
        }
        ASSERT_EQ(first.size(), 8u);
        ASSERT_EQ(first, second);
    }
}

TEST(Synthetic, SeedDecidesTheText) {
    const test::TempDir dir;
    for (const char* kind : {"markov", "copy", "induction", "arith"}) {
        const std::string one = make(kind, 2000, 1, dir.file("d")).train_sha256;
        EXPECT_EQ(make(kind, 2000, 1, dir.file("d")).train_sha256, one) << kind;
        EXPECT_NE(make(kind, 2000, 2, dir.file("d")).train_sha256, one) << kind;
    }
}

TEST(Synthetic, SidecarSaysThatItIsSynthetic) {
    const test::TempDir dir;
    make("markov", 2000, 1, dir.file("d"));
    const data::DatasetMeta meta = data::open_dataset(dir.file("d")).meta;
    EXPECT_TRUE(meta.synthetic);
    EXPECT_GT(meta.entropy_nats, 0);
    EXPECT_EQ(meta.train_tokens + meta.val_tokens, 2000);
}

TEST(Synthetic, WrongArgumentsAreRefused) {
    const test::TempDir dir;
    test::expect_error(kUsage, {"'waltz'", "markov"},
                       [&] { make("waltz", 2000, 1, dir.file("d")); });
    test::expect_error(kUsage, {"5 synthetic tokens", "100"},
                       [&] { make("markov", 5, 1, dir.file("d")); });
}

}  // namespace
}  // namespace knlp
