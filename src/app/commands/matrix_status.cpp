#include "src/app/commands/matrix_cells.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/matrix/cell_table.h"
#include "knlp/matrix/slurm.h"

#include <nlohmann/json.hpp>

#include <map>

namespace knlp::app {
namespace {

std::string directory;

/// The table is worth printing without the queue, too.
std::map<int64_t, matrix::QueuedCell> queue_of(const std::filesystem::path& matrix) {
    try {
        return matrix::slurm_queue(matrix);
    } catch (const Error& error) {
        log::warn("{}", error.what());
        return {};
    }
}

nlohmann::json json_of(const matrix::QueuedCell& queued) {
    return {{"task", queued.task}, {"state", queued.state}, {"reason", queued.reason}};
}

/// "Slurm 123_4 PENDING (Priority)" behind what is known of the cell itself.
void add_reason(matrix::CellState& state, const matrix::QueuedCell& queued) {
    if (!state.reason.empty()) state.reason += "; ";
    state.reason += fmt::format("Slurm {} {}", queued.task, queued.state);
    if (queued.reason != "None") state.reason += fmt::format(" ({})", queued.reason);
}

int status(const Common& common) {
    refuse_overrides(common, false);
    if (directory.empty()) directory = newest_matrix(common).string();
    const matrix::Plan plan = matrix::read_plan(directory);
    std::vector<matrix::CellState> states = matrix::cell_states(directory, plan);
    const std::map<int64_t, matrix::QueuedCell> queue = queue_of(directory);
    if (common.json) {
        nlohmann::json answer = matrix::status_json(plan, states);
        for (nlohmann::json& cell : answer["cells"]) {
            const auto queued = queue.find(cell["index"].get<int64_t>());
            cell["queue"] = queued == queue.end() ? nlohmann::json() : json_of(queued->second);
        }
        put_text(canonical_json(answer) + "\n");
        return 0;
    }
    for (const auto& [index, queued] : queue)
        if (index < std::ssize(states)) add_reason(states[static_cast<size_t>(index)], queued);
    put_text(matrix::status_text(plan, states));
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
