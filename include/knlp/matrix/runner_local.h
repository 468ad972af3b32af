#pragma once

#include "knlp/matrix/cell_state.h"
#include "knlp/matrix/plan.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace knlp::matrix {

struct RunnerOptions {
    int64_t jobs = 0;   // cells at once; 0: the plan's
    std::string cells;  // glob of ids, "" = all
    bool allow_drift = false;
    bool again = false;   // failures so far do not count: a rerun
    double grace_s = 30;  // between SIGTERM and SIGKILL
};

struct RunnerOutcome {
    /// 0 all cells wanted are done, 4 some are not, 75 and 130 stopped by SIGTERM, SIGINT.
    int status = 0;
    struct Failure {
        std::string cell, reason;
    };
    std::vector<Failure> failures;
    int64_t cells = 0;  // that this runner ran to their end
    double wall_s = 0, cell_wall_s = 0;
    /// Time in which a cell could have run and did not, over the wall time of cells: (wall × slots
    /// − Σ cell wall) / Σ cell wall, slots being those that had a cell to run.
    double overhead = 0;
};

/// Runs the cells of a plan that are not done, several at once, each as a process of the plan's
/// binary in a process group of its own, until none is left; waits for those that run elsewhere. A
/// failure ends only its cell, which is tried again as often as the plan says, unless it would fail
/// in the same way. SIGINT and SIGTERM end the cells in order; a second SIGINT at once. What
/// happens is shown on stderr and noted in journal.jsonl.
/// Error{kLocked} naming the file when what lies at a claim is none.
RunnerOutcome run_local(const std::filesystem::path& matrix, const Plan& plan,
                        const RunnerOptions& options);

/// Cells at once of this plan on this machine: what was asked for, the plan's, or with 0 as many
/// as there are cores (GPUs) for.
int64_t slots_here(const Plan& plan, int64_t jobs);

/// Indices of the cells whose ids match a glob ("*" and "?"), "" matches all. Error{kUsage} when
/// none does.
std::vector<size_t> matching_cells(const Plan& plan, const std::string& glob);

}  // namespace knlp::matrix
