#include "knlp/model/sampling.h"

#include "tests/support/expect_error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace knlp::model {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<int32_t> ids_of(const std::vector<Candidate>& candidates) {
    std::vector<int32_t> ids;
    for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
    return ids;
}

/// Logits whose softmax is `p`.
std::vector<float> logits_of(const std::vector<double>& p) {
    std::vector<float> logits;
    for (double value : p) logits.push_back(static_cast<float>(std::log(value)));
    return logits;
}

using Ids = std::vector<int32_t>;

TEST(Sampling, TemperatureZeroTakesTheLargestAndTheLowestIdOnTies) {
    const Sampler greedy({.temperature = 0, .seed = 3});
    EXPECT_EQ(greedy.draw(std::vector<float>{1, 5, 2, 5}, 0, 0), 1);
    EXPECT_EQ(greedy.draw(std::vector<float>{0, 0, 0}, 9, 4), 0);
    EXPECT_EQ(greedy.draw(std::vector<float>{kMinusInfinity, -7, kMinusInfinity}, 0, 0), 1);
}

TEST(Sampling, WithoutFiltersTheDistributionIsSoftmaxOfLogitsOverTemperature) {
    const std::vector<float> logits = {0.5f, -1.0f, 2.0f, 0.0f};
    const auto candidates = sampling_distribution(logits, {.temperature = 0.7});
    double sum = 0;
    for (float logit : logits) sum += std::exp(logit / 0.7);
    ASSERT_EQ(candidates.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(candidates[i].id, static_cast<int32_t>(i));
        // fp32 softmax: a few units in the last place of values <= 1.
        EXPECT_NEAR(candidates[i].probability, std::exp(logits[i] / 0.7) / sum, 5e-7);
    }
}

TEST(Sampling, TopKKeepsExactlyKLowestIdsFirstOnTies) {
    const std::vector<float> logits = {1, 3, 3, 3, 2};
    EXPECT_EQ(ids_of(sampling_distribution(logits, {.top_k = 2})), (Ids{1, 2}));
    EXPECT_EQ(ids_of(sampling_distribution(logits, {.top_k = 4})), (Ids{1, 2, 3, 4}));
    EXPECT_EQ(sampling_distribution(logits, {.top_k = 0}).size(), 5u);
    EXPECT_EQ(sampling_distribution(logits, {.top_k = 99}).size(), 5u);
}

TEST(Sampling, TopPKeepsTheFewestThatReachIt) {
    const auto logits = logits_of({0.1, 0.4, 0.2, 0.3});
    const auto kept = [&](double top_p) {
        return ids_of(sampling_distribution(logits, {.temperature = 1, .top_p = top_p}));
    };
    EXPECT_EQ(kept(0.01), (Ids{1}));
    EXPECT_EQ(kept(0.39), (Ids{1}));
    EXPECT_EQ(kept(0.41), (Ids{1, 3}));
    EXPECT_EQ(kept(0.69), (Ids{1, 3}));
    EXPECT_EQ(kept(0.71), (Ids{1, 2, 3}));
    EXPECT_EQ(kept(0.95), (Ids{0, 1, 2, 3}));
    EXPECT_EQ(kept(1.0), (Ids{0, 1, 2, 3}));
}

TEST(Sampling, MinPComparesWithTheLargestProbability) {
    const auto logits = logits_of({0.5, 0.26, 0.14, 0.1});
    const auto kept = [&](double min_p) {
        return ids_of(sampling_distribution(logits, {.temperature = 1, .min_p = min_p}));
    };
    EXPECT_EQ(kept(0.0), (Ids{0, 1, 2, 3}));
    EXPECT_EQ(kept(0.21), (Ids{0, 1, 2}));
    EXPECT_EQ(kept(0.29), (Ids{0, 1}));
    EXPECT_EQ(kept(0.53), (Ids{0}));
    EXPECT_EQ(kept(1.0), (Ids{0}));
}

// Top-k first: of {.4 .3 .2 .1} three are left, with shares .444 .333 .222. Top-p .75 of those
// needs two; of all four it would have needed three.
TEST(Sampling, TopPCountsWhatTopKLeft) {
    const auto logits = logits_of({0.4, 0.3, 0.2, 0.1});
    const auto candidates =
        sampling_distribution(logits, {.temperature = 1, .top_k = 3, .top_p = 0.75});
    ASSERT_EQ(ids_of(candidates), (Ids{0, 1}));
    EXPECT_NEAR(candidates[0].probability, 4.0 / 7.0, 1e-6);
    EXPECT_EQ(sampling_distribution(logits, {.temperature = 1, .top_p = 0.75}).size(), 3u);
}

// Temperature 2 flattens .64 .32 .04 to shares of .8 .5657 .2: the smallest stays above min-p .2.
TEST(Sampling, TemperatureActsBeforeTheFilters) {
    const auto logits = logits_of({0.64, 0.32, 0.04});
    EXPECT_EQ(sampling_distribution(logits, {.temperature = 2, .min_p = 0.2}).size(), 3u);
    EXPECT_EQ(sampling_distribution(logits, {.temperature = 1, .min_p = 0.2}).size(), 2u);
}

TEST(Sampling, PaddedVocabularyIsNeverDrawn) {
    std::vector<float> logits(64, kMinusInfinity);
    logits[5] = 0.0f;
    logits[9] = 1.0f;
    EXPECT_EQ(ids_of(sampling_distribution(logits, {.temperature = 100})), (Ids{5, 9}));
}

TEST(Sampling, TinyAndHugeTemperaturesStayFinite) {
    const std::vector<float> logits = {1e4f, 1e4f - 1, -1e4f};
    for (double temperature : {1e-30, 1e-3, 1e30}) {
        double sum = 0;
        for (const Candidate& candidate :
             sampling_distribution(logits, {.temperature = temperature})) {
            EXPECT_TRUE(std::isfinite(candidate.probability));
            sum += candidate.probability;
        }
        EXPECT_NEAR(sum, 1.0, 1e-6) << temperature;
    }
    EXPECT_EQ(Sampler({.temperature = 1e-30}).draw(logits, 0, 0), 0);
}

TEST(InverseCdf, TakesTheFirstWhoseRunningSumExceedsTheDraw) {
    const std::vector<Candidate> table = {{3, 0.125f}, {7, 0.5f}, {8, 0.0f}, {9, 0.375f}};
    EXPECT_EQ(inverse_cdf(table, 0.0), 3);
    EXPECT_EQ(inverse_cdf(table, 0.1249), 3);
    EXPECT_EQ(inverse_cdf(table, 0.125), 7);
    EXPECT_EQ(inverse_cdf(table, 0.6249), 7);
    EXPECT_EQ(inverse_cdf(table, 0.625), 9);
    EXPECT_EQ(inverse_cdf(table, 0.999999999), 9);
}

TEST(InverseCdf, ASumBelowOneStillGivesATokenThatHasProbability) {
    const std::vector<Candidate> table = {{1, 0.25f}, {2, 0.25f}, {4, 0.0f}};
    EXPECT_EQ(inverse_cdf(table, 0.9), 2);
}

TEST(Sampler, DrawsTheInverseCdfOfItsStream) {
    const auto logits = logits_of({0.1, 0.2, 0.3, 0.4});
    const Stream stream(11, "sampling");
    const Sampler sampler({.temperature = 1, .seed = 11});
    for (int64_t step = 0; step < 50; ++step)
        for (int64_t row = 0; row < 3; ++row) {
            const double u =
                stream.uniform(static_cast<uint64_t>(step), static_cast<uint64_t>(row));
            const int32_t expected = u < 0.1 ? 0 : u < 0.3 ? 1 : u < 0.6 ? 2 : 3;
            EXPECT_EQ(sampler.draw(logits, step, row), expected) << "u " << u;
        }
}

TEST(Sampler, SeedStepAndRowEachChangeTheDraws) {
    const std::vector<float> logits(1000, 0.0f);
    const auto draws = [&](uint64_t seed, int64_t first_step, int64_t row) {
        const Sampler sampler({.temperature = 1, .seed = seed});
        std::vector<int32_t> out;
        for (int64_t step = first_step; step < first_step + 8; ++step)
            out.push_back(sampler.draw(logits, step, row));
        return out;
    };
    EXPECT_EQ(draws(1, 0, 0), draws(1, 0, 0));
    EXPECT_NE(draws(1, 0, 0), draws(2, 0, 0));
    EXPECT_NE(draws(1, 0, 0), draws(1, 8, 0));
    EXPECT_NE(draws(1, 0, 0), draws(1, 0, 1));
}

// 40,000 draws of four tokens: the bound is five standard deviations of a binomial count.
TEST(Sampler, FrequenciesFollowTheProbabilities) {
    const std::vector<double> p = {0.05, 0.15, 0.3, 0.5};
    const auto logits = logits_of(p);
    const Sampler sampler({.temperature = 1, .seed = 2});
    const int64_t n = 40000;
    std::vector<double> counts(4);
    for (int64_t step = 0; step < n; ++step)
        ++counts[static_cast<size_t>(sampler.draw(logits, step, 0))];
    for (size_t i = 0; i < 4; ++i)
        EXPECT_NEAR(counts[i], n * p[i], 5 * std::sqrt(n * p[i] * (1 - p[i])));
}

// A slow definition of the three filters, straight from their words, against the real one.
TEST(Sampling, AgreesWithAnExhaustiveDefinitionOnRandomTables) {
    std::mt19937_64 random(20261123);
    std::normal_distribution<float> normal(0, 2);
    for (int trial = 0; trial < 200; ++trial) {
        std::vector<float> logits(1 + random() % 40);
        for (float& logit : logits) logit = normal(random);
        const SamplingOptions options{.temperature = 0.3 + 0.1 * static_cast<double>(random() % 20),
                                      .top_k = static_cast<int64_t>(random() % 12),
                                      .top_p = 0.05 + 0.05 * static_cast<double>(random() % 20),
                                      .min_p = 0.02 * static_cast<double>(random() % 10)};
        std::vector<size_t> order(logits.size());
        for (size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::stable_sort(order.begin(), order.end(),
                         [&](size_t a, size_t b) { return logits[a] > logits[b]; });
        if (options.top_k > 0 && options.top_k < std::ssize(order))
            order.resize(static_cast<size_t>(options.top_k));
        double total = 0, sum = 0;
        for (size_t i : order) total += std::exp(logits[i] / options.temperature);
        std::vector<int32_t> expected;
        const double largest = std::exp(logits[order[0]] / options.temperature);
        for (size_t i : order) {
            const double weight = std::exp(logits[i] / options.temperature);
            if (expected.empty() ||
                (sum < options.top_p * total * (1 - 1e-7) && weight >= options.min_p * largest))
                expected.push_back(static_cast<int32_t>(i));
            sum += weight;
        }
        std::sort(expected.begin(), expected.end());
        EXPECT_EQ(ids_of(sampling_distribution(logits, options)), expected) << "trial " << trial;
    }
}

// Large enough for most logits to be left out before anything is sorted; coarse enough for ties.
TEST(Sampling, TopKOfAVocabularyIsThatOfSortingIt) {
    const Stream stream(5, "test");
    for (uint64_t table = 0; table < 20; ++table) {
        std::vector<float> logits(5000 + 7 * table);
        for (size_t i = 0; i < logits.size(); ++i)
            logits[i] = static_cast<float>(stream.below(400, i, table)) / 32.0f;
        std::vector<int32_t> ids(logits.size());
        std::iota(ids.begin(), ids.end(), 0);
        std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
            return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
        });
        for (const int64_t k : {1, 2, 40, 200, 1000}) {
            std::vector<int32_t> wanted(ids.begin(), ids.begin() + k), kept;
            std::sort(wanted.begin(), wanted.end());
            for (const Candidate& c : sampling_distribution(logits, {.temperature = 1, .top_k = k}))
                kept.push_back(c.id);
            EXPECT_EQ(kept, wanted) << "table " << table << ", k " << k;
        }
        EXPECT_EQ(sampling_distribution(logits, {.temperature = 0}).front().id, ids.front());
    }
}

TEST(Sampling, OptionsOutOfRangeAreRefusedByName) {
    const auto refused = [](SamplingOptions options, const char* name) {
        test::expect_error(kUsage, {name}, [&] { check_sampling(options); });
    };
    refused({.temperature = -0.1}, "temperature -0.1");
    refused({.temperature = std::numeric_limits<double>::infinity()}, "temperature");
    refused({.temperature = std::nan("")}, "temperature");
    refused({.top_k = -1}, "top-k -1");
    refused({.top_p = 0}, "top-p 0");
    refused({.top_p = 1.01}, "top-p 1.01");
    refused({.top_p = std::nan("")}, "top-p");
    refused({.min_p = -0.5}, "min-p -0.5");
    refused({.min_p = 2}, "min-p 2");
}

TEST(Sampling, LogitsThatAreNotFiniteStopWithTheirPosition) {
    test::expect_error(kRun, {"logit 1 of 3"}, [] {
        sampling_distribution(std::vector<float>{0, kNan, 0}, {});
    });
    test::expect_error(kRun, {"logit 2 of 3"}, [] {
        sampling_distribution(std::vector<float>{0, 0, -kMinusInfinity}, {});
    });
    test::expect_error(kRun, {"all 2 logits"}, [] {
        sampling_distribution(std::vector<float>{kMinusInfinity, kMinusInfinity}, {});
    });
}

}  // namespace
}  // namespace knlp::model
