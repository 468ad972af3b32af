#include <algorithm>
#include <nlohmann/json.hpp>

#include "ledger_parts.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/matrix/plan.h"
#include "knlp/report/ledger.h"
#include "knlp/report/report.h"
#include "knlp/track/ledger.h"
#include "knlp/track/manifest.h"

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kMostBytes = int64_t{1} << 30;

json at(const json& object, const char* pointer) {
    return object.is_object() ? object.value(json::json_pointer(pointer), json()) : json();
}

json text_at(const json& object, const char* pointer) {
    const json value = at(object, pointer);
    return value.is_string() ? value : json();
}

bool yes_at(const json& object, const char* pointer) {
    return at(object, pointer) == true;
}

json figures_of(const fs::path& directory) {
    json figures = fs::exists(directory / kFiguresFile) ? read_json(directory / kFiguresFile)
                                                        : run_figures(directory);
    if (!figures.is_object())
        fail(kData, "{}: a JSON object is wanted", (directory / kFiguresFile).string());
    return figures;
}

/// All files of a curated run; of a run directory those that say what it measured.
std::vector<std::string> names_of(const fs::path& directory) {
    if (!fs::exists(directory / kFiguresFile)) return measured_files();
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory))
        if (entry.is_regular_file()) names.push_back(entry.path().filename().string());
    return names;
}

/// A benchmark's record says "+" after a revision with uncommitted changes.
void describe_benchmark(const json& whole, const json& part, json& row) {
    const auto either = [&](const char* pointer) {
        const json own = at(part, pointer);
        return own.is_null() ? at(whole, pointer) : own;
    };
    if (const json revision = either("/revision"); revision.is_string() && revision != "unknown") {
        std::string commit = revision;
        row["git_dirty"] = commit.ends_with('+');
        if (commit.ends_with('+')) commit.pop_back();
        row["git_commit"] = commit;
    }
    if (const json model = either("/machine/cpu_model"); model.is_string()) row["host"] = model;
    if (const json tokens = at(part, "/tokens_sha256"); tokens.is_string())
        row["data_sha256"].push_back("tokens=" + tokens.get<std::string>());
    for (const char* name : {"command", "utc", "threads"})
        if (const json value = either((std::string("/") + name).c_str()); !value.is_null())
            row["facts"][std::string_view(name) == "utc" ? "measured" : name] = value;
}

/// Whether a measurement below says of itself that it is not valid.
bool is_invalid(const json& value) {
    if (at(value, "/valid") == false) return true;
    return value.is_structured() && std::any_of(value.begin(), value.end(), is_invalid);
}

/// "apart" when the interval of a ratio to a rival leaves 1 out, "within noise" when all hold it,
/// "" without any.
std::string outcome_of(const json& ratios) {
    std::string outcome;
    if (!ratios.is_object()) return outcome;
    for (const json& ratio : ratios) {
        const json low = at(ratio, "/low"), high = at(ratio, "/high");
        if (!low.is_number() || !high.is_number()) continue;
        if (low > 1 || high < 1) return "apart";
        outcome = "within noise";
    }
    return outcome;
}

json row_of_benchmark(const json& whole, const json& part, const std::string& id) {
    json row = track::ledger_row("benchmark", id);
    describe_benchmark(whole, part, row);
    track::add_metrics(part, "", row["metrics"]);
    if (is_invalid(part)) row["facts"]["valid"] = false;
    if (const std::string outcome = outcome_of(at(part, "/ratio")); !outcome.empty())
        row["facts"]["outcome"] = outcome;
    return row;
}

}  // namespace

std::string below(const fs::path& path, const fs::path& results) {
    const fs::path whole = fs::canonical(path);
    const fs::path relative = whole.lexically_relative(fs::canonical(results));
    if (relative.empty() || *relative.begin() == ".." || relative == ".")
        fail(kUsage,
             "{}: does not lie below {}, the ledger's directory; `knlp report curate` copies what "
             "is needed of it there",
             path.string(), results.string());
    return relative.generic_string();
}

const std::vector<std::string>& measured_files() {
    static const std::vector<std::string> names = {"manifest.json", "metrics.jsonl", "summary.json",
                                                   "eval_windows.f32", "eval_documents.i64"};
    return names;
}

void describe_run(const json& manifest, json& row) {
    row["config_sha256"] = text_at(manifest, "/config_sha256");
    row["binary_sha256"] = text_at(manifest, "/binary_sha256");
    row["git_commit"] = text_at(manifest, "/git_commit");
    if (const json dirty = at(manifest, "/git_dirty"); dirty.is_boolean()) row["git_dirty"] = dirty;
    row["host"] = text_at(manifest, "/host/cpu_model");
    for (const json& file : at(manifest, "/data/files")) {
        const json role = text_at(file, "/role"), hash = text_at(file, "/sha256");
        if (role.is_string() && hash.is_string())
            row["data_sha256"].push_back(role.get<std::string>() + "=" + hash.get<std::string>());
    }
    if (const json hash = text_at(manifest, "/tokenizer/sha256"); hash.is_string())
        row["data_sha256"].push_back("tokenizer=" + hash.get<std::string>());
    row["synthetic"] = yes_at(manifest, "/data/synthetic");
    row["substitute"] = text_at(manifest, "/data/substitute").is_string();
}

void add_files(const fs::path& directory, const std::vector<std::string>& names,
               const fs::path& results, json& row) {
    for (const std::string& name : names)
        if (fs::exists(directory / name))
            row["files"][below(directory / name, results)] =
                sha256_hex(read_file(directory / name, kMostBytes));
}

json row_of_run(const fs::path& directory, std::string_view kind, const fs::path& results) {
    const json manifest = track::read_manifest(directory);
    const json figures = figures_of(directory);
    const json state = text_at(figures, "/state");
    if (state == "running" || state == "pending")
        fail(kData, "{}: has not ended; a row says how a run ended", directory.string());
    json row = track::ledger_row(kind, below(directory, results));
    describe_run(manifest, row);
    row["facts"] = {{"state", state}, {"measured", text_at(manifest, "/ended")}};
    for (const char* name : {"preset", "model", "optimizer", "experiment_sha256"})
        row["facts"][name] = text_at(manifest, (std::string("/") + name).c_str());
    for (const char* name : {"parameters", "optimizer_config", "batch", "seeds", "threads"})
        track::add_metrics(at(manifest, (std::string("/") + name).c_str()), name, row["metrics"]);
    track::add_metrics(figures, "", row["metrics"]);
    add_files(directory, names_of(directory), results, row);
    return row;
}

std::vector<json> rows_of_benchmarks(const fs::path& file, const fs::path& results) {
    const json whole = read_json(file, kMostBytes);
    const std::string id = fs::path(below(file, results)).replace_extension().generic_string();
    std::vector<json> rows;
    if (const json named = at(whole, "/rows"); named.is_object()) {
        for (const auto& [name, part] : named.items())
            rows.push_back(row_of_benchmark(whole, part, id + "/" + name));
    } else if (const json records = at(whole, "/records"); records.is_array()) {
        for (const json& part : records)
            if (const json what = text_at(part, "/what"); what.is_string())
                rows.push_back(row_of_benchmark(whole, part, id + "/" + what.get<std::string>()));
    } else if (whole.is_object()) {
        rows.push_back(row_of_benchmark(whole, whole, id));
    }
    if (rows.empty() || rows.front()["metrics"].empty())
        fail(kData, "{}: no record of a benchmark", file.string());
    for (json& row : rows) {
        if (row["facts"].value("command", json()).is_null())
            fail(kData, "{}: no record of a benchmark: it lacks \"command\"", file.string());
        add_files(file.parent_path(), {file.filename().string()}, results, row);
    }
    return rows;
}

std::vector<json> ledger_rows(const fs::path& path, const fs::path& results) {
    if (!fs::exists(path)) fail(kData, "{}: there is no such file or directory", path.string());
    if (!fs::is_directory(path)) return rows_of_benchmarks(path, results);
    if (fs::exists(path / matrix::kPlanFile)) return rows_of_matrix(path, results);
    return {row_of_run(path, "run", results)};
}

}  // namespace knlp::report
