#include "knlp/matrix/statistics.h"

#include "knlp/core/error.h"
#include "knlp/core/rng.h"
#include "knlp/core/stats.h"
#include "knlp/matrix/distributions.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace knlp::matrix {
namespace {

constexpr uint64_t kSeed = 1;  // of every draw here: a report made again has the same bytes
constexpr int64_t kFlipDraws = 100000;

void check_finite(std::span<const double> values) {
    for (const double value : values) KNLP_CHECK(std::isfinite(value));
}

/// Number of sign choices, out of all 2^n, whose |sum| reaches `bound`. Choice 0 leaves all signs.
int64_t count_reaching(std::span<const double> d, double bound) {
    int64_t hits = 0;
    for (uint64_t choice = 0; choice < uint64_t{1} << d.size(); ++choice) {
        double sum = 0;
        for (size_t i = 0; i < d.size(); ++i) sum += choice >> i & 1 ? -d[i] : d[i];
        hits += std::abs(sum) >= bound;
    }
    return hits;
}

int64_t count_drawn(std::span<const double> d, double bound) {
    const Stream stream(kSeed, "matrix/sign-flip");
    int64_t hits = 0;
    for (int64_t draw = 0; draw < kFlipDraws; ++draw) {
        double sum = 0;
        uint64_t bits = 0;
        for (size_t i = 0; i < d.size(); ++i) {
            if (i % 64 == 0) bits = stream.u64(i / 64, static_cast<uint64_t>(draw));
            sum += bits >> i % 64 & 1 ? -d[i] : d[i];
        }
        hits += std::abs(sum) >= bound;
    }
    return hits;
}

/// Sum and number of windows of each document, in the order of document numbers.
struct Block {
    double sum = 0;
    int64_t windows = 0;
};
std::vector<Block> blocks_of(std::span<const double> d, std::span<const int64_t> document) {
    std::map<int64_t, Block> blocks;
    for (size_t w = 0; w < d.size(); ++w) {
        Block& block = blocks[document.empty() ? static_cast<int64_t>(w) : document[w]];
        block.sum += d[w];
        ++block.windows;
    }
    std::vector<Block> out;
    for (const auto& [number, block] : blocks) out.push_back(block);
    return out;
}

}  // namespace

Interval mean_interval(std::span<const double> d, double confidence) {
    KNLP_CHECK(confidence > 0 && confidence < 1);
    check_finite(d);
    if (d.size() < 2) return {};
    const double center = mean(d), df = static_cast<double>(d.size() - 1);
    const double half = student_t_quantile((1 + confidence) / 2, df) * standard_error(d);
    return {center - half, center + half};
}

double paired_p(std::span<const double> d) {
    check_finite(d);
    if (d.size() < 2) return kUnknown;
    const double center = mean(d), error = standard_error(d);
    if (error == 0) return center == 0 ? 1 : kUnknown;
    return student_t_two_sided(center / error, static_cast<double>(d.size() - 1));
}

std::vector<double> holm(std::span<const double> p) {
    std::vector<size_t> order;
    for (size_t i = 0; i < p.size(); ++i) {
        KNLP_CHECK(!(p[i] < 0 || p[i] > 1));
        if (!std::isnan(p[i])) order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
    std::vector<double> adjusted(p.size(), kUnknown);
    double highest = 0;
    for (size_t rank = 0; rank < order.size(); ++rank) {
        const double factor = static_cast<double>(order.size() - rank);
        highest = std::max(highest, std::min(1.0, factor * p[order[rank]]));
        adjusted[order[rank]] = highest;
    }
    return adjusted;
}

bool lies_within(const Interval& interval, double bound) {
    return interval.low > -bound && interval.high < bound;
}

SignCount count_signs(std::span<const double> d) {
    check_finite(d);
    SignCount signs;
    for (const double value : d)
        ++(value > 0 ? signs.positive : value < 0 ? signs.negative : signs.zero);
    return signs;
}

SignFlip sign_flip(std::span<const double> d) {
    check_finite(d);
    if (d.empty()) return {};
    double sum = 0, highest = 0;
    for (const double value : d) {
        sum += value;
        highest += std::abs(value);
    }
    // Sums of the same numbers in other signs round differently; equal ones must count as equal.
    const double slack = 1e-12 * highest;
    const SignCount signs = count_signs(d);
    const double smallest =
        std::min(1.0, std::exp2(1 - static_cast<double>(signs.positive + signs.negative)));
    if (std::ssize(d) <= kExactFlips) {
        const double all = std::exp2(static_cast<double>(d.size()));
        return {static_cast<double>(count_reaching(d, std::abs(sum) - slack)) / all, smallest,
                true};
    }
    const double draws = kFlipDraws;
    const double hits = static_cast<double>(count_drawn(d, std::abs(sum) - slack));
    return {(1 + hits) / (1 + draws), std::max(smallest, 1 / (1 + draws)), false};
}

double seed_noise(std::span<const double> baseline) {
    check_finite(baseline);
    return stddev(baseline);
}

double repeat_noise(std::span<const double> e) {
    check_finite(e);
    if (e.empty()) return kUnknown;
    const double squares = std::inner_product(e.begin(), e.end(), e.begin(), 0.0);
    return std::sqrt(squares / (2 * static_cast<double>(e.size())));
}

EvaluationNoise evaluation_noise(std::span<const double> d, std::span<const int64_t> document,
                                 double confidence) {
    KNLP_CHECK(confidence > 0 && confidence < 1);
    KNLP_CHECK(document.empty() || document.size() == d.size());
    check_finite(d);
    const std::vector<Block> blocks = blocks_of(d, document);
    EvaluationNoise noise{.interval = {}, .sd = kUnknown, .blocks = std::ssize(blocks)};
    if (blocks.size() < 2) return noise;
    const Stream stream(kSeed, "matrix/evaluation-noise");
    std::vector<double> means(kResamples);
    for (size_t resample = 0; resample < means.size(); ++resample) {
        Block drawn;
        for (size_t i = 0; i < blocks.size(); ++i) {
            const Block& block = blocks[stream.below(blocks.size(), i, resample)];
            drawn.sum += block.sum;
            drawn.windows += block.windows;
        }
        means[resample] = drawn.sum / static_cast<double>(drawn.windows);
    }
    noise.sd = stddev(means);
    noise.interval = {percentile(means, (1 - confidence) / 2),
                      percentile(means, (1 + confidence) / 2)};
    return noise;
}

}  // namespace knlp::matrix
