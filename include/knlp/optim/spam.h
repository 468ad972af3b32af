#pragma once

#include "knlp/config/train.h"

#include <cstdint>

namespace knlp::optim {

/// Steps since the last reset when there has been none.
inline constexpr int64_t kNeverReset = -1;

/// Factor on the learning rate `since` steps after a reset (0 = the step of the reset); 1 when
/// since >= spam_warmup_steps or since == kNeverReset.
/// Paper: 1 - 0.99 (1 + cos(pi k / (n + 1))) / 2. knlp: 0.5 (1 - cos(pi k / n)), at least 1e-3.
double spam_warmup(const config::Optimizer& options, int64_t since);

/// Whether elements are clipped at step t (from 1). `updates` counts the updates of the second
/// moment since it was last zero. Paper: after `grace` steps and not within `grace` steps of a
/// reset. knlp: once theta (1 - beta2^updates) >= 1, from where on a steady gradient passes
/// unclipped.
bool spam_clips(const config::Optimizer& options, int64_t t, int64_t updates);

}  // namespace knlp::optim
