#include "knlp/matrix/estimate.h"

#include "knlp/core/stats.h"
#include "knlp/core/text.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace knlp::matrix {
namespace {

/// Share of its budget that a cell has yet to use up.
double share_left(const Plan& plan, const Cell& cell, const CellState& state) {
    if (state.stage == Stage::kFailed || state.stage == Stage::kFresh) return 1;
    const double progress = progress_of(plan, cell, state);
    return std::isfinite(progress) ? 1 - progress : 1;
}

ArmTime time_of(const Plan& plan, const Arm& arm, std::span<const CellState> states) {
    ArmTime time{.arm = arm.id, .source = ""};
    std::vector<double> walls;
    double running = kUnknown;
    for (size_t i = 0; i < states.size(); ++i) {
        const CellState& state = states[i];
        if (plan.cells[i].arm != arm.id) continue;
        time.left += is_left(plan, state);
        if (state.stage == Stage::kDone) {
            ++time.done;
            if (std::isfinite(state.wall_s)) walls.push_back(state.wall_s);
        } else if (const double progress = progress_of(plan, plan.cells[i], state);
                   state.stage == Stage::kRunning && progress > 0) {
            running = state.wall_s / progress;
        }
    }
    if (!walls.empty()) {
        time.mean_s = mean(walls);
        time.sd_s = stddev(walls);
        time.source = fmt::format("{} finished cell{}", walls.size(), walls.size() == 1 ? "" : "s");
    } else if (std::isfinite(running)) {
        time.mean_s = running;
        time.source = "speed of a running cell";
    } else if (arm.estimate.wall_s) {
        time.mean_s = *arm.estimate.wall_s;
        time.source = arm.estimate.wall_source;
    }
    return time;
}

}  // namespace

bool is_left(const Plan& plan, const CellState& state) {
    switch (state.stage) {
        case Stage::kDone:
        case Stage::kDiverged:
        case Stage::kForeign:
            return false;
        case Stage::kFailed:
            return state.failures <= plan.max_retries;
        default:
            return true;
    }
}

TimeLeft time_left(const Plan& plan, std::span<const CellState> states, int64_t parallel) {
    TimeLeft left;
    double sum = 0, longest = 0, variance = 0;
    for (const Arm& arm : plan.arms) {
        const ArmTime time = time_of(plan, arm, states);
        left.cells += time.left;
        if (time.left > 0 && !std::isfinite(time.mean_s)) left.unknown.push_back(arm.id);
        for (size_t i = 0; i < states.size(); ++i) {
            if (plan.cells[i].arm != arm.id || !is_left(plan, states[i])) continue;
            const double seconds = time.mean_s * share_left(plan, plan.cells[i], states[i]);
            sum += seconds;
            longest = std::max(longest, seconds);
            variance += time.sd_s * time.sd_s;
        }
        left.arms.push_back(time);
    }
    const double lanes = static_cast<double>(std::max<int64_t>(1, std::min(parallel, left.cells)));
    left.seconds = left.unknown.empty() ? std::max(sum / lanes, longest) : kUnknown;
    left.sd_s = std::sqrt(variance) / lanes;
    return left;
}

std::string time_left_text(const TimeLeft& left) {
    if (left.cells == 0) return "nothing is left";
    if (!left.unknown.empty())
        return fmt::format("unknown: no cell of {} has run yet", fmt::join(left.unknown, ", "));
    return "about " + duration_text(left.seconds) +
           (std::isfinite(left.sd_s) ? " ± " + duration_text(left.sd_s) : "");
}

}  // namespace knlp::matrix
