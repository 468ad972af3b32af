#include <map>
#include <nlohmann/json.hpp>

#include "ledger_parts.h"

#include "knlp/core/archive.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/json.h"
#include "knlp/matrix/plan.h"
#include "knlp/report/ledger.h"
#include "knlp/track/ledger.h"

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kMostBytes = int64_t{1} << 30;

/// Newest rows of this plan at this place, as the ledger has them.
std::string rows_text(const std::vector<json>& rows, const std::string& id,
                      const std::string& plan) {
    std::map<std::string, const json*> newest;
    for (const json& row : rows)
        if (row["facts"].value("matrix", json()) == id)
            newest[row["kind"].get<std::string>() + " " + row["run_id"].get<std::string>()] = &row;
    std::map<int64_t, const json*> in_order;
    for (const auto& [name, row] : newest)
        if ((*row)["facts"].value("plan_sha256", json()) == plan)
            in_order[(*row)["seq"].get<int64_t>()] = row;
    std::string text;
    for (const auto& [seq, row] : in_order) text += canonical_json(*row) + "\n";
    return text;
}

}  // namespace

std::string package(const fs::path& matrix, const fs::path& results) {
    const matrix::Plan plan = matrix::read_plan(matrix);
    const std::string id = below(matrix, results);
    std::vector<ArchiveFile> files;
    for (const std::string& name : shared_files(matrix))
        files.push_back({.name = id + "/" + name, .content = read_file(matrix / name, kMostBytes)});
    const fs::path ledger = results / "ledger.jsonl";
    const std::string rows = rows_text(track::read_ledger(ledger), id, plan.sha256);
    if (rows.empty())
        fail(kUsage, "{}: {} has no rows of it; `knlp report ledger add {}` adds them",
             matrix.string(), ledger.string(), matrix.string());
    files.push_back({.name = "ledger.jsonl", .content = rows});
    for (const ArchiveFile& file : files)
        if (const std::string text = private_text(file.name, file.content); !text.empty())
            fail(kData, "{}: says {}, which is of this machine alone and is not passed on",
                 file.name, text);
    // Whoever gets it would find the same.
    if (const std::string problem = check(matrix, ledger); !problem.empty())
        fail(kCheckFailed, "{}", problem);
    return tar_gz(std::move(files));
}

}  // namespace knlp::report
