#pragma once

#include "knlp/core/rng.h"

#include <cstdint>
#include <span>
#include <vector>

namespace knlp::model {

/// How the next token is chosen from a row of logits. The filters act in this order: temperature,
/// top-k, top-p, min-p; then softmax in fp32 over what is left and one draw.
struct SamplingOptions {
    double temperature = 0.8;  // >= 0; 0 = the largest logit, lowest id on ties
    int64_t top_k = 0;         // keep the k largest; 0 = all
    double top_p = 1.0;        // (0, 1]: keep the fewest largest whose probabilities reach it
    double min_p = 0.0;        // [0, 1]: keep p >= min_p * largest p
    uint64_t seed = 1;
};

/// Error{kUsage} naming the option, its value and its range.
void check_sampling(const SamplingOptions& options);

/// A token that may be drawn. Probabilities of a distribution add up to 1.
struct Candidate {
    int32_t id = 0;
    float probability = 0;
};

/// What is left of `logits` [V] after the filters, by ascending id. Equal logits are kept lowest id
/// first, so top-k keeps exactly k. -inf (padded vocabulary) never comes back. temperature 0: one
/// entry. Error{kRun} when a logit is NaN or +inf, or when all are -inf.
std::vector<Candidate> sampling_distribution(std::span<const float> logits,
                                             const SamplingOptions& options);

/// Inverse cumulative distribution: the first candidate, in the order given, at which the running
/// sum of probabilities exceeds u. u in [0, 1); `candidates` is not empty.
int32_t inverse_cdf(std::span<const Candidate> candidates, double u);

/// Draws tokens; which number is used depends on (seed, step, row) alone.
class Sampler {
public:
    explicit Sampler(const SamplingOptions& options);  // Error{kUsage} as check_sampling
    /// Token for row `row` at its `step`-th new token, both from 0.
    int32_t draw(std::span<const float> logits, int64_t step, int64_t row) const;

private:
    SamplingOptions options_;
    Stream stream_;  // "sampling"
};

}  // namespace knlp::model
