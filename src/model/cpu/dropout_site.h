#pragma once

#include "kernels/dropout_mask.h"

#include <cstdint>

namespace knlp::model {

/// One dropout site of one forward pass: masks are a pure function of (seed, step, site, line,
/// element), a line being one vector of the last dimension, numbered over the whole effective
/// batch.
struct DropoutSite {
    uint64_t seed = 0;
    int64_t step = 0, site = 0;
    double rate = 0.0;
    bool operator==(const DropoutSite&) const = default;
};

/// The masks of a site as the kernels want them. Rates are rounded to 1/65536.
kernels::DropoutStream dropout_stream(const DropoutSite& site, int64_t first_line);
/// 1 / (1 - rate) of the rounded rate, so that the expectation is exact.
float dropout_scale(const DropoutSite& site);

/// Words that `keep` of causal attention takes for t tokens, and those that making it needs.
int64_t keep_words(int64_t t);
int64_t keep_scratch_words(int64_t t);
/// Mask of the attention of one pair (kernels/causal_attention.h); line i of the stream is query i.
void make_keep(const kernels::DropoutStream& stream, int64_t t, uint64_t* keep, uint64_t* scratch);

}  // namespace knlp::model
