// How a run pauses and ends: evaluations, signals, divergence, the last events.

#include "loop.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/model/weights.h"
#include "knlp/train/checkpoint.h"
#include "tensors.h"
#include "text.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <numbers>

namespace knlp::train {

namespace {

// Bytes a second that a checkpoint is taken to be written with until one was: slow for a disk.
constexpr double kSlowWrite = 50e6;

}  // namespace

bool Loop::job_ends() const {
    const int64_t steps = state_.step - start_step_;
    // Without a step there would be nothing more to save than there is.
    if (!job_end_s_ || !session_.train.save_checkpoint || steps == 0) return false;
    const double step = (state_.train_s - start_train_s_) / static_cast<double>(steps),
                 save = longest_save_s_ > 0
                            ? longest_save_s_
                            : static_cast<double>(session_.checkpoint_bytes) / kSlowWrite;
    // Twice: another save may be under way.
    return *job_end_s_ - wall_seconds() < 2 * save + step;
}

bool Loop::stop_wanted() {
    if (stop_signal() == 0 && job_ends()) {
        log::info("the batch job ends in {:.0f} s: stopping while there is time to save",
                  std::max(0.0, *job_end_s_ - wall_seconds()));
        request_stop(SIGUSR1);
    }
    return stop_signal() != 0;
}

EvalResult Loop::measure_eval() {
    return evaluate_windows(*session_.gpt2, session_.dataset().val, session_.eval_starts,
                            session_.batch.micro, session_.train.eval_precision, [this] {
                                recorder_.heartbeat();
                                return stop_wanted();
                            });
}

void Loop::record_eval(EvalResult result) {
    // Compared with the best before it is replaced; the fresh model is no candidate.
    const bool best = state_.step > 0 && result.loss < state_.best.val_loss;
    if (best) state_.best = {.val_loss = result.loss, .step = state_.step};
    recorder_.eval({.step = state_.step,
                    .tokens = state_.tokens,
                    .eval_tokens = result.tokens,
                    .train_loss = state_.since_eval.mean(),
                    .val_loss = result.loss,
                    .val_se = result.standard_error,
                    .seconds = result.seconds,
                    .elapsed_s = elapsed(),
                    .best = best,
                    .batches_sha256 = session_.eval_sha256});
    log::info("step {:>6}  val loss {:.4f} ± {:.4f} nats/token{}", state_.step, result.loss,
              result.standard_error, best ? "  best" : "");
    state_.since_eval = {};
    state_.eval_s += result.seconds;
    state_.last_val_loss = result.loss;
    state_.last_eval_step = state_.step;
    last_eval_ = std::move(result);
}

bool Loop::evaluate() {
    settle_steps();
    EvalResult result = measure_eval();
    if (!result.complete) return false;
    settle_save(true);
    record_saved();
    record_eval(std::move(result));
    return true;
}

std::filesystem::path Loop::save_batch(int64_t step) const {
    const std::filesystem::path file =
        recorder_.run().file(fmt::format("bad-batch-step-{:08}.safetensors", step));
    write_batch(file, session_, step);
    return file;
}

void Loop::found_anomaly(int64_t micro, const std::string& tensor) {
    const std::filesystem::path batch = save_batch(state_.step);
    saver_.collect(true);  // its error would hide this one
    fail_code(kRun, "E_DIVERGED",
              "step {}, micro-batch {}: the first tensor that is not finite is {} "
              "(--debug-anomaly); batch saved as {}",
              state_.step, micro, tensor, batch.string());
}

void Loop::diverged(const StepOutcome& outcome) {
    const std::filesystem::path& directory = recorder_.run().path();
    const std::filesystem::path batch = save_batch(outcome.step);
    std::string tensor = session_.gpt2->first_bad_parameter();
    tensor = !tensor.empty()                   ? "weight " + tensor
             : !outcome.info.first_bad.empty() ? "gradient of " + outcome.info.first_bad
                                               : "the loss itself (weights are finite)";
    saver_.collect(true);  // its error would hide the worse one
    const std::vector<CheckpointInfo> good = list_checkpoints(directory);
    fail_code(
        kRun, "E_DIVERGED",
        "training diverged: loss {} at step {}, lr {:.3e}, {} bad steps in a row; first bad "
        "tensor: {}; "
        "last good checkpoint: {}; batch saved as {}; lower LEARNING_RATE or GRADIENT_CLIP_NORM",
        outcome.loss, outcome.step, outcome.lr, state_.bad_in_a_row, tensor,
        good.empty() ? "none" : good.back().path.string(), batch.string());
}

Cost Loop::cost() const {
    return {.wall_s = elapsed(),
            .train_s = state_.train_s,
            .eval_s = state_.eval_s,
            .save_s = state_.save_s,
            .startup_s = startup_s_,
            .peak_rss_bytes = peak_.overall(),
            .peak_rss_outside_saves_bytes = peak_.outside_saves()};
}

int Loop::stop() {
    settle_steps();
    const int signal = stop_signal(), status = stop_exit_status(signal);
    settle_save(true);
    state_.elapsed_s = elapsed();
    if (session_.train.save_checkpoint && last_saved_ != state_.step && state_.step > 0)
        save_now(state_);
    record_saved();  // cut off again when the run goes on: the checkpoint knows of it
    recorder_.stopped(signal, status, state_, cost());
    log::info("stopped by signal {} after step {}; go on with: knlp train --resume {}", signal,
              state_.step, recorder_.run().path().string());
    return status;
}

int Loop::finish(const std::string& reason) {
    settle_steps();
    settle_save(true);
    state_.elapsed_s = elapsed();
    state_.metrics_offset = recorder_.metrics_bytes();
    const RunState before =
        state_;  // a larger budget goes on from here as if there had been no end
    const bool evaluated = state_.last_eval_step == state_.step;
    EvalResult result = evaluated && last_eval_ ? std::move(*last_eval_) : measure_eval();
    if (!result.complete) return stop();
    record_saved();
    const int64_t last = state_.step - 1;
    if (state_.since_log.steps > 0 && state_.last_logged_step != last)
        log_train(last, state_.tokens - session_.tokens_per_step());
    if (evaluated)
        last_eval_ = std::move(result);
    else
        record_eval(std::move(result));
    if (session_.train.save_checkpoint && state_.step > 0 &&
        (!evaluated || last_saved_ != state_.step)) {
        save_now(before);
        if (last_saved_ != state_.step)
            fail_code(kRun, "E_IO",
                      "{}: the trained model could not be saved; make room and go on with "
                      "knlp train --resume",
                      recorder_.run().path().string());
    }
    const data::DatasetMeta& meta = session_.dataset().meta;
    const double bytes_per_token = meta.val_tokens > 0 ? static_cast<double>(meta.val_bytes) /
                                                             static_cast<double>(meta.val_tokens)
                                                       : 0;
    int64_t cache_bytes = 0;
    for (const model::CacheSpec& spec : model::cache_specs(session_.model))
        cache_bytes += model::cache_bytes_per_token(spec);
    final_ = FinalEvent{
        .step = state_.step,
        .tokens = state_.tokens,
        .parameters = model::parameter_count(session_.model),
        .cache_bytes_per_token = cache_bytes,
        .train_loss = before.since_log.steps > 0 ? before.since_log.mean() : last_train_loss_,
        .val_loss = last_eval_->loss,
        .val_se = last_eval_->standard_error,
        .bits_per_byte = bytes_per_token > 0
                             ? last_eval_->loss / std::numbers::ln2 / bytes_per_token
                             : std::nan(""),
        .best = state_.best,
        .cost = cost(),
        .exit = reason};
    return 0;
}

}  // namespace knlp::train
