#include "sanity.h"

#include "knlp/core/error.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/data/batches.h"
#include "knlp/optim/schedule.h"

#include <algorithm>

namespace knlp::train {

namespace {

constexpr int64_t kSteps = 100;
constexpr double kPassShare = 0.3;
// More text than a few hundred tokens cannot be learned by heart in 100 steps by a nano model.
constexpr int64_t kTokens = 256;
constexpr double kRate = 1e-3;
constexpr int64_t kWarmup = 10;

}  // namespace

SanityResult overfit_one_batch(const Session& s) {
    const std::unique_ptr<model::Gpt2> copy = s.gpt2->clone();
    config::Optimizer options;  // plain AdamW whatever the run uses
    options.name = "adamw";
    options.weight_decay = 0;
    const auto optimizer = optim::make_optimizer(options, *copy, false);
    const int64_t rows = std::clamp<int64_t>(kTokens / s.model.n_ctx, 1, s.batch.micro);
    const data::Batch batch =
        data::make_batch(s.dataset().train, s.general.seed, 0, 0, rows, s.model.n_ctx);
    SanityResult result;
    for (int64_t step = 0; step < kSteps && stop_signal() == 0; ++step) {
        // Without dropout: it is the model that is being tried, not the regularization.
        model::ForwardContext context{.training = false, .seed = s.general.seed, .step = step};
        copy->clear_gradients();
        const double value = copy->loss_and_gradients(batch, context);
        if (step == 0) result.first_loss = result.last_loss = value;
        result.last_loss = std::min(result.last_loss, value);
        result.steps = step;
        result.passed = result.last_loss < kPassShare * result.first_loss;
        if (result.passed) break;
        optimizer->step(
            std::max(kRate, s.train.learning_rate) *
            std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(kWarmup)));
    }
    return result;
}

void require_sanity(const Session& session) {
    log::info("sanity: overfitting one batch on a copy of the model");
    const SanityResult result = overfit_one_batch(session);
    if (stop_signal() != 0) return;
    if (!result.passed)
        fail(
            kCheckFailed,
            "sanity check: the loss on one batch went from {:.4f} to {:.4f} in {} steps, not below "
            "0.3 of the start; the model cannot learn: look at its code, LEARNING_RATE and "
            "precision",
            result.first_loss, result.last_loss, result.steps);
    log::info("sanity: passed, {:.4f} -> {:.4f} in {} steps; the run itself is untouched",
              result.first_loss, result.last_loss, result.steps);
}

}  // namespace knlp::train
