#pragma once

#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/matrix/plan.h"

#include <cstdint>
#include <filesystem>
#include <string>

namespace knlp::app {

/// Options of the verbs that run cells.
struct CellOptions {
    std::string cells;
    int64_t jobs = 0;
    bool allow_drift = false;
};
void add_cell_options(Parser verb, CellOptions& options);

/// Runs what is not done, and prints what came of it. `again`: failures so far do not count.
int run_cells(const Common& common, const std::filesystem::path& directory,
              const CellOptions& options, bool again = false);

/// Error{kUsage} for a symbol or a seed that is set for this call: what cells run is fixed by their
/// plan. `made`: those of make's variables too.
void refuse_overrides(const Common& common, bool made);

/// The table of the cells and what is left, as text.
std::string progress_of(const std::filesystem::path& directory, const matrix::Plan& plan,
                        int64_t jobs);

/// The newest matrix with cells left to run. Error{kUsage} when there is none.
std::filesystem::path newest_matrix(const Common& common);

}  // namespace knlp::app
