#include "knlp/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace knlp::optim {

namespace {

double share(double used, double budget) {
    return budget > 0 ? used / budget : 0.0;
}

constexpr double kStablePart = 0.8;  // of the way after the warm-up, for wsd

/// Shape of the way down: 1 at q = 0, 0 at q = 1.
double shape(config::Schedule schedule, double q) {
    switch (schedule) {
        case config::Schedule::kCosine:
            return 0.5 * (1.0 + std::cos(std::numbers::pi * q));
        case config::Schedule::kLinear:
            return 1.0 - q;
        case config::Schedule::kWsd:
            return q < kStablePart ? 1.0 : (1.0 - q) / (1.0 - kStablePart);
        case config::Schedule::kConstant:
            break;
    }
    return 1.0;
}

}  // namespace

double progress_of(const config::Train& train, const Progress& now) {
    const double steps = share(static_cast<double>(now.step), static_cast<double>(train.max_iters));
    const double tokens =
        share(static_cast<double>(now.tokens), static_cast<double>(train.max_tokens));
    return std::clamp(std::max({steps, tokens, share(now.elapsed_s, train.max_time_s)}), 0.0, 1.0);
}

double learning_rate(const config::Train& train, const Progress& now) {
    const double p = progress_of(train, now);
    const auto step = static_cast<double>(now.step),
               warmup = static_cast<double>(train.warmup_steps);
    double p_warm = 0;  // progress at the end of the warm-up
    if (train.max_time_s > 0) {
        p_warm = train.warmup_fraction;
        // The first step has used no time yet; its rate is what the first of warmup_steps would be.
        if (p < p_warm)
            return train.learning_rate * std::max(p / p_warm, 1.0 / std::max(warmup, 1.0));
    } else {
        if (now.step < train.warmup_steps) return train.learning_rate * (step + 1.0) / warmup;
        if (now.step > 0) p_warm = p * warmup / step;  // budgets of steps and tokens grow evenly
    }
    if (!train.decay_lr || p_warm >= 1.0) return train.learning_rate;
    const double q = std::clamp((p - p_warm) / (1.0 - p_warm), 0.0, 1.0);
    return train.min_lr + (train.learning_rate - train.min_lr) * shape(train.schedule, q);
}

}  // namespace knlp::optim
