#include "knlp/matrix/cell_table.h"

#include "knlp/core/text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace knlp::matrix {
namespace {

using nlohmann::json;

constexpr Stage kOrder[] = {Stage::kDone,  Stage::kRunning, Stage::kResumable, Stage::kStale,
                            Stage::kFresh, Stage::kFailed,  Stage::kDiverged,  Stage::kForeign};

/// The first `width` characters of UTF-8 text, never half a character.
std::string cut(const std::string& text, size_t width) {
    size_t shown = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const bool starts = (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80;
        if (starts && shown++ == width) return text.substr(0, i);
    }
    return text;
}

std::string step_text(const CellState& state, int64_t planned) {
    if (state.step == 0 && state.stage == Stage::kFresh) return "-";
    return planned > 0 ? fmt::format("{}/{}", state.step, planned) : std::to_string(state.step);
}

std::string loss_text(const CellState& state) {
    return std::isfinite(state.loss) ? fmt::format("{:.4f}", state.loss) : "-";
}

/// Seconds that a running cell will take yet, by its own speed; NaN where that cannot be told.
double cell_eta(const Plan& plan, const Cell& cell, const CellState& state) {
    const double progress = progress_of(plan, cell, state);
    return progress > 0 ? state.wall_s * (1 - progress) / progress : kUnknown;
}

size_t widest_id(const Plan& plan) {
    size_t width = 4;
    for (const Cell& cell : plan.cells) width = std::max(width, cell.id.size());
    return width;
}

bool bad(Stage stage) {
    return stage == Stage::kFailed || stage == Stage::kDiverged || stage == Stage::kForeign;
}

json number(double value) {
    return std::isfinite(value) ? json(value) : json();
}

json text(const std::string& value) {
    return value.empty() ? json() : json(value);
}

}  // namespace

std::string counts_text(std::span<const CellState> states) {
    std::string out;
    for (const Stage stage : kOrder) {
        const auto n = std::count_if(states.begin(), states.end(),
                                     [stage](const CellState& s) { return s.stage == stage; });
        if (n > 0) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", n, name_of(stage));
    }
    return out.empty() ? "no cells" : out;
}

std::string status_text(const Plan& plan, std::span<const CellState> states) {
    const int64_t planned = planned_steps(plan);
    const size_t id = widest_id(plan);
    std::string out =
        fmt::format("{:>5}  {:<{}}  {:<9}  {:>13}  {:>8}  {:>8}  {:>12}  {}\n", "index", "cell", id,
                    "state", "step", "loss", "attempts", "time", "reason");
    for (size_t i = 0; i < states.size(); ++i) {
        const CellState& s = states[i];
        std::string line = fmt::format(
            "{:>5}  {:<{}}  {:<9}  {:>13}  {:>8}  {:>8}  {:>12}  {}", plan.cells[i].index,
            plan.cells[i].id, id, name_of(s.stage), step_text(s, planned), loss_text(s), s.attempts,
            std::isfinite(s.wall_s) ? duration_text(s.wall_s) : "-", s.reason);
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out + fmt::format("{} cells: {}\n", states.size(), counts_text(states));
}

json status_json(const Plan& plan, std::span<const CellState> states) {
    json cells = json::array(), counts = json::object();
    for (const Stage stage : kOrder) counts[std::string(name_of(stage))] = 0;
    for (size_t i = 0; i < states.size(); ++i) {
        const CellState& s = states[i];
        counts[std::string(name_of(s.stage))] =
            counts[std::string(name_of(s.stage))].get<int>() + 1;
        cells.push_back({{"index", plan.cells[i].index},
                         {"cell", plan.cells[i].id},
                         {"arm", plan.cells[i].arm},
                         {"seed", plan.cells[i].seed},
                         {"state", name_of(s.stage)},
                         {"step", s.step},
                         {"loss", number(s.loss)},
                         {"attempts", s.attempts},
                         {"wall_s", number(s.wall_s)},
                         {"tokens_per_s", number(s.tokens_per_s)},
                         {"exit_code", s.exit_code ? json(*s.exit_code) : json()},
                         {"code", text(s.code)},
                         {"reason", text(s.reason)},
                         {"host", text(s.host)},
                         {"pid", s.pid > 0 ? json(s.pid) : json()}});
    }
    return {{"matrix", plan.name},
            {"plan_sha256", plan.sha256},
            {"planned_steps", planned_steps(plan) > 0 ? json(planned_steps(plan)) : json()},
            {"counts", std::move(counts)},
            {"cells", std::move(cells)}};
}

std::vector<std::string> live_lines(const Plan& plan, std::span<const CellState> states,
                                    const TimeLeft& left, size_t width, size_t height) {
    const int64_t planned = planned_steps(plan);
    const size_t id = std::min(widest_id(plan), std::max<size_t>(16, width / 2));
    std::vector<std::string> lines = {
        fmt::format("{}: {}; left {}", plan.name, counts_text(states), time_left_text(left))};
    std::vector<std::string> failures;
    int64_t hidden = 0;
    for (size_t i = 0; i < states.size(); ++i) {
        const CellState& s = states[i];
        const std::string name = cut(plan.cells[i].id, id);
        if (bad(s.stage)) {
            failures.push_back(
                fmt::format("  {:<{}}  {}: {}", name, id, name_of(s.stage), s.reason));
        } else if (s.stage == Stage::kRunning) {
            if (lines.size() + 1 >= height) {
                ++hidden;
                continue;
            }
            const double eta = cell_eta(plan, plan.cells[i], s);
            lines.push_back(fmt::format("  {:<{}}  step {:<11}  loss {:<7}  ETA {}", name, id,
                                        step_text(s, planned), loss_text(s),
                                        std::isfinite(eta) ? duration_text(eta) : "-"));
        }
    }
    if (hidden > 0) lines.push_back(fmt::format("  and {} more", hidden));
    for (size_t i = failures.size(); i > 0 && lines.size() < height; --i)
        lines.push_back(failures[i - 1]);
    for (std::string& line : lines) line = cut(line, width);
    if (lines.size() > height) lines.resize(height);
    return lines;
}

}  // namespace knlp::matrix
