#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"

#include <vector>

namespace knlp::app {
namespace {

constexpr MatrixVerb (*kVerbs[])(Parser) = {
    add_matrix_plan,     add_matrix_extend,   add_matrix_run,     add_matrix_status,
    add_matrix_continue, add_matrix_estimate, add_matrix_rerun,   add_matrix_power,
    add_matrix_package,  add_matrix_submit,   add_matrix_run_cell};

std::vector<MatrixVerb> verbs;

int run(const Common& common) {
    for (const MatrixVerb& verb : verbs)
        if (verb.parser.parsed())
            return verb.prints_result ? run_printing(common, verb.run) : verb.run(common);
    return 2;
}

std::function<int(const Common&)> add_options(Parser parser) {
    verbs.clear();
    parser.require_subcommand();
    for (const auto add : kVerbs) verbs.push_back(add(parser));
    return run;
}

}  // namespace

extern const Command cmd_matrix;
const Command cmd_matrix = {
    .name = "matrix",
    .summary = "compare arms over several seeds",
    .needs = "",
    .add_options = add_options,
    .examples =
        "knlp matrix plan --set 'MATRIX_AXES=LEARNING_RATE=1e-3|3e-3' --dry-run\n"
        "knlp matrix run results/matrix/rates --jobs 2\n"
        "knlp matrix status results/matrix/rates\n"
        "knlp matrix continue\n"
        "knlp matrix rerun results/matrix/rates --cells '*_s3'\n"
        "knlp matrix extend results/matrix/rates --seeds 4,5\n"
        "knlp matrix submit results/matrix/rates --set SLURM_PARTITION=gpu\n"
        "knlp matrix power --differences pilot.txt --effect 0.01\n"
        "knlp matrix power --baseline runs/a1 --baseline runs/a2 --arm runs/b1 --arm runs/b2 "
        "--effect 0.01 --power 0.9"};

}  // namespace knlp::app
