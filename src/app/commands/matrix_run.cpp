#include "src/app/commands/matrix_cells.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"

namespace knlp::app {
namespace {

struct Options {
    std::string directory;
    CellOptions cells;
};
Options options;

int run(const Common& common) {
    refuse_overrides(common, false);  // make's were the plan's
    return run_cells(common, options.directory, options.cells);
}

}  // namespace

MatrixVerb add_matrix_run(Parser matrix) {
    options = {};
    Parser sub = matrix.add_subcommand("run", "run the cells of a plan that are not done");
    sub.add_option("directory", options.directory, "of the matrix").required().type_name("DIR");
    sub.add_option("--cells", options.cells.cells, "only cells whose id matches, such as '*_s1'")
        .type_name("GLOB");
    add_cell_options(sub, options.cells);
    return {.parser = sub, .run = run};
}

}  // namespace knlp::app
