#include "knlp/matrix/verify.h"

#include "cell_config.h"

#include "knlp/config/data.h"
#include "knlp/config/general.h"
#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/log.h"
#include "knlp/data/prepare.h"
#include "knlp/data/tokenizer.h"
#include "knlp/matrix/attempts.h"
#include "knlp/matrix/cell_state.h"
#include "knlp/matrix/claim.h"
#include "knlp/matrix/estimate.h"
#include "knlp/matrix/journal.h"
#include "knlp/matrix/runner_local.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;

std::string brief(const std::string& hash) {
    return hash.empty() ? "none" : hash.substr(0, 12) + "…";
}

void compare_binaries(const fs::path& matrix, const Plan& plan, std::vector<std::string>& out) {
    for (const Build& build : plan.builds) {
        const fs::path file = matrix / build.path;
        if (!fs::exists(file)) {
            out.push_back(fmt::format("{}: the plan's binary is gone", file.string()));
            continue;
        }
        const std::string is = sha256_file(file);
        if (is != build.sha256)
            out.push_back(fmt::format("{}: SHA-256 is {}, planned {}", file.string(), brief(is),
                                      brief(build.sha256)));
    }
}

/// SHA-256 of each token file of a part of a dataset; resolve_dataset() has seen that `whole`, of
/// the only one, is right.
std::vector<std::string> hashes_of(const data::TokenFile& tokens, const std::string& whole) {
    if (tokens.paths().size() == 1) return {whole};
    std::vector<std::string> out;
    for (const fs::path& path : tokens.paths()) out.push_back(sha256_file(path));
    return out;
}

void compare_data(const fs::path& matrix, const Plan& plan, std::vector<std::string>& out) {
    const config::Symbols symbols = cell_symbols(matrix, plan, plan.cells.front());
    const data::Resolved found = data::resolve_dataset(
        config::read_data(symbols), config::read_general(symbols).data_dir, false);
    for (const PlannedFile& planned : plan.data) {
        std::vector<std::string> are;
        if (planned.role == "train")
            are = hashes_of(found.dataset.train, found.dataset.meta.train_sha256);
        if (planned.role == "val")
            are = hashes_of(found.dataset.val, found.dataset.meta.val_sha256);
        if (planned.role == "tokenizer" && !found.tokenizer_directory.empty())
            are = {data::load_tokenizer(found.tokenizer_directory)->sha256()};
        if (are.empty()) continue;
        if (std::find(are.begin(), are.end(), planned.sha256) == are.end())
            out.push_back(fmt::format("{}: SHA-256 of '{}' is {}, planned {}",
                                      found.dataset.directory.string(), planned.role,
                                      brief(are.front()), brief(planned.sha256)));
    }
}

}  // namespace

std::vector<std::string> drift_of(const fs::path& matrix, const Plan& plan) {
    std::vector<std::string> out;
    compare_binaries(matrix, plan, out);
    compare_data(matrix, plan, out);
    return out;
}

void require_no_drift(const fs::path& matrix, const Plan& plan, bool allow_drift) {
    const std::vector<std::string> drift = drift_of(matrix, plan);
    if (drift.empty()) return;
    if (!allow_drift)
        fail(kData, "{}; put it back, or ALLOW_DRIFT=1 (--allow-drift) goes on and marks the cells",
             fmt::join(drift, "; "));
    for (const std::string& line : drift) log::warn("not as planned: {}", line);
    note_event(matrix, "drift", {{"differences", drift}});
}

fs::path newest_unfinished_matrix(const fs::path& output_dir, std::string& created) {
    fs::path newest;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(output_dir / "matrix", none)) {
        if (!fs::exists(entry.path() / kPlanFile)) continue;
        try {
            const Plan plan = read_plan(entry.path());
            if (plan.created <= created) continue;
            const std::vector<CellState> states = cell_states(entry.path(), plan);
            if (std::none_of(states.begin(), states.end(),
                             [&plan](const CellState& state) { return is_left(plan, state); }))
                continue;
            newest = entry.path();
            created = plan.created;
        } catch (const Error& error) {
            log::warn("{}", error.what());
        }
    }
    return newest;
}

int64_t set_aside(const fs::path& matrix, const Plan& plan, const std::string& glob) {
    std::vector<std::unique_ptr<Claim>> claims;
    const std::vector<size_t> wanted = matching_cells(plan, glob);
    for (const size_t at : wanted)
        claims.push_back(std::make_unique<Claim>(matrix, plan.cells[at]));
    int64_t moved = 0;
    for (const size_t at : wanted) moved += !keep_attempt(matrix, plan.cells[at]).empty();
    return moved;
}

}  // namespace knlp::matrix
