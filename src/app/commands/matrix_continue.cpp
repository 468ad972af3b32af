#include "src/app/commands/matrix_cells.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "src/app/commands/unfinished.h"
#include "knlp/app/command.h"
#include "knlp/core/error.h"
#include "knlp/matrix/verify.h"

namespace knlp::app {
namespace {

struct Options {
    std::string directory;
    bool which = false;
    CellOptions cells;
};
Options options;

/// Where make goes on: the newest of runs and matrices.
std::filesystem::path newest_of_all(const Common& common) {
    const std::filesystem::path output = configured_output_dir(common);
    const Unfinished run = newest_unfinished_run(output);
    std::string created;
    const std::filesystem::path matrix = matrix::newest_unfinished_matrix(output, created);
    if (run.path.empty() && matrix.empty())
        fail(
            kUsage,
            "{}: no interrupted run, and no matrix with cells left to run; name one: make continue "
            "TARGET=DIR",
            output.string());
    return created > run.started ? matrix : run.path;
}

int go_on(const Common& common) {
    if (options.which) {
        put_text(newest_of_all(common).string() + "\n");
        return 0;
    }
    refuse_overrides(common, true);
    const std::filesystem::path directory = options.directory.empty()
                                                ? newest_matrix(common)
                                                : std::filesystem::path(options.directory);
    if (!common.json && !common.dry_run)
        put_text(progress_of(directory, matrix::read_plan(directory), options.cells.jobs));
    return run_cells(common, directory, options.cells);
}

}  // namespace

MatrixVerb add_matrix_continue(Parser matrix) {
    options = {};
    Parser sub = matrix.add_subcommand("continue", "go on with a matrix that was interrupted");
    sub.add_option("directory", options.directory,
                   "of the matrix (default: the newest with cells left to run)")
        .type_name("DIR");
    sub.add_flag("--which", options.which,
                 "print the newest run or matrix that is unfinished, and end");
    add_cell_options(sub, options.cells);
    return {.parser = sub, .run = go_on};
}

}  // namespace knlp::app
