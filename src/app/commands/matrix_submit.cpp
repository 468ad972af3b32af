#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/config/environment.h"
#include "knlp/config/slurm.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/parse.h"
#include "knlp/matrix/cell_state.h"
#include "knlp/matrix/plan.h"
#include "knlp/matrix/slurm.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;
using matrix::Plan;
using nlohmann::json;

struct Options {
    std::string directory;
    bool emit_only = false;
};
Options options;

/// Cells of the plan by what is to become of them.
struct Division {
    int64_t done = 0, queued = 0, running = 0;
    std::vector<int64_t> left;        // to be submitted
    std::vector<std::string> lost;    // ids of those that only a rerun repeats
    std::vector<std::string> arrays;  // jobs of the queued ones
};

/// Whether trying again may help: what the local engine asks, too.
bool may_succeed(const matrix::CellState& state, const Plan& plan) {
    if (state.stage == matrix::Stage::kDiverged || state.stage == matrix::Stage::kForeign)
        return false;
    return state.stage != matrix::Stage::kFailed || state.failures <= plan.max_retries;
}

Division divide(const fs::path& directory, const Plan& plan) {
    Division division;
    std::map<int64_t, matrix::QueuedCell> queue;
    if (!options.emit_only) queue = matrix::slurm_queue(directory);
    const std::vector<matrix::CellState> states = matrix::cell_states(directory, plan);
    std::set<std::string> arrays;
    for (const matrix::Cell& cell : plan.cells) {
        const matrix::CellState& state = states[static_cast<size_t>(cell.index)];
        const auto queued = queue.find(cell.index);
        if (state.stage == matrix::Stage::kDone) {
            ++division.done;
        } else if (queued != queue.end()) {
            ++division.queued;
            arrays.insert(queued->second.task.substr(0, queued->second.task.find('_')));
        } else if (state.stage == matrix::Stage::kRunning) {
            ++division.running;
        } else if (may_succeed(state, plan)) {
            division.left.push_back(cell.index);
        } else {
            division.lost.push_back(cell.id);
        }
    }
    division.arrays.assign(arrays.begin(), arrays.end());
    return division;
}

/// The plan is fixed; what the cluster is asked for may change from one submission to the next.
config::Slurm read_slurm(const Common& common, const fs::path& directory) {
    for (const std::string& set : common.set)
        if (!set.starts_with("SLURM_"))
            fail(kUsage,
                 "--set {}: the plan fixes what the cells do; a submission goes by the SLURM_ "
                 "symbols alone",
                 set);
    return config::read_slurm(config::Symbols::load_for_any_build(
        directory / matrix::kBaseConfigFile, config::collect_overrides(common.set)));
}

/// Says so where a cell is expected to need more than is asked for.
void check_memory(const Plan& plan, const config::Slurm& slurm) {
    // Slurm counts a number without a unit in megabytes.
    const bool unit = !slurm.memory.empty() && slurm.memory.back() > '9';
    const std::optional<int64_t> asked = parse_bytes(unit ? slurm.memory : slurm.memory + "M");
    if (!asked || *asked == 0) return;
    for (const matrix::Arm& arm : plan.arms)
        if (arm.estimate.memory_bytes && *arm.estimate.memory_bytes > *asked)
            log::warn(
                "arm {} is estimated to take {} MiB of memory ({}), and SLURM_MEM asks for {}; "
                "--set SLURM_MEM=SIZE asks for more",
                arm.id, *arm.estimate.memory_bytes >> 20, arm.estimate.memory_source, slurm.memory);
}

json json_of(const matrix::Submission& submission, const Division& division) {
    const auto or_null = [](const std::string& text) { return text.empty() ? json() : json(text); };
    json arrays = json::array();
    for (const matrix::SubmittedArray& array : submission.arrays)
        arrays.push_back({{"script", array.script},
                          {"job", or_null(array.job)},
                          {"offset", array.part.offset},
                          {"tasks", matrix::compressed(array.part.tasks)}});
    return {{"arrays", std::move(arrays)},
            {"cells", matrix::compressed(division.left)},
            {"done", division.done},
            {"failed", division.lost},
            {"queued", division.queued},
            {"running", division.running},
            {"report", or_null(submission.report_job)}};
}

void print_text(const matrix::Submission& submission, const Division& division, bool submitted) {
    put_text(fmt::format("{:<12}{} cells done, {} in the queue, {} running elsewhere, {} left\n",
                         "plan", division.done, division.queued, division.running,
                         division.left.size()));
    if (!division.lost.empty())
        put_text(fmt::format("{:<12}{} cells, which knlp matrix rerun repeats: {}\n", "failed",
                             division.lost.size(), fmt::join(division.lost, " ")));
    const char* what = submitted ? "submitted" : "script";
    for (const matrix::SubmittedArray& array : submission.arrays) {
        std::vector<int64_t> cells = array.part.tasks;
        for (int64_t& cell : cells) cell += array.part.offset;
        put_text(fmt::format("{:<12}{}{}: cells {}\n", what,
                             submitted ? "job " + array.job + ", " : "", array.script,
                             matrix::compressed(cells)));
    }
    if (!submission.report_job.empty())
        put_text(fmt::format("{:<12}job {}, {}: once they have ended\n", "report",
                             submission.report_job, submission.report_script));
    if (division.left.empty())
        put_text(fmt::format("{:<12}nothing to submit\n", ""));
    else if (!submitted && !submission.arrays.empty())
        put_text(fmt::format("{:<12}from here, for each of them: sbatch {}/SCRIPT\n", "then",
                             options.directory));
}

/// The cluster's; for scripts that go to another one, where none answers here, what Slurm comes
/// with.
int64_t max_array_size(bool submits) {
    try {
        return matrix::max_array_size();
    } catch (const Error& error) {
        if (submits) throw;
        log::debug("{}", error.what());
        return matrix::kDefaultMaxArraySize;
    }
}

int submit(const Common& common) {
    const fs::path directory = options.directory;
    const Plan plan = matrix::read_plan(directory);
    const config::Slurm slurm = read_slurm(common, directory);
    const bool submits = !options.emit_only && !common.dry_run;
    if (submits && config::find_program("sbatch").empty())
        fail(kNotAvailable,
             "sbatch is not in $PATH, so nothing can be submitted to Slurm from here; "
             "--emit-only writes the scripts for a machine that has it, and `knlp matrix run {}` "
             "runs the cells on this one",
             options.directory);
    const int64_t max_size = max_array_size(submits);
    check_memory(plan, slurm);
    std::optional<FileLock> lock;
    if (!common.dry_run) {
        fs::create_directories(directory / "slurm");
        lock.emplace(directory / "slurm" / ".lock");
    }
    const Division division = divide(directory, plan);
    matrix::Submission submission;
    if (common.dry_run)
        for (matrix::ArrayPart& part : matrix::array_parts(division.left, max_size))
            submission.arrays.push_back(
                {.part = part, .script = matrix::array_script_name(part), .job = ""});
    else
        submission = matrix::write_slurm_scripts(directory, plan, slurm, division.left, max_size);
    if (submits && !submission.arrays.empty())
        matrix::submit_scripts(directory, plan, submission, division.arrays);
    if (common.json)
        put_text(canonical_json(json_of(submission, division)) + "\n");
    else
        print_text(submission, division, submits);
    return 0;
}

}  // namespace

MatrixVerb add_matrix_submit(Parser matrix) {
    options = {};
    Parser sub =
        matrix.add_subcommand("submit", "queue the cells that are left on a Slurm cluster");
    sub.add_option("directory", options.directory, "of the matrix").required().type_name("DIR");
    sub.add_flag("--emit-only", options.emit_only, "write the scripts, submit nothing");
    return {.parser = sub, .run = submit, .prints_result = true};
}

}  // namespace knlp::app
