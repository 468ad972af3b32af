#include "knlp/matrix/cell_state.h"

#include "members.h"

#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/matrix/attempts.h"
#include "knlp/matrix/claim.h"
#include "knlp/matrix/plan.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::streamoff kTail = 1 << 16;  // of metrics.jsonl: more than the events after a step

/// {} where it cannot be read.
json object_in(const fs::path& file) {
    try {
        json object = read_json(file, int64_t{64} << 20);
        if (object.is_object()) return object;
    } catch (const Error&) {
    }
    return json::object();
}

/// The last events of a run, oldest first; a line that is not whole is passed over.
std::vector<json> last_events(const fs::path& run) {
    std::ifstream file(run / "metrics.jsonl", std::ios::binary | std::ios::ate);
    std::vector<json> events;
    if (!file) return events;
    const std::streamoff size = file.tellg();
    file.seekg(std::max<std::streamoff>(0, size - kTail));
    for (std::string line; std::getline(file, line);) {
        json event = json::parse(line, nullptr, false);
        if (event.is_object()) events.push_back(std::move(event));
    }
    return events;
}

/// Step and loss as logged; returns the final event, null without.
json read_progress(const fs::path& run, CellState& state) {
    json final;
    for (const json& event : last_events(run)) {
        const std::string kind = text_at(event, "event");
        if (kind == "final") final = event;
        if (const double elapsed = real_at(event, "elapsed_s"); std::isfinite(elapsed))
            state.wall_s = elapsed;
        if (kind != "train") continue;
        state.step = whole_at(event, "step").value_or(-1) + 1;
        state.tokens = whole_at(event, "tokens").value_or(0);
        state.loss = real_at(event, "loss");
        state.tokens_per_s = real_at(event, "tokens_per_s");
    }
    const track::Saved saved = track::last_saved(run);
    state.checkpoint = saved.step > 0;
    state.step = std::max(state.step, saved.step);
    return final;
}

void failed(CellState& state, const std::string& why) {
    state.stage = Stage::kFailed;
    state.reason = why;
}

void judge_done(const fs::path& run, const Cell& cell, const json& final, CellState& state) {
    const json manifest = object_in(run / "manifest.json");
    const std::string hash = text_at(manifest, "experiment_sha256");
    if (hash != cell.config_sha256)
        return failed(state, fmt::format("it ran another configuration: {} instead of {}",
                                         hash.empty() ? "none is recorded" : hash.substr(0, 12),
                                         cell.config_sha256.substr(0, 12)));
    if (!final.is_object()) return failed(state, "done without a final event in metrics.jsonl");
    state.loss = real_at(final, "val_loss");
    state.step = whole_at(final, "step").value_or(state.step);
    state.wall_s = real_at(final, "wall_s") + real_at(manifest, "startup_s");
    state.tokens_per_s = real_at(final, "tokens_per_s");
    state.peak_rss_bytes = whole_at(manifest, "peak_rss_bytes");
    state.stage = std::isfinite(state.loss) ? Stage::kDone : Stage::kDiverged;
    if (state.stage == Stage::kDiverged) state.reason = "its metric is not finite";
}

/// What the run directory says, claims aside.
void judge_run(const fs::path& run, const Cell& cell, CellState& state) {
    if (!fs::exists(run)) return;
    ++state.attempts;
    const json status = object_in(run / "status.json");
    const json final = read_progress(run, state);
    const std::string said = text_at(status, "state");
    state.reason = text_at(status, "reason");
    state.code = text_at(status, "code");
    if (const auto exit = whole_at(status, "exit_code")) state.exit_code = static_cast<int>(*exit);
    if (said == "done") {
        judge_done(run, cell, final, state);
    } else if (said == "failed") {
        state.stage = state.code == "E_DIVERGED" ? Stage::kDiverged : Stage::kFailed;
    } else if (said == "preempted") {
        state.stage = state.checkpoint ? Stage::kResumable : Stage::kFresh;
    } else if (said == "running" || said == "pending") {
        state.stage = Stage::kStale;
        state.reason = "its process ended without a word";
    } else if (fs::exists(run / "status.json")) {
        failed(state, "status.json is damaged");
    }
    state.failures += state.stage == Stage::kFailed || state.stage == Stage::kDiverged;
}

void judge_claim(const fs::path& matrix, const Cell& cell, CellState& state) {
    const bool ended = state.stage == Stage::kDone;  // its process says so before it lets go
    ClaimView claim;
    try {
        claim = look_at_claim(matrix, cell);
    } catch (const Error& error) {
        if (ended) return;
        state.stage = Stage::kForeign;
        state.reason = error.what();
        return;
    }
    if (claim.holder == Holder::kNone || ended) return;
    state.host = claim.info.host;
    state.pid = claim.info.pid;
    if (claim.holder == Holder::kAlive) {
        state.stage = Stage::kRunning;
        state.reason.clear();
        return;
    }
    state.from_silent = claim.holder == Holder::kSilent;
    if (state.stage == Stage::kFresh || state.stage == Stage::kStale) {
        state.stage = Stage::kStale;
        state.reason = state.from_silent
                           ? fmt::format("no sign of life of its process on {}", claim.info.host)
                           : "its process ended without a word";
    }
}

}  // namespace

std::string_view name_of(Stage stage) {
    switch (stage) {
        case Stage::kDone:
            return "done";
        case Stage::kDiverged:
            return "diverged";
        case Stage::kFailed:
            return "failed";
        case Stage::kRunning:
            return "running";
        case Stage::kStale:
            return "stale";
        case Stage::kResumable:
            return "resumable";
        case Stage::kFresh:
            return "fresh";
        case Stage::kForeign:
            return "foreign";
    }
    return "";
}

CellState claimed_cell_state(const fs::path& matrix, const Cell& cell) {
    CellState state;
    const KeptAttempts kept = count_attempts(matrix, cell);
    state.attempts = kept.all;
    state.failures = kept.failed;
    judge_run(cell_directory(matrix, cell), cell, state);
    return state;
}

CellState cell_state(const fs::path& matrix, const Cell& cell) {
    CellState state = claimed_cell_state(matrix, cell);
    judge_claim(matrix, cell, state);
    return state;
}

std::vector<CellState> cell_states(const fs::path& matrix, const Plan& plan) {
    std::vector<CellState> states;
    for (const Cell& cell : plan.cells) states.push_back(cell_state(matrix, cell));
    return states;
}

int64_t planned_steps(const Plan& plan) {
    return plan.budget.kind == "iterations" ? static_cast<int64_t>(plan.budget.amount) : 0;
}

double progress_of(const Plan& plan, const Cell& cell, const CellState& state) {
    const std::string& kind = plan.budget.kind;
    double used = kUnknown;
    if (kind == "iterations") used = static_cast<double>(state.step);
    if (kind == "tokens") used = static_cast<double>(state.tokens);
    if (kind == "time") used = state.wall_s;
    if (const auto flops = plan.arm(cell.arm).flops_per_token; kind == "flops" && flops)
        used = *flops * static_cast<double>(state.tokens);
    if (!(plan.budget.amount > 0) || !std::isfinite(used)) return kUnknown;
    return std::clamp(used / plan.budget.amount, 0.0, 1.0);
}

}  // namespace knlp::matrix
