#include "knlp/optim/spam.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace knlp::optim {

double spam_warmup(const config::Optimizer& options, int64_t since) {
    const auto n = static_cast<double>(options.spam_warmup_steps), k = static_cast<double>(since);
    if (since == kNeverReset || since >= options.spam_warmup_steps) return 1.0;
    if (options.spam_knlp) return std::max(1e-3, 0.5 * (1.0 - std::cos(std::numbers::pi * k / n)));
    return 1.0 - 0.99 * (1.0 + std::cos(std::numbers::pi * k / (n + 1.0))) / 2.0;
}

bool spam_clips(const config::Optimizer& options, int64_t t, int64_t updates) {
    if (!options.spam_clip || options.spam_theta <= 0) return false;
    const int64_t grace = options.spam_grace_steps, interval = options.spam_interval;
    if (t < grace || (interval > 0 && t % interval < grace)) return false;
    if (!options.spam_knlp) return true;
    // exp_avg_sq is still near zero just after a reset: its limit would cap every element at almost
    // nothing and grow by a few percent a step.
    const double beta2 = options.beta2, theta = options.spam_theta;
    const double settled =
        theta > 1 ? std::log1p(-1.0 / theta) / std::log(beta2) : 1.0 / (1.0 - beta2);
    return static_cast<double>(updates) >= settled;
}

}  // namespace knlp::optim
