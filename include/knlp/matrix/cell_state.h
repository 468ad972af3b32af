#pragma once

#include "knlp/matrix/statistics.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::matrix {

struct Cell;
struct Plan;

/// How far a cell is. What the files of its run, its claim and its earlier attempts say, and
/// nothing that a log prints.
enum class Stage {
    kDone,       // status done, a final event with a finite metric, of the plan's configuration
    kDiverged,   // its loss or metric is not finite: it would be so again
    kFailed,     // ended otherwise, or is of another configuration
    kRunning,    // a live process has claimed it
    kStale,      // its process is gone without a word
    kResumable,  // stopped in order, with a complete checkpoint
    kFresh,      // nothing to go on from
    kForeign,    // what lies at its claim is no claim
};
std::string_view name_of(Stage stage);

struct CellState {
    Stage stage = Stage::kFresh;
    bool checkpoint = false;   // one is complete, to go on from
    bool from_silent = false;  // kStale: its process, on another machine, may live
    int64_t attempts = 0;      // run directories, the kept ones included
    int64_t failures = 0;      // of them failed
    int64_t step = 0;          // steps taken, as far as logged or saved
    int64_t tokens = 0;        // seen before the step that was logged last
    double loss = kUnknown;    // validation loss of a done cell, else the last training loss
    double wall_s = kUnknown;  // of a done cell with its start, else as logged last
    double tokens_per_s = kUnknown;
    std::optional<int64_t> peak_rss_bytes;
    std::optional<int> exit_code;
    std::string code, reason;  // why it is not done; code of the error: E_DIVERGED, …
    std::string host;          // of its claim
    int64_t pid = 0;
};

/// Never fails for what is in a run directory: damage is a state too.
CellState cell_state(const std::filesystem::path& matrix, const Cell& cell);
/// The same with the claim left aside: for its holder.
CellState claimed_cell_state(const std::filesystem::path& matrix, const Cell& cell);
/// Of all cells, by index.
std::vector<CellState> cell_states(const std::filesystem::path& matrix, const Plan& plan);

/// Steps that a cell is to take, 0 where the budget does not tell.
int64_t planned_steps(const Plan& plan);
/// Share of its budget that a cell has used up, in [0, 1]; NaN where that cannot be told.
double progress_of(const Plan& plan, const Cell& cell, const CellState& state);

}  // namespace knlp::matrix
