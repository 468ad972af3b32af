#include "src/app/commands/matrix_build.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/staged_directory.h"
#include "knlp/matrix/pilot.h"
#include "knlp/matrix/power.h"
#include "src/app/commands/matrix_text.h"
#include "knlp/matrix/planner.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <optional>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kPilotPower = 0.8;

struct Options {
    std::string name, preset, range, pilot_results, place, source = ".", pch;
    std::vector<std::string> baseline_from;
    int64_t pilot = 0;
    bool strict = false;
};
Options options;

std::string name_of_plan() {
    if (!options.name.empty()) return options.name;
    return fmt::format("{}{}-{}", options.preset.empty() ? "matrix" : options.preset,
                       options.pilot > 0 ? "-pilot" : "", utc_stamp());
}

fs::path directory_of_plan(const Common& common, const config::Symbols& base,
                           const std::string& name) {
    if (!common.out.empty()) return common.out;
    return fs::path(config::read_general(base).output_dir) / "matrix" / name;
}

void require_free(const fs::path& directory) {
    if (!fs::exists(directory) || (fs::is_directory(directory) && fs::is_empty(directory))) return;
    fail(kUsage,
         "{}: {}; a plan takes a directory of its own: give another --name or --out, or go on with "
         "this one by `knlp matrix run {}`",
         directory.string(),
         fs::exists(directory / matrix::kPlanFile) ? "the directory of another plan"
                                                   : "there already",
         directory.string());
}

/// Seeds that the plan should have for the effect that matters, by the spread of a finished pilot.
struct Advice {
    int64_t pairs = 0;
    double sd = 0;
    int64_t seeds = 0;  // 0 = more than kMaxSeeds
};

Advice advice_of(const matrix::Plan& plan) {
    if (!(plan.min_effect > 0))
        fail(kUsage, "--pilot-results needs an effect to look for: set MATRIX_MIN_EFFECT above 0");
    const matrix::Plan pilot = matrix::read_plan(options.pilot_results);
    std::vector<std::string> baseline, arm;
    for (const matrix::Cell& cell : pilot.cells)
        (cell.arm == pilot.baseline ? baseline : arm)
            .push_back(matrix::cell_directory(options.pilot_results, cell).string());
    if (pilot.arms.size() != 2)
        fail(kUsage, "{}: no pilot, it has {} arms; `knlp matrix plan --pilot N` plans one",
             options.pilot_results, pilot.arms.size());
    const matrix::Pilot found = matrix::pilot_of_runs(baseline, arm);
    const double contrasts = std::max(1.0, static_cast<double>(plan.arms.size()) - 1);
    return {std::ssize(found.differences), found.sd,
            matrix::seeds_needed(plan.min_effect / found.sd, plan.alpha / contrasts, kPilotPower)};
}

json json_of(const Advice& advice) {
    return {{"pairs", advice.pairs},
            {"power", kPilotPower},
            {"sd", advice.sd},
            {"seeds", advice.seeds > 0 ? json(advice.seeds) : json()}};
}

std::string text_of(const Advice& advice, const matrix::Plan& plan) {
    const std::string seeds = advice.seeds > 0 ? std::to_string(advice.seeds)
                                               : fmt::format("more than {}", matrix::kMaxSeeds);
    return fmt::format(
        "pilot     standard deviation {:.4g} over {} seeds: {} show an effect of {:.4g} with power "
        "{}; "
        "this plan has {}\n",
        advice.sd, advice.pairs, seeds, plan.min_effect, kPilotPower, plan.seeds.size());
}

void print(const Common& common, matrix::Plan& plan, const fs::path& directory) {
    std::optional<Advice> advice;
    if (!options.pilot_results.empty()) advice = advice_of(plan);
    if (!common.json) {
        put_text(plan_summary(plan));
        if (advice) put_text(text_of(*advice, plan));
        put_text(common.dry_run ? "dry run   nothing was written\n"
                                : fmt::format("written   {}\n", directory.string()));
        return;
    }
    const json result = {{"directory", common.dry_run ? json() : json(directory.string())},
                         {"pilot", advice ? json_of(*advice) : json()},
                         {"plan", json::parse(matrix::plan_text(plan))}};
    put_text(canonical_json(result) + "\n");
}

int plan(const Common& common) {
    const config::Symbols base = load_symbols(common);
    matrix::PlanRequest request;
    request.name = name_of_plan();
    request.preset = options.preset;
    request.pilot_seeds = options.pilot;
    request.dry_run = common.dry_run;
    request.strict = options.strict;
    request.sweep_file = options.range;
    request.baseline_from = options.baseline_from;
    const fs::path directory = directory_of_plan(common, base, request.name);
    if (!common.out.empty())
        request.name = fs::absolute(directory / ".").parent_path().filename().string();
    if (common.dry_run) {
        matrix::Plan made = matrix::make_plan(base, request);
        print(common, made, directory);
        return 0;
    }
    require_free(directory);
    StagedDirectory staged(directory, false);
    request.make_build = [&](const config::Symbols& arm) {
        return build_for(arm, {options.source, options.pch}, staged.path());
    };
    matrix::Plan made = matrix::make_plan(base, request);
    matrix::write_plan(staged.path(), config::read_general(base).output_dir, made, base,
                       request.binary);
    if (!staged.publish()) require_free(directory);
    if (!options.place.empty()) write_file_atomic(options.place, directory.string() + "\n");
    print(common, made, directory);
    return 0;
}

}  // namespace

MatrixVerb add_matrix_plan(Parser matrix) {
    options = {};
    Parser sub =
        matrix.add_subcommand("plan", "fix what a matrix runs: arms, seeds, choices, binary");
    sub.add_option("--name", options.name,
                   "of the directory below OUTPUT_DIR/matrix (default: preset and time)")
        .type_name("NAME");
    sub.add_option("--preset", options.preset, "name of the defconfig, for the plan")
        .type_name("NAME");
    sub.add_option("--range", options.range,
                   "a sweep file: a line CONFIG_SYM=a|b or SYM=lo:step:hi an axis")
        .type_name("FILE");
    sub.add_option("--baseline-from", options.baseline_from,
                   "finished runs to compare with, below OUTPUT_DIR: a run, a matrix (its "
                   "baseline), or the number of a row of the ledger (repeatable)")
        .one_at_a_time()
        .type_name("DIR|ROW");
    sub.add_option("--pilot", options.pilot,
                   "only so many seeds of the baseline and the first other arm")
        .in_range(2, 1000)
        .type_name("N");
    sub.add_option("--pilot-results", options.pilot_results,
                   "a finished pilot: says how many seeds MATRIX_MIN_EFFECT needs")
        .type_name("DIR");
    sub.add_option("--place", options.place, "a file to write the directory's name to")
        .type_name("FILE");
    sub.add_flag("--strict", options.strict, "refuse substitutes for missing data");
    sub.add_option("--source", options.source,
                   "source tree, for arms that set build symbols (default: .)")
        .type_name("DIR");
    sub.add_option("--pch", options.pch,
                   "where such builds find precompiled headers (default: the tree's)")
        .type_name("DIR");
    return {.parser = sub, .run = plan};
}

}  // namespace knlp::app
