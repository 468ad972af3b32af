#include "src/app/commands/matrix_cells.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/core/json.h"
#include "knlp/core/text.h"
#include "knlp/matrix/estimate.h"
#include "knlp/matrix/runner_local.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace knlp::app {
namespace {

using nlohmann::json;

struct Options {
    std::string directory;
    int64_t jobs = 0;
};
Options options;

json number(double value) {
    return std::isfinite(value) ? json(value) : json();
}

json left_json(const matrix::TimeLeft& left) {
    json arms = json::array();
    for (const matrix::ArmTime& arm : left.arms)
        arms.push_back({{"arm", arm.arm},
                        {"done", arm.done},
                        {"left", arm.left},
                        {"mean_s", number(arm.mean_s)},
                        {"sd_s", number(arm.sd_s)},
                        {"source", arm.source.empty() ? json() : json(arm.source)}});
    return {{"arms", std::move(arms)},
            {"cells_left", left.cells},
            {"seconds", number(left.seconds)},
            {"sd_s", number(left.sd_s)}};
}

std::string left_text(const matrix::TimeLeft& left, int64_t slots) {
    std::string text;
    for (const matrix::ArmTime& arm : left.arms)
        text += fmt::format("{}: {} of {} cells left, {} each{}{}\n", arm.arm, arm.left,
                            arm.left + arm.done, duration_text(arm.mean_s),
                            std::isfinite(arm.sd_s) ? " ± " + duration_text(arm.sd_s) : "",
                            arm.source.empty() ? "" : " (" + arm.source + ")");
    return text +
           fmt::format("{:<12}{}, {} at once\n", "left", matrix::time_left_text(left), slots);
}

int estimate(const Common& common) {
    refuse_overrides(common, false);
    const std::filesystem::path directory = options.directory.empty()
                                                ? newest_matrix(common)
                                                : std::filesystem::path(options.directory);
    const matrix::Plan plan = matrix::read_plan(directory);
    const int64_t slots = matrix::slots_here(plan, options.jobs);
    const matrix::TimeLeft left =
        matrix::time_left(plan, matrix::cell_states(directory, plan), slots);
    put_text(common.json ? canonical_json(left_json(left)) + "\n" : left_text(left, slots));
    return 0;
}

}  // namespace

MatrixVerb add_matrix_estimate(Parser matrix) {
    options = {};
    Parser sub = matrix.add_subcommand("estimate", "how long what is left will take");
    sub.add_option("directory", options.directory,
                   "of the matrix (default: the newest with cells left to run)")
        .type_name("DIR");
    sub.add_option("--jobs", options.jobs, "cells at once (default: the plan's)")
        .in_range(1, 512)
        .type_name("N");
    return {.parser = sub, .run = estimate, .prints_result = true};
}

}  // namespace knlp::app
