#include "knlp/model/sampling.h"

#include "knlp/core/error.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace knlp::model {
namespace {

struct Scored {
    float logit = 0;
    int32_t id = 0;
};

bool larger(const Scored& a, const Scored& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// A value that at least k logits reach, close below the k-th largest: of the largest of each of
/// many pieces, the k-th largest. It spares most of a vocabulary any sorting.
float reached_by(std::span<const float> logits, size_t k) {
    const size_t length = logits.size() / (4 * k);
    if (length < 2) return -kInfinity;
    std::vector<float> peaks;
    for (size_t first = 0; first < logits.size(); first += length) {
        float peak = -kInfinity;
        for (float value : logits.subspan(first, std::min(length, logits.size() - first)))
            peak = value > peak ? value : peak;
        peaks.push_back(peak);
    }
    const auto kth = peaks.begin() + static_cast<int64_t>(k) - 1;
    std::nth_element(peaks.begin(), kth, peaks.end(), std::greater<>());
    return *kth;
}

/// Those that may be among the k largest; all but -inf when k is 0.
std::vector<Scored> finite_logits(std::span<const float> logits, size_t k) {
    for (size_t i = 0; i < logits.size(); ++i)
        if (!(logits[i] < kInfinity))
            fail(kRun, "logit {} of {} is {}: the model's weights or activations are not finite", i,
                 logits.size(), logits[i]);
    const float least = k > 0 ? reached_by(logits, k) : -kInfinity;
    std::vector<Scored> kept;
    for (size_t i = 0; i < logits.size(); ++i)
        if (logits[i] >= least && logits[i] > -kInfinity)
            kept.push_back({logits[i], static_cast<int32_t>(i)});
    if (kept.empty()) fail(kRun, "all {} logits are -inf: no token can follow", logits.size());
    return kept;
}

/// exp((l - largest l) / temperature): probabilities up to a common factor. Subtracting first keeps
/// the largest at exactly 1 however small the temperature is.
std::vector<float> weights_of(std::span<const Scored> scored, double temperature) {
    const float top = std::min_element(scored.begin(), scored.end(), larger)->logit;
    std::vector<float> weights(scored.size());
    for (size_t i = 0; i < scored.size(); ++i) {
        const double scaled = (static_cast<double>(scored[i].logit) - top) / temperature;
        weights[i] = std::exp(static_cast<float>(scaled));
    }
    return weights;
}

double sum_of(std::span<const float> values) {
    double sum = 0;
    for (float value : values) sum += value;
    return sum;
}

/// Length of the shortest prefix of descending weights whose share of all reaches top_p; at
/// least 1.
size_t nucleus(std::span<const float> weights, double top_p) {
    const double wanted = top_p * sum_of(weights);
    double sum = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
        sum += weights[i];
        if (sum >= wanted) return i + 1;
    }
    return weights.size();
}

}  // namespace

void check_sampling(const SamplingOptions& options) {
    if (!(options.temperature >= 0) || !std::isfinite(options.temperature))
        fail(kUsage, "temperature {} is not a finite number >= 0 (0 picks the most likely token)",
             options.temperature);
    if (options.top_k < 0) fail(kUsage, "top-k {} is negative; 0 keeps all tokens", options.top_k);
    if (!(options.top_p > 0 && options.top_p <= 1))
        fail(kUsage, "top-p {} is outside (0, 1]; 1 keeps all tokens", options.top_p);
    if (!(options.min_p >= 0 && options.min_p <= 1))
        fail(kUsage, "min-p {} is outside [0, 1]; 0 keeps all tokens", options.min_p);
}

std::vector<Candidate> sampling_distribution(std::span<const float> logits,
                                             const SamplingOptions& options) {
    const auto top_k = static_cast<size_t>(options.temperature == 0 ? 1 : options.top_k);
    std::vector<Scored> kept = finite_logits(logits, top_k);
    if (options.temperature == 0)
        return {{std::min_element(kept.begin(), kept.end(), larger)->id, 1.0f}};

    if (top_k > 0 && top_k < kept.size()) {
        const auto end = kept.begin() + static_cast<int64_t>(top_k);
        std::nth_element(kept.begin(), end, kept.end(), larger);
        kept.erase(end, kept.end());
    }
    // Only the nucleus needs an order, and sorting a whole vocabulary costs milliseconds a token.
    const bool ranked = options.top_p < 1;
    if (ranked) std::sort(kept.begin(), kept.end(), larger);
    std::vector<float> weights = weights_of(kept, options.temperature);
    if (ranked) weights.resize(nucleus(weights, options.top_p));

    std::vector<Candidate> candidates;
    candidates.reserve(weights.size());
    for (size_t i = 0; i < weights.size(); ++i)  // the largest weight is 1: min-p compares directly
        if (weights[i] >= options.min_p) candidates.push_back({kept[i].id, weights[i]});
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
    double sum = 0;
    for (const Candidate& candidate : candidates) sum += candidate.probability;
    for (Candidate& candidate : candidates)
        candidate.probability = static_cast<float>(candidate.probability / sum);
    return candidates;
}

int32_t inverse_cdf(std::span<const Candidate> candidates, double u) {
    KNLP_CHECK(!candidates.empty());
    double sum = 0;
    for (const Candidate& candidate : candidates) {
        sum += candidate.probability;
        if (sum > u) return candidate.id;
    }
    // Rounding may leave the sum just below u: the last token that has any probability.
    for (size_t i = candidates.size(); i-- > 1;)
        if (candidates[i].probability > 0) return candidates[i].id;
    return candidates.front().id;
}

Sampler::Sampler(const SamplingOptions& options)
    : options_(options), stream_(options.seed, "sampling") {
    check_sampling(options);
}

int32_t Sampler::draw(std::span<const float> logits, int64_t step, int64_t row) const {
    const std::vector<Candidate> candidates = sampling_distribution(logits, options_);
    if (candidates.size() == 1) return candidates.front().id;
    return inverse_cdf(candidates,
                       stream_.uniform(static_cast<uint64_t>(step), static_cast<uint64_t>(row)));
}

}  // namespace knlp::model
