// Checkpoints of a run: taken between two steps, written while the next ones are.

#include "loop.h"

#include "checkpoint_store.h"
#include "knlp/config/build_info.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "snapshot.h"

namespace knlp::train {

namespace {

constexpr int64_t kMaxSaveFailures = 3;

/// A checkpoint that is to be written, by whichever thread: what it consists of beside tensors.
struct Save {
    const Recorder& recorder;
    int64_t step;
    std::string state;   // state.json
    int64_t keep, best;  // checkpoints that stay

    /// With the tensors that `fill` writes into a directory.
    void write(const FillCheckpoint& fill) const {
        const std::filesystem::path& directory = recorder.run().path();
        recorder.run().require_ours();  // or the save of another attempt would be swept away
        write_checkpoint(directory, step, [&](const std::filesystem::path& into) {
            recorder.sync_metrics();
            KnownHashes hashes = fill(into);
            write_file_atomic(into / "state.json", state);
            recorder.run().require_ours();
            return hashes;
        });
        prune_checkpoints(directory, keep, best);
    }
};

}  // namespace

StateFile Loop::state_file(const RunState& resume) {
    const std::filesystem::path& directory = recorder_.run().path();
    // A checkpoint in a directory made anew would belong to a run without a record.
    if (!std::filesystem::exists(directory / "metrics.jsonl"))
        fail_code(kRun, "E_IO",
                  "{}: the run directory was removed or emptied at step {}; start again",
                  directory.string(), state_.step);
    state_.elapsed_s = elapsed();
    state_.metrics_offset = recorder_.metrics_bytes();
    StateFile file{.state = state_,
                   .resume = resume,
                   .choices = session_.choices,
                   .model = session_.model,
                   .optimizer = session_.optimizer_options.name,
                   .optimizer_scalars = session_.optimizer->scalars(),
                   .config_sha256 = config_sha256_,
                   .git = std::string(config::build_info().git_commit),
                   .schedule = session_.train.max_time_s > 0 ? "wallclock" : "steps",
                   .seed = session_.general.seed};
    if (&resume == &state_) file.resume = state_;  // with this offset and time
    return file;
}

void Loop::schedule_save() {
    if (last_saved_ != state_.step) {
        save_scheduled();
    } else if (state_.unrecorded_save != state_.step) {
        record_saved();
        state_.unrecorded_save = state_.step;
    }
}

void Loop::save_scheduled() {
    settle_steps();
    const double begin = steady_seconds();
    settle_save(true);
    record_saved();
    state_.unrecorded_save = state_.step;
    std::shared_ptr<const Snapshot> copies;
    if (session_.background_saves) {
        peak_.save_begins();
        copies =
            Snapshot::take(*session_.gpt2, *session_.optimizer, session_.optimizer_options.name);
        if (copies == nullptr) {
            log::warn("no memory for the copies of a checkpoint; training waits for its saves");
            session_.background_saves = false;
        }
    }
    if (copies == nullptr) {
        save_now(state_);
        return;
    }
    const Save save{recorder_, state_.step, state_text(state_file(state_)),
                    session_.train.checkpoint_keep, state_.best.step};
    saver_.start(save.step, [save, copies = std::move(copies)] {
        save.write([&](const std::filesystem::path& into) { return copies->write(into); });
    });
    state_.save_s += steady_seconds() - begin;
}

void Loop::save_now(const RunState& resume) {
    settle_steps();
    const double begin = steady_seconds();
    const Save save{recorder_, state_.step, state_text(state_file(resume)),
                    session_.train.checkpoint_keep, state_.best.step};
    Saver::Outcome outcome{.step = state_.step, .error = nullptr, .seconds = 0};
    peak_.save_begins();
    try {
        save.write([&](const std::filesystem::path& into) {
            return write_tensors(into, *session_.gpt2, *session_.optimizer,
                                 session_.optimizer_options.name);
        });
    } catch (...) {
        outcome.error = std::current_exception();
    }
    outcome.seconds = steady_seconds() - begin;
    saved(outcome);
    state_.save_s += steady_seconds() - begin;
}

void Loop::settle_save(bool wait) {
    if (const std::optional<Saver::Outcome> outcome = saver_.collect(wait)) saved(*outcome);
}

void Loop::saved(const Saver::Outcome& outcome) {
    peak_.save_ended();
    if (!outcome.error) {
        save_failures_ = 0;
        last_saved_ = outcome.step;
        longest_save_s_ = std::max(longest_save_s_, outcome.seconds);
        return;
    }
    if (state_.unrecorded_save == outcome.step) state_.unrecorded_save = -1;
    try {
        std::rethrow_exception(outcome.error);
    } catch (const Error& error) {
        if (error.code() != "E_IO") throw;
        ++save_failures_;
        const bool last = save_failures_ >= kMaxSaveFailures;
        const std::string text = fmt::format(
            "checkpoint of step {} not saved ({} in a row, {}): {}; older checkpoints are intact",
            outcome.step, save_failures_,
            last ? "the run ends here" : fmt::format("{} end the run", kMaxSaveFailures),
            error.what());
        if (last) fail_code(kRun, "E_IO", "{}", text);
        log::warn("{}", text);
    }
}

void Loop::record_saved() {
    if (state_.unrecorded_save < 0) return;
    recorder_.checkpoint(state_.unrecorded_save);
    state_.unrecorded_save = -1;
}

}  // namespace knlp::train
