#pragma once

#include "knlp/matrix/cell_state.h"
#include "knlp/matrix/estimate.h"
#include "knlp/matrix/plan.h"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

namespace knlp::matrix {

/// "3 done, 1 failed, 2 running, 4 fresh": stages that have cells, in a fixed order.
std::string counts_text(std::span<const CellState> states);

/// All cells as a table, counts below. `states` are those of plan.cells.
std::string status_text(const Plan& plan, std::span<const CellState> states);
nlohmann::json status_json(const Plan& plan, std::span<const CellState> states);

/// What a runner shows while it works: counts and time left, then cells that run, then as many
/// failures as fit. At most `height` lines of at most `width` characters.
std::vector<std::string> live_lines(const Plan& plan, std::span<const CellState> states,
                                    const TimeLeft& left, size_t width, size_t height);

}  // namespace knlp::matrix
