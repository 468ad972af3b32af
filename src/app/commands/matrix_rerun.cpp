#include "src/app/commands/matrix_cells.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/core/log.h"
#include "knlp/matrix/runner_local.h"
#include "knlp/matrix/verify.h"

namespace knlp::app {
namespace {

struct Options {
    std::string directory;
    CellOptions cells;
};
Options options;

int rerun(const Common& common) {
    refuse_overrides(common, true);
    const matrix::Plan plan = matrix::read_plan(options.directory);
    if (common.dry_run) {
        for (const size_t at : matrix::matching_cells(plan, options.cells.cells))
            put_text(plan.cells[at].id + "\n");
        return 0;
    }
    matrix::require_no_drift(options.directory, plan, options.cells.allow_drift);
    const int64_t moved = matrix::set_aside(options.directory, plan, options.cells.cells);
    log::info("{} attempts are kept in {}", moved,
              (std::filesystem::path(options.directory) / "attempts").string());
    return run_cells(common, options.directory, options.cells, true);
}

}  // namespace

MatrixVerb add_matrix_rerun(Parser matrix) {
    options = {};
    Parser sub = matrix.add_subcommand(
        "rerun", "run cells again; earlier attempts are kept, the newer one counts");
    sub.add_option("directory", options.directory, "of the matrix").required().type_name("DIR");
    sub.add_option("--cells", options.cells.cells, "cells whose id matches, such as '*_s1'")
        .required()
        .type_name("GLOB");
    add_cell_options(sub, options.cells);
    return {.parser = sub, .run = rerun};
}

}  // namespace knlp::app
