#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace knlp::track {

/// results/index.sqlite: a cache of all runs that can be rebuilt from the run directories.
struct IndexedRun {
    std::string run_id, path, state, started, model, dataset;
    uint64_t seed = 0;
    int64_t step = 0, tokens = 0;
    double val_loss = 0, best_val_loss = 0, tokens_per_s = 0, wall_s = 0;
    bool substituted = false, synthetic = false;
};
/// Adds or replaces this run's row from its manifest, status and summary. A failure warns, never
/// throws.
void index_run(const std::filesystem::path& output_dir, const std::filesystem::path& run_directory);
void rebuild_index(const std::filesystem::path& output_dir);
std::vector<IndexedRun> list_runs(const std::filesystem::path& output_dir);

}  // namespace knlp::track
