#pragma once

#include "knlp/train/choices.h"
#include "knlp/train/evaluator.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace knlp::config {
class Symbols;
}

namespace knlp::track {
struct Manifest;
}

namespace knlp::train {

/// What `knlp train` was asked, beyond the configuration.
struct TrainRequest {
    std::filesystem::path out;        // "" = results/runs/<stamp>-<name>
    std::filesystem::path resume;     // run directory to go on with
    std::filesystem::path init_from;  // checkpoint, run or Hugging Face directory to start from
    bool allow_config_change = false, strict = false, dry_run = false, force = false;
    bool eval_only = false;        // measure the weights training would begin with, and end
    bool debug_anomaly = false;    // end at the first tensor that is not finite; slow
    bool device_required = false;  // DEVICE was asked for by name: no fall back to the CPU
    bool queue_steps = false;      // take steps on the CPU as on a device with a queue: for tests
    /// Made by a plan: a new run takes these and chooses nothing itself. Error{kNotAvailable} where
    /// this machine cannot.
    std::optional<Choices> choices;
    std::string device_kind;   // "cpu" or "cuda", of a plan: the run is on that, or is refused
    std::string command_line;  // for the manifest
    std::string preset;        // name of the defconfig, for the manifest; "" if not known
    /// Called before each micro-batch: whoever wants to stop a run at a precise place does it here.
    std::function<void(int64_t step, int64_t micro)> on_micro_batch;
    /// Given what manifest.json is going to say, before a new run directory is made or a run goes
    /// on: may add to it, or throw.
    std::function<void(track::Manifest& manifest)> on_manifest;
    /// Asked before a status, a result or a checkpoint is published: throws Error{kLocked} when the
    /// run is no longer this process's. See track::RunDir::also_require().
    std::function<void()> still_ours;
};

/// What the weights at `step` come to on the run's evaluation windows.
struct Measured {
    int64_t step = 0;
    EvalResult eval;
    std::string batches_sha256;
};

struct TrainOutcome {
    int status = 0;                       // 0 done, 75 stopped early, 130 interrupted
    std::filesystem::path run_directory;  // empty after a dry run, and after eval_only
    std::optional<Measured> measured;     // of eval_only, unless a signal came first
};

/// Trains as `symbols` say, or with eval_only measures and writes nothing. What timing or free
/// memory chose is recorded in them (origin auto). Error{kConfig, "E_RESUME_MISMATCH"} listing
/// symbols that differ from the run resumed; Error{kLocked} when another process works on the run;
/// Error{kRun} with E_MEMORY, E_DISK, E_TIME, E_SCHEDULE before the first step, E_DIVERGED or E_IO
/// later; Error{kCheckFailed} when
/// --sanity-overfit says no.
TrainOutcome run_training(config::Symbols& symbols, const TrainRequest& request);

}  // namespace knlp::train
