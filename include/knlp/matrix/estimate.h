#pragma once

#include "knlp/matrix/cell_state.h"
#include "knlp/matrix/plan.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace knlp::matrix {

/// What a cell of an arm takes. Seconds; NaN where nothing tells.
struct ArmTime {
    std::string arm;
    int64_t done = 0, left = 0;  // cells
    double mean_s = kUnknown, sd_s = kUnknown;
    std::string source;  // "3 finished cells", "speed of a running cell", the plan's; "" unknown
};

/// What is left of a matrix. Cells that failed for good are not left.
struct TimeLeft {
    std::vector<ArmTime> arms;
    int64_t cells = 0;
    double seconds = kUnknown;  // wall time with `parallel` cells at once
    double sd_s = kUnknown;  // of it, between cells of an arm; NaN where an arm has no spread yet
    std::vector<std::string> unknown;  // arms with cells left of which nothing is known
};

/// Mean wall time of an arm's finished cells; without any, what the speed of a running one comes
/// to; else the plan's estimate, if it has one. Nothing is made up: without a source for one of the
/// arms that are left, `seconds` is NaN. `states` are those of plan.cells.
TimeLeft time_left(const Plan& plan, std::span<const CellState> states, int64_t parallel);

/// Whether a runner would still work on it: all but done, diverged and failed for good.
bool is_left(const Plan& plan, const CellState& state);

/// "about 12 min ± 40 s", or "unknown" with the arms it is unknown of.
std::string time_left_text(const TimeLeft& left);

}  // namespace knlp::matrix
