#include "session.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/data/batches.h"
#include "knlp/model/anomaly.h"
#include "knlp/model/attention.h"
#include "text.h"

#include <algorithm>

namespace knlp::train {

namespace {

constexpr double kOptimizerBytes_per_s = 8e9;  // a slow memory; the step is small beside the rest
// Operations that a timed pass may take: a fraction of a second, so that the first step is not long
// in coming.
constexpr double kShortPass = 3e10, kLongPass = 1e11;

/// Seconds of one forward and backward pass over rows of `length` tokens.
double time_pass(Session& s, int64_t step, int64_t rows, int64_t length) {
    const data::Batch batch =
        data::make_batch(s.dataset().train, s.general.seed, step, 0, rows, length);
    const double start = steady_seconds();
    model::AnomalyWatch watch;  // what it finds, the first step finds again
    model::ForwardContext context{.training = true,
                                  .seed = s.general.seed,
                                  .step = step,
                                  .bf16 = s.bf16(),
                                  .anomalies = s.debug_anomaly ? &watch : nullptr};
    s.gpt2->loss_and_gradients(batch, context);
    s.gpt2->clear_gradients();
    return steady_seconds() - start;
}

/// Seconds of one micro-batch. A large one is not taken as a whole: two short sequences tell what a
/// pass costs at all (gradients of the weights, above all) and what each token adds.
double time_micro_batch(Session& s, int64_t step) {
    const double tokens = static_cast<double>(s.batch.micro * s.model.n_ctx);
    const double a_token = model::flops_per_token(s.model, s.model.n_ctx);
    const auto fitting = [&](double flops) {
        return std::clamp(static_cast<int64_t>(flops / a_token), int64_t{1}, s.model.n_ctx);
    };
    const int64_t shorter = fitting(kShortPass), longer = fitting(kLongPass);
    if (tokens * a_token <= kLongPass || shorter == longer) {
        // The first pass also pays for fresh memory and for the set-up of libraries.
        time_pass(s, step, s.batch.micro, s.model.n_ctx);
        return time_pass(s, step, s.batch.micro, s.model.n_ctx);
    }
    time_pass(s, step, 1, shorter);
    const double few = time_pass(s, step, 1, shorter), more = time_pass(s, step, 1, longer);
    const double slope = std::max(0.0, more - few) / static_cast<double>(longer - shorter);
    const double fixed = std::max(0.0, few - slope * static_cast<double>(shorter));
    // A token of a whole window attends to more others.
    return fixed + slope * tokens * a_token / model::flops_per_token(s.model, longer);
}

}  // namespace

void measure_time(Session& s, const TrainRequest& request, int64_t step, double elapsed_s) {
    const double micro_s = time_micro_batch(s, step);
    const auto micro_tokens = static_cast<double>(s.batch.micro * s.model.n_ctx);
    const auto eval_tokens = static_cast<double>(std::ssize(s.eval_starts) * s.model.n_ctx);
    const double flops = model::flops_per_token(s.model, s.model.n_ctx);
    const TimeInputs inputs{
        .step_s = micro_s * static_cast<double>(s.batch.accumulation) +
                  3 * static_cast<double>(s.checkpoint_bytes) / kOptimizerBytes_per_s,
        .eval_s = micro_s / 3 * eval_tokens / micro_tokens,
        .flops_per_s = flops * micro_tokens / micro_s,
        .elapsed_s = elapsed_s,
        .tokens_per_step = s.tokens_per_step(),
        .steps_done = step};
    s.time = estimate_time(s.train, inputs);
    require_one_step(s.train, inputs, s.time);
    if (s.time.incomplete.empty()) return;
    if (request.strict)
        fail_code(kRun, "E_SCHEDULE",
                  "the schedule cannot complete: {} (refused because of STRICT)",
                  s.time.incomplete);
    s.warnings.push_back("the schedule cannot complete: " + s.time.incomplete);
}

}  // namespace knlp::train
