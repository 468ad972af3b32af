#include "knlp/core/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace knlp {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers published with Random123 (kat_vectors, "philox4x32 10").
TEST(Philox, MatchesThePublishedKnownAnswers) {
    EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
              (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
              (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    EXPECT_EQ(
        philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
        (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Stream, IsAFunctionOfSeedNameIndexAndLane) {
    const Stream a(1, "data/train");
    EXPECT_EQ(a.block(5, 2), Stream(1, "data/train").block(5, 2));
    EXPECT_NE(a.block(5, 2), a.block(6, 2));
    EXPECT_NE(a.block(5, 2), a.block(5, 3));
    EXPECT_NE(a.block(5, 2), Stream(2, "data/train").block(5, 2));
    EXPECT_NE(a.block(5, 2), Stream(1, "data/val").block(5, 2));
    EXPECT_NE(a.block(1, 0), a.block(0, 1));
    EXPECT_NE(a.block(uint64_t{1} << 32), a.block(1));
}

TEST(Stream, NeighbouringSeedsAndNamesShareNoKey) {
    std::set<std::array<uint32_t, 2>> keys;
    for (uint64_t seed = 0; seed < 200; ++seed)
        for (const char* name : {"init", "dropout", "data/train", "data/val", "sample"})
            keys.insert(Stream(seed, name).key());
    EXPECT_EQ(keys.size(), 1000u);
}

/// Chi-square over `counts` with equal expectation.
double chi_square(const std::vector<int64_t>& counts) {
    double total = 0;
    for (const int64_t c : counts) total += static_cast<double>(c);
    const double expected = total / static_cast<double>(counts.size());
    double sum = 0;
    for (const int64_t c : counts)
        sum += (static_cast<double>(c) - expected) * (static_cast<double>(c) - expected) / expected;
    return sum;
}

// 99 degrees of freedom: the 0.1 % and 99.9 % points of chi-square are 60.0 and 148.2 (tables). The
// seed is fixed, so this either always holds or never.
TEST(Stream, UniformFillsEqualBinsEqually) {
    const Stream stream(1, "uniform");
    std::vector<int64_t> counts(100);
    for (uint64_t i = 0; i < 100000; ++i) {
        const double u = stream.uniform(i);
        ASSERT_GE(u, 0.0);
        ASSERT_LT(u, 1.0);
        ++counts[static_cast<size_t>(u * 100)];
    }
    EXPECT_GT(chi_square(counts), 60.0);
    EXPECT_LT(chi_square(counts), 148.2);
}

TEST(Stream, BelowStaysBelowAndIsUniform) {
    const Stream stream(3, "below");
    std::vector<int64_t> counts(100);
    for (uint64_t i = 0; i < 100000; ++i) ++counts.at(stream.below(100, i, 7));
    EXPECT_GT(chi_square(counts), 60.0);
    EXPECT_LT(chi_square(counts), 148.2);
    for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(stream.below(1, i), 0u);
    for (uint64_t i = 0; i < 100; ++i) EXPECT_LT(stream.below(~uint64_t{0}, i), ~uint64_t{0});
}

TEST(Stream, NormalHasTheMomentsAndTailsOfAStandardNormal) {
    const int64_t n = 400000;
    std::vector<float> x(n);
    Stream(1, "normal").normal(x);
    double sum = 0, squares = 0, fourth = 0;
    int64_t beyond_two = 0;
    for (const float v : x) {
        ASSERT_TRUE(std::isfinite(v));
        sum += v;
        squares += double{v} * v;
        fourth += double{v} * v * v * v;
        beyond_two += std::abs(v) > 2.0f;
    }
    // Four standard errors: 1/sqrt(n), sqrt(2/n), sqrt(96/n); 4.55 % lie beyond 2.
    EXPECT_NEAR(sum / n, 0.0, 4 / std::sqrt(n));
    EXPECT_NEAR(squares / n, 1.0, 4 * std::sqrt(2.0 / n));
    EXPECT_NEAR(fourth / n, 3.0, 4 * std::sqrt(96.0 / n));
    EXPECT_NEAR(static_cast<double>(beyond_two) / n, 0.0455003, 4 * std::sqrt(0.0455 * 0.9545 / n));
}

TEST(Stream, NormalIsTheSameInPiecesAndForEveryLength) {
    const Stream stream(9, "normal");
    std::vector<float> whole(103);
    stream.normal(whole, 4);
    for (size_t length = 0; length <= whole.size(); ++length) {
        std::vector<float> part(length);
        stream.normal(part, 4);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin()));
    }
    std::vector<float> tail(whole.size() - 40);
    stream.normal(tail, 4, 40);
    EXPECT_TRUE(std::equal(tail.begin(), tail.end(), whole.begin() + 40));
}

}  // namespace
}  // namespace knlp
