#pragma once

#include "knlp/config/train.h"
#include "knlp/core/memory_estimate.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace knlp::train {

/// Error{kRun, "E_MEMORY"} with the three largest terms and the batch size that would fit when the
/// total does not; with `force` a warning instead.
void require_memory(const MemoryEstimate& estimate, bool force);

/// Error{kRun, "E_DISK"} unless 2.2 checkpoints fit below `directory` (or its nearest existing
/// parent).
void require_disk(const std::filesystem::path& directory, int64_t checkpoint_bytes, bool force);

/// Error{kRun, "E_IO"} unless a directory can be made at `directory`; leaves nothing behind.
void require_writable(const std::filesystem::path& directory);

/// What the clock allows.
struct TimeEstimate {
    double step_s = 0, eval_s = 0;
    int64_t steps = 0;  // that the budgets will reach
    double total_s = 0;
    std::string incomplete;      // why the schedule cannot complete, or ""
    std::string nearest_preset;  // where the machine is too slow for this one, or ""
};

/// flops_per_s: of training, as measured. steps_done > 0 on resume.
struct TimeInputs {
    double step_s = 0, eval_s = 0, flops_per_s = 0, elapsed_s = 0;
    int64_t tokens_per_step = 0, steps_done = 0;
};
TimeEstimate estimate_time(const config::Train& train, const TimeInputs& inputs);

/// Error{kRun, "E_TIME"} when the time budget is shorter than one step. Nothing on resume.
void require_one_step(const config::Train& train, const TimeInputs& inputs,
                      const TimeEstimate& estimate);

/// A shipped preset and what it costs: the table behind "nearest preset", dearest first.
struct PresetCost {
    const char* name;
    int64_t n_layer, d_model, vocab_size, n_ctx, effective_batch, max_iters;
    double flops() const;  // of the whole run, 6 N + 12 L C T a token
};
std::span<const PresetCost> preset_costs();

}  // namespace knlp::train
