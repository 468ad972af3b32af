#pragma once

#include "knlp/config/model.h"
#include "knlp/train/choices.h"

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace knlp::train {

/// The best evaluation so far.
struct Best {
    double val_loss = std::numeric_limits<double>::infinity();
    int64_t step = -1;  // -1: none yet
};

/// Sums over the steps since the last event of a kind; they outlive an interruption.
struct Window {
    double loss = 0;
    int64_t steps = 0;  // with a finite loss
    /// NaN when no step counted.
    double mean() const;
    void add(double value);
};

/// Finite losses of the last steps, to tell a spike from noise; they outlive an interruption.
struct RecentLosses {
    static constexpr size_t kSteps = 128;
    std::vector<double> losses;  // oldest first, at most kSteps
    /// Standard deviations of `loss` above the mean of the losses before it, which it then joins; 0
    /// until there are kSteps of them.
    double add(double loss);
};

/// Where a run stands between two steps. Everything that decides the steps to come, beside weights
/// and optimizer state: random numbers and data are functions of (seed, step).
struct RunState {
    int64_t step = 0;  // steps taken; a skipped one counts, its batch is used up
    int64_t tokens = 0;
    double elapsed_s = 0;  // wall time of all attempts
    double train_s = 0;    // of it, in steps: without start-up, evaluation and checkpoints
    double eval_s = 0;     // of it, in the forward passes of evaluation windows
    double save_s = 0;     // of it, held up by checkpoints
    Best best;
    double last_val_loss = std::numeric_limits<double>::quiet_NaN();
    int64_t last_eval_step = -1, last_logged_step = -1;
    Window since_log, since_eval;
    RecentLosses recent;
    int64_t bad_in_a_row = 0, bad_total = 0;
    int64_t metrics_offset = 0;  // bytes of metrics.jsonl
    /// Step whose checkpoint is still to be entered in the metrics, or -1. Entered before the next
    /// evaluation, scheduled save or end, when it is on the disk: so the order of events does not
    /// depend on how long a save took.
    int64_t unrecorded_save = -1;
};

/// state.json of a checkpoint.
struct StateFile {
    RunState state;   // as the run stands, a final evaluation included
    RunState resume;  // what going on starts from: before the events of the end
    Choices choices;
    config::Model model;
    std::string optimizer, optimizer_scalars;  // row of the table; its scalars as JSON text
    std::string config_sha256, git, schedule;  // schedule: kind, or "wallclock" with a time budget
    uint64_t seed = 0;
};

std::string state_text(const StateFile& file);
/// Error{kData} naming the path and the field that is missing or of another type.
StateFile read_state_file(const std::filesystem::path& path);

/// Fields of a model as one JSON object.
std::string model_text(const config::Model& model);

}  // namespace knlp::train
