#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace knlp::track {

/// results/index.sqlite: a cache of all runs that can be rebuilt from the run directories.
struct IndexedRun {
    /// path: relative to the output directory, absolute when the run lies elsewhere (--out).
    std::string run_id, path, state, started, model, dataset;
    std::string init_from;  // where its first weights came from (--init-from), "" = from the seed
    uint64_t seed = 0;
    int64_t step = 0, tokens = 0;  // done so far: of an interrupted run, as checkpoint and log say
    /// tokens_per_s: of training, the median of the logged values; the summary's when none is
    /// logged.
    double val_loss = 0, best_val_loss = 0, tokens_per_s = 0, wall_s = 0;
    bool substituted = false, synthetic = false;
};
/// Adds or replaces this run's row from its manifest, status and summary. A failure warns, never
/// throws.
void index_run(const std::filesystem::path& output_dir, const std::filesystem::path& run_directory);
/// Makes the index anew from the runs below output_dir/runs and those it knows of elsewhere.
void rebuild_index(const std::filesystem::path& output_dir);
/// Runs whose directories are there. Those that the index has as running are looked up in them.
std::vector<IndexedRun> list_runs(const std::filesystem::path& output_dir);

}  // namespace knlp::track
