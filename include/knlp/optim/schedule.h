#pragma once

#include "knlp/config/train.h"

#include <cstdint>

namespace knlp::optim {

/// Progress of a run in [0, 1]: the maximum over the budgets that are set.
struct Progress {
    int64_t step = 0, tokens = 0;
    double elapsed_s = 0;
};
double progress_of(const config::Train& train, const Progress& now);

/// Learning rate of the coming step. Warm-up (step + 1) / W; with a time budget warm-up is
/// warmup_fraction of progress instead. Then cosine, linear, wsd or constant in
/// (p - p_w) / (1 - p_w) down to min_lr. Pure function of its arguments.
double learning_rate(const config::Train& train, const Progress& now);

}  // namespace knlp::optim
