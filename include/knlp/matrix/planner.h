#pragma once

#include "knlp/config/symbols.h"
#include "knlp/matrix/plan.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace knlp::matrix {

/// What a plan is made from, beyond the configuration.
struct PlanRequest {
    std::string name, preset;
    std::filesystem::path sweep_file;  // with axes beyond those of the configuration
    /// Finished runs that are the baseline: directories of runs or matrices, or rows of the ledger,
    /// below the output directory. They become the cells of the arm that is their experiment, or of
    /// one more arm.
    std::vector<std::string> baseline_from;
    int64_t pilot_seeds = 0;  // above 0: only so many seeds of the baseline and of one other arm
    bool dry_run = false;     // data is not looked at, nothing is timed, built or written
    bool strict = false;      // no substitute for missing data
    std::filesystem::path binary = "/proc/self/exe";  // that runs the cells
    /// Makes the binary of an arm that sets build symbols; asked once for each set of them. Its
    /// `symbols` are set afterwards.
    std::function<Build(const config::Symbols& arm)> make_build;
};

/// The plan of `base`. Rules of framework §15: arms and seeds, choices fixed for all cells, equal
/// data, windows, batch and budget. Error{kConfig} or {kUsage} for what makes no fair comparison or
/// no plan at all; errors of the trainer for a configuration that could not run.
Plan make_plan(const config::Symbols& base, const PlanRequest& request);

/// Puts plan and base configuration into an empty directory, with `binary` as the kept one of the
/// first build and the cells that were imported. All of it is on the disk when it returns.
void write_plan(const std::filesystem::path& directory, const std::filesystem::path& output_dir,
                Plan& plan, const config::Symbols& base, const std::filesystem::path& binary);

/// A copy of a binary at bin/<first 12 of its hash>/knlp below `directory`; returns its hash.
std::string keep_binary(const std::filesystem::path& directory,
                        const std::filesystem::path& binary);
std::string kept_path(const std::string& sha256);

/// Cells of these seeds added to a planned matrix: writes the next extension file and returns what
/// it says. Error{kUsage} for a seed that is planned already. dry_run: nothing is written.
Extension extend_plan(const std::filesystem::path& directory, const std::vector<uint64_t>& seeds,
                      bool dry_run = false);

}  // namespace knlp::matrix
