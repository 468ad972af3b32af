#include "src/app/commands/matrix_cells.h"

#include "src/app/commands/unfinished.h"

#include "knlp/config/symbols.h"
#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/text.h"
#include "knlp/matrix/cell_table.h"
#include "knlp/matrix/estimate.h"
#include "knlp/matrix/runner_local.h"
#include "knlp/matrix/verify.h"
#include "knlp/report/matrix_report.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <set>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json outcome_json(const fs::path& directory, const matrix::RunnerOutcome& outcome,
                  const fs::path& page) {
    json failures = json::array();
    for (const auto& failure : outcome.failures)
        failures.push_back({{"cell", failure.cell}, {"reason", failure.reason}});
    return {{"status", outcome.status},
            {"directory", directory.string()},
            {"report", page.empty() ? json() : json(page.string())},
            {"cells", outcome.cells},
            {"failures", std::move(failures)},
            {"wall_s", outcome.wall_s},
            {"cell_wall_s", outcome.cell_wall_s},
            {"overhead", std::isfinite(outcome.overhead) ? json(outcome.overhead) : json()}};
}

std::string outcome_text(const fs::path& directory, const matrix::RunnerOutcome& outcome,
                         const fs::path& page) {
    std::string text =
        fmt::format("{:<12}{} in {}\n", "cells run", outcome.cells, duration_text(outcome.wall_s));
    for (const auto& failure : outcome.failures)
        text += fmt::format("{:<12}{}: {}\n", "failed", failure.cell, failure.reason);
    if (std::isfinite(outcome.overhead))
        text +=
            fmt::format("{:<12}{:.2f} % of the cells' time\n", "overhead", 100 * outcome.overhead);
    text += fmt::format("{:<12}{}\n", "matrix", directory.string());
    return page.empty() ? text : text + fmt::format("{:<12}{}\n", "report", page.string());
}

}  // namespace

void add_cell_options(Parser verb, CellOptions& options) {
    verb.add_option("--jobs", options.jobs, "cells at once (default: the plan's)")
        .in_range(1, 512)
        .type_name("N");
    verb.add_flag("--allow-drift", options.allow_drift,
                  "go on with another binary, data or machine than planned, and record it");
}

int run_cells(const Common& common, const fs::path& directory, const CellOptions& options,
              bool again) {
    const matrix::Plan plan = matrix::read_plan(directory);
    if (common.dry_run) {
        put_text(progress_of(directory, plan, options.jobs));
        return 0;
    }
    matrix::require_no_drift(directory, plan, options.allow_drift);
    const matrix::RunnerOutcome outcome = matrix::run_local(directory, plan,
                                                            {.jobs = options.jobs,
                                                             .cells = options.cells,
                                                             .allow_drift = options.allow_drift,
                                                             .again = again});
    // Whoever stops a runner wants it to end at once; whoever goes on gets the report then.
    const bool stopped = outcome.status == 75 || outcome.status == 130;
    const fs::path page =
        stopped ? fs::path() : report::write_derived(directory, report::derived_files(directory));
    put_text(common.json ? canonical_json(outcome_json(directory, outcome, page)) + "\n"
                         : outcome_text(directory, outcome, page));
    return outcome.status;
}

void refuse_overrides(const Common& common, bool made) {
    // What make's JOBS= and TRACKER= set changes no result, and has its effect by other ways.
    const std::set<std::string> harmless = {"OUTPUT_DIR", "LOG_LEVEL", "PARALLEL_JOBS",
                                            "ENABLE_TENSORBOARD"};
    for (const config::Symbols::Override& override : config::collect_overrides(common.set)) {
        const bool asked = override.origin == config::Origin::kCommandLine ||
                           (made && override.origin == config::Origin::kMake);
        if (asked && !harmless.contains(override.name))
            fail(kUsage,
                 "{}={}: what cells run is fixed by their plan; leave it out, or make another with "
                 "`knlp matrix plan`",
                 override.name, override.value);
    }
    if (!common.seed.empty())
        fail(kUsage, "--seed: seeds are fixed by the plan; `knlp matrix extend` adds some");
}

std::string progress_of(const fs::path& directory, const matrix::Plan& plan, int64_t jobs) {
    const std::vector<matrix::CellState> states = matrix::cell_states(directory, plan);
    const matrix::TimeLeft left = matrix::time_left(plan, states, matrix::slots_here(plan, jobs));
    return matrix::status_text(plan, states) +
           fmt::format("{:<12}{}\n", "left", matrix::time_left_text(left));
}

fs::path newest_matrix(const Common& common) {
    const fs::path output = configured_output_dir(common);
    std::string created;
    const fs::path newest = matrix::newest_unfinished_matrix(output, created);
    if (newest.empty())
        fail(kUsage,
             "{}: no matrix with cells left to run; name one, or make one with `knlp matrix "
             "plan`",
             (output / "matrix").string());
    return newest;
}

}  // namespace knlp::app
