#include "loop.h"

#include "knlp/config/environment.h"
#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/model/anomaly.h"
#include "knlp/model/device_peak.h"
#include "knlp/optim/schedule.h"
#include "text.h"

#include <algorithm>
#include <cmath>

namespace knlp::train {

namespace {

// An evaluation before the first step is cheap when it costs less than about this many steps: a
// forward pass is a third of a step.
constexpr int64_t kCheapSteps = 32;

// Standard deviations above the recent mean that are told as a spike: noise of a Gaussian kind
// would get there once in 10^9 steps.
constexpr double kSpike = 6;

}  // namespace

Loop::Loop(Session& session, RunState& state, Recorder& recorder, const TrainRequest& request,
           std::string config_sha256)
    : session_(session),
      state_(state),
      recorder_(recorder),
      request_(request),
      config_sha256_(std::move(config_sha256)),
      start_step_(state.step),
      start_train_s_(state.train_s) {
    if (const std::optional<config::BatchJob> job = config::batch_job()) job_end_s_ = job->end_s;
    if (session.optimizer->queued() == nullptr) return;
    queue_ = std::make_unique<DeviceSteps>(*session.gpt2, *session.optimizer,
                                           DeviceStepOptions{
                                               .micro = session.batch.micro,
                                               .accumulation = session.batch.accumulation,
                                               .seed = session.general.seed,
                                               .bf16 = session.bf16(),
                                           });
    if (!queue_->not_recorded().empty())
        log::info("steps are not recorded as a graph: {}", queue_->not_recorded());
}

double Loop::elapsed() const {
    return steady_seconds() - start_s_;
}

bool Loop::out_of_time() const {
    return session_.train.max_time_s > 0 && elapsed() >= session_.train.max_time_s;
}

std::string Loop::reached() const {
    const config::Train& train = session_.train;
    if (train.max_iters > 0 && state_.step >= train.max_iters) return "max_iters";
    if (train.max_tokens > 0 && state_.tokens >= train.max_tokens) return "max_tokens";
    return out_of_time() ? "max_time" : "";
}

int64_t Loop::planned_steps() const {
    const config::Train& train = session_.train;
    if (train.max_time_s > 0) return 0;
    int64_t steps = train.max_iters;
    if (train.max_tokens > 0) {
        // Earlier attempts may have had another batch.
        const int64_t a_step = session_.tokens_per_step(), left = train.max_tokens - state_.tokens,
                      by_tokens = state_.step + std::max<int64_t>(0, left + a_step - 1) / a_step;
        steps = steps > 0 ? std::min(steps, by_tokens) : by_tokens;
    }
    return steps;
}

bool Loop::evaluation_due() const {
    if (state_.last_eval_step == state_.step || state_.step % session_.train.eval_interval != 0)
        return false;
    const int64_t eval_tokens = std::ssize(session_.eval_starts) * session_.model.n_ctx;
    return state_.step > 0 || eval_tokens <= kCheapSteps * session_.tokens_per_step();
}

int Loop::run() {
    const config::Train& train = session_.train;
    data::BatchLoader loader(session_.dataset().train, session_.general.seed, state_.step,
                             session_.batch.micro, session_.batch.accumulation,
                             session_.model.n_ctx);
    start_s_ = steady_seconds() - state_.elapsed_s;
    startup_s_ = process_age_s();
    recorder_.started_after(startup_s_);
    if (start_step_ > 0) last_saved_ = start_step_;
    for (;;) {
        settle_save(false);
        const int64_t best_before = state_.best.step;
        if (evaluation_due() && !evaluate()) return stop();
        const bool new_best = state_.best.step != best_before;
        const bool due = state_.step > 0 && state_.step % train.checkpoint_interval == 0;
        if (train.save_checkpoint && (due || new_best)) schedule_save();
        if (const std::string reason = reached(); !reason.empty()) return finish(reason);
        if (stop_wanted()) return stop();
        switch (queue_ ? enqueue_step(loader) : take_step(loader)) {
            case StepEnd::kDone:
                break;
            case StepEnd::kSignal:
                return stop();
            case StepEnd::kTimeUp:
                return finish("max_time");
        }
    }
}

std::optional<data::Batch> Loop::next_batch(data::BatchLoader& loader, int64_t micro,
                                            StepEnd& why) {
    if (request_.on_micro_batch) request_.on_micro_batch(state_.step, micro);
    if (stop_wanted() || out_of_time()) {
        why = stop_signal() != 0 ? StepEnd::kSignal : StepEnd::kTimeUp;
        return std::nullopt;
    }
    const double begin = steady_seconds();
    data::Batch batch = loader.next();
    spent_.data += steady_seconds() - begin;
    return batch;
}

std::optional<double> Loop::accumulate(data::BatchLoader& loader, StepEnd& why) {
    const BatchPlan& plan = session_.batch;
    const double targets = static_cast<double>(session_.tokens_per_step());
    double loss = 0;
    for (int64_t micro = 0; micro < plan.accumulation; ++micro) {
        const std::optional<data::Batch> batch = next_batch(loader, micro, why);
        if (!batch) return std::nullopt;
        const double fetched = steady_seconds();
        if (!std::isfinite(loss)) continue;  // keeps the loader in step with the run
        model::AnomalyWatch watch;
        model::ForwardContext context{.training = true,
                                      .seed = session_.general.seed,
                                      .step = state_.step,
                                      .micro = micro,
                                      .first_row = micro * plan.micro,
                                      .bf16 = session_.bf16(),
                                      .anomalies = session_.debug_anomaly ? &watch : nullptr};
        loss += session_.gpt2->loss_and_gradients(*batch, context, targets);
        if (!watch.first_bad().empty()) found_anomaly(micro, watch.first_bad());
        spent_.forward += context.forward_s;
        spent_.backward += steady_seconds() - fetched - context.forward_s;
        show_progress(loss * static_cast<double>(plan.accumulation) /
                      static_cast<double>(micro + 1));
    }
    return loss;
}

Loop::StepEnd Loop::take_step(data::BatchLoader& loader) {
    const double begin = steady_seconds();
    session_.gpt2->clear_gradients();
    state_.elapsed_s = elapsed();
    lr_ = optim::learning_rate(session_.train, {state_.step, state_.tokens, state_.elapsed_s});
    StepEnd why = StepEnd::kDone;
    const std::optional<double> loss = accumulate(loader, why);
    if (!loss) {
        session_.gpt2->clear_gradients();  // replayed on resume
        return why;
    }
    const double accumulated = steady_seconds();
    StepOutcome outcome{
        .step = state_.step, .lr = lr_, .loss = *loss, .info = {.finite = std::isfinite(*loss)}};
    if (outcome.info.finite) outcome.info = session_.optimizer->step(lr_);
    spent_.optimizer += steady_seconds() - accumulated;
    book(outcome);
    step_taken(begin);
    return StepEnd::kDone;
}

Loop::StepEnd Loop::enqueue_step(data::BatchLoader& loader) {
    const double begin = steady_seconds();
    state_.elapsed_s = elapsed();
    lr_ = optim::learning_rate(session_.train, {state_.step, state_.tokens, state_.elapsed_s});
    StepEnd why = StepEnd::kDone;
    for (int64_t micro = 0; micro < session_.batch.accumulation; ++micro) {
        const std::optional<data::Batch> batch = next_batch(loader, micro, why);
        if (!batch) {
            queue_->drop();  // replayed on resume
            return why;
        }
        queue_->add(*batch);
    }
    queue_->run(state_.step, lr_);
    show_progress(last_train_loss_);
    step_taken(begin);
    return StepEnd::kDone;
}

void Loop::step_taken(double begin) {
    const int64_t step = state_.step++, tokens = state_.tokens;
    state_.tokens += session_.tokens_per_step();
    const double spent = steady_seconds() - begin;
    step_time_ += spent;
    state_.train_s += spent;
    ++timed_steps_;
    if (step % session_.train.log_interval != 0) return;
    settle_steps();
    log_train(step, tokens);
}

void Loop::book(const StepOutcome& outcome) {
    if (!outcome.info.finite) {
        skip_step(outcome);
        return;
    }
    state_.bad_in_a_row = 0;
    state_.since_log.add(outcome.loss);
    state_.since_eval.add(outcome.loss);
    if (const double z = state_.recent.add(outcome.loss); z > kSpike)
        recorder_.warn(
            outcome.step,
            fmt::format("loss spike: {:.4f} at step {}, {:.1f} standard deviations above "
                        "the mean of the {} steps before",
                        outcome.loss, outcome.step, z, RecentLosses::kSteps));
    grad_norm_ = outcome.info.grad_norm;
    clip_ = outcome.info.clip;
}

void Loop::settle_steps() {
    if (!queue_) return;
    const double begin = steady_seconds();
    const std::vector<StepOutcome> outcomes = queue_->collect();
    const double waited = steady_seconds() - begin;  // for steps, whose time it is
    step_time_ += waited;
    state_.train_s += waited;
    for (const StepOutcome& outcome : outcomes) book(outcome);
}

void Loop::skip_step(const StepOutcome& outcome) {
    ++state_.bad_in_a_row;
    ++state_.bad_total;
    if (state_.bad_in_a_row >= session_.train.max_bad_steps) diverged(outcome);
    recorder_.warn(
        outcome.step,
        fmt::format("step {} skipped, its {} is not finite ({} in a row, {} stop the run)",
                    outcome.step,
                    std::isfinite(outcome.loss) ? "gradient of " + outcome.info.first_bad : "loss",
                    state_.bad_in_a_row, session_.train.max_bad_steps));
}

void Loop::log_train(int64_t step, int64_t tokens) {
    const double steps = static_cast<double>(std::max<int64_t>(timed_steps_, 1));
    const double speed =
        step_time_ > 0 ? steps * static_cast<double>(session_.tokens_per_step()) / step_time_ : 0;
    const double loss = state_.since_log.mean();
    std::optional<double> mfu;
    if (session_.peak_flops)
        mfu = model::mfu(speed, model::flops_per_token(session_.model, session_.model.n_ctx),
                         *session_.peak_flops);
    recorder_.train({.step = step,
                     .tokens = tokens,
                     .loss = loss,
                     .lr = lr_,
                     .grad_norm = grad_norm_,
                     .clip = clip_,
                     .bad_steps = state_.bad_total,
                     .tokens_per_s = speed,
                     .elapsed_s = elapsed(),
                     .mfu = mfu,
                     .ms = {1e3 * spent_.data / steps, 1e3 * spent_.forward / steps,
                            1e3 * spent_.backward / steps, 1e3 * spent_.optimizer / steps}});
    if (!progress_.live())
        log::info("step {:>6}  loss {:.4f}  lr {:.2e}  norm {:.2f}  {} tokens/s", step, loss, lr_,
                  grad_norm_, count_text(static_cast<int64_t>(speed)));
    last_train_loss_ = loss;
    state_.since_log = {};
    state_.last_logged_step = step;
    spent_ = {};
    timed_steps_ = 0;
    step_time_ = 0;
}

void Loop::show_progress(double loss) {
    recorder_.heartbeat();
    if (!progress_.live()) return;
    const double now = elapsed();
    const double p = optim::progress_of(session_.train, {state_.step, state_.tokens, now});
    const double tokens = static_cast<double>(timed_steps_ * session_.tokens_per_step());
    progress_.show({.step = state_.step,
                    .planned_steps = planned_steps(),
                    .progress = p,
                    .loss = loss,
                    .lr = lr_,
                    .tokens_per_s = step_time_ > 0 ? tokens / step_time_ : 0,
                    .elapsed_s = now,
                    .eta_s = p > 0 ? now * (1 - p) / p : -1});
}

}  // namespace knlp::train
