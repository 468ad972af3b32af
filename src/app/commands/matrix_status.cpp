#include "src/app/commands/matrix_cells.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/core/json.h"
#include "knlp/matrix/cell_table.h"

#include <nlohmann/json.hpp>

namespace knlp::app {
namespace {

std::string directory;

int status(const Common& common) {
    if (directory.empty()) directory = newest_matrix(common).string();
    const matrix::Plan plan = matrix::read_plan(directory);
    const std::vector<matrix::CellState> states = matrix::cell_states(directory, plan);
    put_text(common.json ? canonical_json(matrix::status_json(plan, states)) + "\n"
                         : matrix::status_text(plan, states));
    return 0;
}

}  // namespace

MatrixVerb add_matrix_status(Parser matrix) {
    directory.clear();
    Parser sub = matrix.add_subcommand("status", "how far each cell of a matrix is");
    sub.add_option("directory", directory,
                   "of the matrix (default: the newest with cells left to run)")
        .type_name("DIR");
    return {.parser = sub, .run = status, .prints_result = true};
}

}  // namespace knlp::app
