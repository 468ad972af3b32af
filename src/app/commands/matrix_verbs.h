#pragma once

#include "src/app/parser.h"

#include "knlp/app/command.h"

#include <functional>

namespace knlp::app {

/// A subcommand of `knlp matrix`.
struct MatrixVerb {
    Parser parser;
    std::function<int(const Common&)> run;
    bool prints_result = false;  // as Command's
};

/// Each declares one subcommand and keeps its options.
MatrixVerb add_matrix_plan(Parser matrix);
MatrixVerb add_matrix_extend(Parser matrix);
MatrixVerb add_matrix_power(Parser matrix);
MatrixVerb add_matrix_package(Parser matrix);
MatrixVerb add_matrix_run(Parser matrix);
MatrixVerb add_matrix_run_cell(Parser matrix);
MatrixVerb add_matrix_status(Parser matrix);
MatrixVerb add_matrix_continue(Parser matrix);
MatrixVerb add_matrix_rerun(Parser matrix);
MatrixVerb add_matrix_estimate(Parser matrix);
MatrixVerb add_matrix_submit(Parser matrix);

}  // namespace knlp::app
