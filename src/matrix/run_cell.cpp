#include "knlp/matrix/run_cell.h"

#include "cell_config.h"

#include "knlp/config/environment.h"
#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/matrix/attempts.h"
#include "knlp/matrix/cell_state.h"
#include "knlp/matrix/claim.h"
#include "knlp/matrix/journal.h"
#include "knlp/matrix/plan.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"
#include "knlp/train/trainer.h"

#include <unistd.h>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;

const Cell& cell_at(const Plan& plan, int64_t index) {
    if (index < 0 || index >= std::ssize(plan.cells))
        fail(kUsage, "--index {}: the plan '{}' has cells 0 to {}", index, plan.name,
             std::ssize(plan.cells) - 1);
    return plan.cells[static_cast<size_t>(index)];
}

/// "binary ab12… instead of cd34…" for hashes, whole texts for short ones.
std::string difference(const std::string& what, const std::string& is, const std::string& planned) {
    const auto brief = [](const std::string& text) {
        return text.size() == 64 ? text.substr(0, 12) + "…" : text.empty() ? "none" : text;
    };
    return is == planned ? ""
                         : fmt::format("{} is {}, planned {}", what, brief(is), brief(planned));
}

std::string used(bool it_is) {
    return it_is ? "used" : "not used";
}

std::string hash_of(const track::Manifest& m, const PlannedFile& planned) {
    if (planned.role == "tokenizer") return m.tokenizer.sha256;
    const auto found =
        std::find_if(m.data.files.begin(), m.data.files.end(), [&](const auto& file) {
            return file.role == planned.role && file.sha256 == planned.sha256;
        });
    if (found != m.data.files.end()) return found->sha256;
    for (const track::Manifest::File& file : m.data.files)
        if (file.role == planned.role) return file.sha256;
    return "";
}

/// What a cell is about to run on, against the plan: a line for each difference.
std::vector<std::string> differences(const Plan& plan, const Arm& arm, const track::Manifest& m) {
    std::vector<std::string> out;
    const auto add = [&out](const std::string& text) {
        if (!text.empty()) out.push_back(text);
    };
    add(difference("the binary", sha256_file("/proc/self/exe"), arm.build));
    for (const PlannedFile& file : plan.data)
        add(difference("data '" + file.role + "'", hash_of(m, file), file.sha256));
    add(difference("the evaluation windows", m.batches_sha256, plan.windows_sha256));
    add(difference("the device", device_kind(m.device), device_kind(plan.device)));
    add(difference("the instruction set", name_of(isa()), arm.choices.isa));
    // A plan of before does not say.
    if (const std::optional<bool>& planned = arm.choices.bf16_dot_products; planned)
        add(difference("AVX512_BF16 for products of bfloat16",
                       used(m.bf16_dot_products.value_or(false)), used(*planned)));
    add(difference("the GEMM route", m.gemm_route, arm.choices.gemm));
    add(difference("threads", std::to_string(m.threads.value_or(0)),
                   std::to_string(arm.choices.threads)));
    add(difference("the micro-batch", std::to_string(m.batch.micro.value_or(0)),
                   std::to_string(arm.choices.micro)));
    add(difference("the effective batch", std::to_string(m.batch.effective.value_or(0)),
                   std::to_string(plan.effective_batch)));
    return out;
}

void require_planned(const CellRequest& request, const Plan& plan, const Cell& cell,
                     track::Manifest& m) {
    const std::vector<std::string> found = differences(plan, plan.arm(cell.arm), m);
    if (found.empty()) return;
    const std::string text = fmt::format("{}", fmt::join(found, "; "));
    if (!request.allow_drift)
        fail(kData,
             "{}: not as planned: {}; put it back, or ALLOW_DRIFT=1 (--allow-drift) goes on and "
             "marks the cell",
             cell.id, text);
    m.warnings.push_back("not as planned: " + text);
    note_event(request.matrix, "drift", {{"cell", cell.id}, {"differences", found}});
}

[[noreturn]] void refuse_diverged(const Cell& cell, const std::string& why) {
    fail_code(kRun, "E_DIVERGED",
              "{}: it diverged and would again ({}); knlp matrix rerun repeats "
              "it",
              cell.id, why);
}

/// Makes the cell's directory what its next attempt begins with. True: it goes on from there.
bool make_ready(const fs::path& matrix, const Cell& cell, const CellState& state) {
    if (state.from_silent) return displace_attempt(matrix, cell);
    if (state.stage != Stage::kFailed && state.checkpoint) return true;
    keep_attempt(matrix, cell);
    return false;
}

/// A cell that failed before it had a run directory says why in one.
void record_failure(const fs::path& run, const Error& error) {
    if (fs::exists(run) || error.kind() == kLocked) return;
    try {
        const track::RunDir made = track::RunDir::create(run.parent_path(), "", run);
        track::write_status(made, "failed", exit_status(error.kind()), 0, error.what(),
                            error.code());
    } catch (const Error& second) {
        log::warn("the failure could not be recorded: {}", second.what());
    }
}

int train_cell(const CellRequest& request, const Plan& plan, const Cell& cell, Claim& claim,
               bool goes_on) {
    const fs::path run = cell_directory(request.matrix, cell);
    try {
        config::Symbols symbols = cell_symbols(request.matrix, plan, cell);
        train::TrainRequest training;
        (goes_on ? training.resume : training.out) = run;
        training.choices = plan.arm(cell.arm).choices;
        training.device_kind = device_kind(plan.device);
        training.command_line = request.command_line;
        training.preset = plan.preset;
        training.still_ours = [&claim] { claim.require_ours(); };
        training.on_manifest = [&](track::Manifest& m) { require_planned(request, plan, cell, m); };
        return train::run_training(symbols, training).status;
    } catch (const Error& error) {
        record_failure(run, error);
        throw;
    }
}

/// Notes the beginning and the end of a cell that no runner watches over: a task of a batch system.
class TaskNotes {
public:
    TaskNotes(const fs::path& matrix, const Cell& cell, const CellState& before)
        : matrix_(matrix), cell_(cell), job_(config::batch_job()), begin_s_(steady_seconds()) {
        if (!job_ || !job_->task) return;
        note_event(matrix_, before.attempts > 0 ? "retry" : "start",
                   {{"cell", cell_.id},
                    {"pid", ::getpid()},
                    {"host", host().hostname},
                    {"job", job_->id},
                    {"restarts", job_->restarts}});
    }
    void end(int status) const {
        if (!job_ || !job_->task) return;
        const CellState after = claimed_cell_state(matrix_, cell_);
        note_event(matrix_, "end",
                   {{"cell", cell_.id},
                    {"attempt", after.attempts},
                    {"status", status},
                    {"wall_s", steady_seconds() - begin_s_},
                    {"state", name_of(after.stage)},
                    {"job", job_->id},
                    {"restarts", job_->restarts}});
    }

private:
    const fs::path& matrix_;
    const Cell& cell_;
    std::optional<config::BatchJob> job_;
    double begin_s_;
};

}  // namespace

int run_cell(const CellRequest& request) {
    const Plan plan = read_plan(request.matrix);
    const Cell& cell = cell_at(plan, request.index);
    const auto is_done = [&cell](const CellState& state) {
        if (state.stage == Stage::kDiverged) refuse_diverged(cell, state.reason);
        if (state.stage == Stage::kDone) log::info("{}: done already", cell.id);
        return state.stage == Stage::kDone;
    };
    if (is_done(claimed_cell_state(request.matrix, cell))) return 0;
    Claim claim(request.matrix, cell);
    CellState state = claimed_cell_state(request.matrix, cell);
    if (is_done(state)) return 0;
    state.from_silent = claim.taken_from_silent();
    const TaskNotes notes(request.matrix, cell, state);
    try {
        const int status =
            train_cell(request, plan, cell, claim, make_ready(request.matrix, cell, state));
        notes.end(status);
        return status;
    } catch (const Error& error) {
        notes.end(exit_status(error.kind()));
        throw;
    }
}

}  // namespace knlp::matrix
