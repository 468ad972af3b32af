#include "src/app/commands/matrix_cells.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/core/file.h"
#include "knlp/core/signals.h"
#include "knlp/core/wait_policy.h"
#include "knlp/matrix/run_cell.h"

#include <string>
#include <vector>

namespace knlp::app {
namespace {

struct Options {
    std::string directory;
    int64_t index = 0;
    bool allow_drift = false;
};
Options options;

/// As verbs do that run for long; the others of this command would pay for a second start.
void wait_briefly_from_here() {
    std::string words = read_file("/proc/self/cmdline");
    std::vector<char*> arguments;
    for (size_t at = 0; at < words.size(); at = words.find('\0', at) + 1)
        arguments.push_back(words.data() + at);
    arguments.push_back(nullptr);
    wait_briefly(arguments.data());
}

int run_cell(const Common& common) {
    refuse_overrides(common, false);
    wait_briefly_from_here();
    install_stop_handlers();
    return matrix::run_cell({.matrix = options.directory,
                             .index = options.index,
                             .allow_drift = options.allow_drift,
                             .command_line = common.command_line});
}

}  // namespace

MatrixVerb add_matrix_run_cell(Parser matrix) {
    options = {};
    Parser sub = matrix.add_subcommand(
        "run-cell", "do one cell of a matrix: what runners and batch systems start");
    sub.add_option("directory", options.directory, "of the matrix").required().type_name("DIR");
    sub.add_option("--index", options.index, "of the cell in its plan, from 0")
        .required()
        .type_name("N");
    sub.add_flag("--allow-drift", options.allow_drift,
                 "go on with another binary, data or machine than planned, and record it");
    return {.parser = sub, .run = run_cell};
}

}  // namespace knlp::app
