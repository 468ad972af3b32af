#pragma once

#include "knlp/bench/record.h"
#include "knlp/config/symbols.h"

#include <cstdint>
#include <filesystem>

namespace knlp::bench {

/// The trainer as it is, end to end, with everything a run does beside its steps and without.
struct TrainBenchRequest {
    /// Logging, system statistics, evaluation windows and checkpoints as configured, the latter two
    /// once every `steps` steps; and all of it off. Both stop after stretch_end(steps).
    config::Symbols on, off;
    int64_t steps = 100;              // of the stretch that is timed
    int64_t samples = 7;              // runs of each kind, in turns
    std::filesystem::path directory;  // for run directories; all are deleted
};
/// Steps a run of such a stretch must take: an evaluation and a checkpoint fall into its middle.
int64_t stretch_end(int64_t steps);

/// "train": seconds a step with everything on, the forward time of evaluation windows subtracted;
/// rival "all off"; results steps_per_s, steps_per_s_off, ratio, eval_s (of a stretch).
/// Error{kUsage} for fewer than kFewestSamples; what run_training() throws.
Record bench_train(const TrainBenchRequest& request);

}  // namespace knlp::bench
