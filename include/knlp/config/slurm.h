#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace knlp::config {

class Symbols;

/// How the cells of a test matrix are run, and what their jobs ask a Slurm cluster for.
struct Slurm {
    bool chosen = false;       // MATRIX_ENGINE: a cluster, not this machine
    std::string partition;     // "" = the cluster's default
    std::string time;          // limit of a job, as Slurm writes it
    std::string gres;          // "" = none
    int64_t cpus = 2;          // of a cell, at least
    std::string memory;        // "" = the partition's default
    int64_t max_parallel = 0;  // cells at once; 0 = no limit
    std::string extra;         // other options of sbatch
};
/// Error{kConfig} for a time or an amount of memory that Slurm would not take, a time below
/// kMinSlurmSeconds, and text that would end its line in a script.
Slurm read_slurm(const Symbols& symbols);

/// A job is told of its end two minutes before, and Slurm looks every half minute: with less than
/// this a cell would be queued again before it had taken a step.
inline constexpr int64_t kMinSlurmSeconds = 300;

/// Seconds of "minutes", "minutes:seconds", "hours:minutes:seconds", "days-hours",
/// "days-hours:minutes" or "days-hours:minutes:seconds"; nothing for other text.
std::optional<int64_t> slurm_seconds(std::string_view text);

}  // namespace knlp::config
