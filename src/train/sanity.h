#pragma once

#include "session.h"

namespace knlp::train {

/// Outcome of learning one batch by heart.
struct SanityResult {
    double first_loss = 0, last_loss = 0;  // nats per token; last: the lowest reached
    int64_t steps = 0;
    bool passed = false;  // lowest < 0.3 * first within 100 steps
};

/// Overfits a copy of the model on rows of the first training batch. Weights, optimizer, data
/// position and random streams of the run stay bit-identical.
SanityResult overfit_one_batch(const Session& session);

/// Runs it, prints the outcome; Error{kCheckFailed} when it did not pass.
void require_sanity(const Session& session);

}  // namespace knlp::train
