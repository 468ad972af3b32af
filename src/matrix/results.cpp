// From the run directories of a matrix to its rows, and the check that nothing was changed since.

#include "knlp/matrix/results.h"

#include "members.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/core/stats.h"
#include "knlp/matrix/attempts.h"
#include "knlp/track/manifest.h"
#include "knlp/track/run_dir.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace knlp::matrix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kSchema = 1;
constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kManifest = "manifest.json";
constexpr const char* kWindows = "eval_windows.f32";
constexpr const char* kDocuments = "eval_documents.i64";
constexpr const char* kSummary = "summary.json";
constexpr const char* kStatus = "status.json";
constexpr double kLargestExponent = 20;

json known(double value) {
    return std::isfinite(value) ? json(value) : json();
}

json known(const std::optional<int64_t>& value) {
    return value ? json(*value) : json();
}

/// The files of one finished run, read once.
struct RunFiles {
    fs::path directory;
    json manifest, final_event = json::object(), last_eval = json::object(), summary;
};

RunFiles read_files(const fs::path& directory) {
    RunFiles run{.directory = directory, .manifest = track::read_manifest(directory)};
    for (const json& event : track::read_metrics(directory)) {
        const std::string kind = text_at(event, "event");
        if (kind == "final") run.final_event = event;
        if (kind == "eval") run.last_eval = event;
    }
    run.summary = fs::exists(directory / kSummary) ? read_json(directory / kSummary) : json();
    return run;
}

[[noreturn]] void fail_contradiction(const RunFiles& run, const Row& row, const char* file,
                                     double there) {
    fail(kCheckFailed,
         "{}: row '{}': it says a validation loss of {}, the final event in {} says {}; one of "
         "them was changed after the run: put it back, or run the cell again with `knlp matrix "
         "rerun`",
         (run.directory / file).string(), row.id, there, kMetrics, row.metric);
}

/// The metric is there several times: all must tell the same.
void check_metric(const RunFiles& run, const Row& row, const CellResult& cell) {
    if (!std::isfinite(row.metric)) return;
    const auto check = [&](const char* file, double there) {
        if (std::isfinite(there) && there != row.metric) fail_contradiction(run, row, file, there);
    };
    const json result = run.manifest.value("result", json());
    if (result.is_object()) check(kManifest, real_at(result, "final_val_loss"));
    if (run.summary.is_object()) check(kSummary, real_at(run.summary, "final_val_loss"));
    if (whole_at(run.last_eval, "step") == row.steps)
        check(kMetrics, real_at(run.last_eval, "val_loss"));
    if (cell.window_losses.empty()) return;
    const std::vector<double> losses(cell.window_losses.begin(), cell.window_losses.end());
    // The windows are float32, whose rounding is 6e-8 of each.
    const double windows = mean(losses);
    if (!(std::abs(windows - row.metric) <= 1e-6 * std::max(1.0, std::abs(row.metric))))
        fail_contradiction(run, row, kWindows, windows);
}

void read_figures(const RunFiles& run, Row& row) {
    const json& final_event = run.final_event;
    row.best_loss = real_at(final_event, "best_val_loss");
    row.wall_s = real_at(final_event, "wall_s");
    row.tokens_per_s = real_at(final_event, "tokens_per_s");
    row.steps = whole_at(final_event, "step");
    row.tokens = whole_at(final_event, "tokens");
    row.parameters = whole_at(final_event, "params");
    row.peak_rss_bytes = whole_at(final_event, "peak_rss_bytes");
    row.peak_gpu_bytes = whole_at(run.manifest, "peak_gpu_bytes");
    row.config_sha256 = text_at(run.manifest, "experiment_sha256");
    row.binary_sha256 = text_at(run.manifest, "binary_sha256");
    const json batch = run.manifest.value("batch", json());
    if (batch.is_object()) row.effective_batch = whole_at(batch, "effective");
    for (const char* name : {kManifest, kMetrics, kWindows, kDocuments})
        if (fs::exists(run.directory / name))
            row.files[name] = sha256_hex(read_file(run.directory / name));
}

/// What was spent, in the unit of the plan's budget: equal for cells that compare.
Condition budget_of(const Plan& plan, const Arm& arm, const Row& row, const json& manifest) {
    Condition budget{"budget", ""};
    const std::string& kind = plan.budget.kind;
    if (kind == "iterations" && row.steps) budget.value = fmt::format("{} steps", *row.steps);
    if (kind == "tokens" && row.tokens) budget.value = fmt::format("{} tokens", *row.tokens);
    if (kind == "time") {
        const json limit = manifest.value(json::json_pointer("/budgets/max_time_s"), json());
        if (limit.is_number()) budget.value = fmt::format("{} s", limit.get<double>());
    }
    if (kind == "flops" && row.tokens && row.steps.value_or(0) > 0 && arm.flops_per_token) {
        // A step is not divided: arms that stop within one of the budget have spent the same.
        const double spent = static_cast<double>(*row.tokens) * *arm.flops_per_token;
        const double step = spent / static_cast<double>(*row.steps);
        budget.value = std::abs(spent - plan.budget.amount) <= step
                           ? fmt::format("{:g} FLOPs, to the step", plan.budget.amount)
                           : fmt::format("{:g} FLOPs", spent);
    }
    return budget;
}

void find_drift(const Plan& plan, Row& row, const json& manifest) {
    if (row.binary_sha256 != plan.arm(row.arm).build) row.drift.emplace_back("binary");
    if (!plan.windows_sha256.empty() && row.windows_sha256 != plan.windows_sha256)
        row.drift.emplace_back("evaluation windows");
    if (row.effective_batch && *row.effective_batch != plan.effective_batch)
        row.drift.emplace_back("effective batch");
    const json files = manifest.value(json::json_pointer("/data/files"), json::array());
    for (const PlannedFile& planned : plan.data) {
        const bool there = std::any_of(files.begin(), files.end(), [&](const json& file) {
            return text_at(file, "role") == planned.role &&
                   text_at(file, "sha256") == planned.sha256;
        });
        if (!there && (planned.role == "train" || planned.role == "val"))
            row.drift.push_back(planned.role + " data");
    }
}

/// A run that ended by itself. Sets `row` and gives what is compared.
CellResult read_ended(const Plan& plan, const Cell& cell, const fs::path& directory, Row& row) {
    CellResult result = read_cell(directory, cell.arm);
    const RunFiles run = read_files(directory);
    row.metric = result.metric;
    row.data_sha256 = result.data_sha256;
    row.windows_sha256 = result.windows_sha256;
    read_figures(run, row);
    check_metric(run, row, result);
    find_drift(plan, row, run.manifest);
    if (const Condition budget = budget_of(plan, plan.arm(cell.arm), row, run.manifest);
        !budget.value.empty())
        result.conditions.push_back(budget);
    if (result.seed != cell.seed)
        fail(kData, "{}: row '{}': the run has the seed {}, planned is {}; it is of another cell",
             (directory / kManifest).string(), cell.id, result.seed, cell.seed);
    if (row.config_sha256 != cell.config_sha256) {
        result.done = false;
        result.reason = "its configuration is not the planned one";
    }
    return result;
}

Row read_row(const fs::path& matrix, const Plan& plan, const Cell& cell,
             std::vector<CellResult>& cells) {
    Row row{.index = cell.index, .id = cell.id, .arm = cell.arm, .seed = cell.seed};
    const fs::path directory = cell_directory(matrix, cell);
    row.attempt = count_attempts(matrix, cell).all + 1;
    if (!fs::exists(directory / kStatus)) return row;
    const json status = read_json(directory / kStatus, 1 << 20);
    if (!status.is_object() || text_at(status, "state").empty())
        fail(kData, "{}: an object with \"state\" is wanted", (directory / kStatus).string());
    row.state = text_at(status, "state");
    row.started = text_at(status, "started");
    CellResult result;
    if (row.state == "done") {
        result = read_ended(plan, cell, directory, row);
    } else {
        result.arm = cell.arm;
        result.seed = cell.seed;
        result.reason = text_at(status, "reason");
    }
    row.reason = row.state == "running" ? "" : result.reason;
    if (row.state == "done") row.reason = result.failure();
    if (row.state == "done" && !row.reason.empty()) row.state = "failed";
    if (row.state == "done" || row.state == "failed") cells.push_back(std::move(result));
    return row;
}

/// Adds what earlier finished attempts at a finished cell came to, against the newest.
void add_repeats(const fs::path& matrix, const Cell& cell, const Row& row,
                 std::vector<double>& repeats) {
    if (!row.done()) return;
    for (int64_t n = 1; n < row.attempt; ++n) {
        const fs::path earlier = attempts_directory(matrix, cell) / fmt::format("attempt.{}", n);
        if (!is_done(earlier) ||
            text_at(track::read_manifest(earlier), "experiment_sha256") != row.config_sha256)
            continue;
        const double e = row.metric - final_loss(earlier);
        if (std::isfinite(e)) repeats.push_back(e);
    }
}

/// Empty where cells have other windows, or one does not know its documents.
std::vector<int64_t> common_documents(const Results& results) {
    const std::vector<int64_t>* common = nullptr;
    for (const CellResult& cell : results.cells) {
        if (!cell.failure().empty()) continue;
        if (common == nullptr) common = &cell.window_documents;
        if (cell.window_documents != *common ||
            cell.window_losses.size() != cell.window_documents.size())
            return {};
    }
    return common == nullptr ? std::vector<int64_t>() : *common;
}

/// The first member in which two rows differ, "" when they are equal.
std::string differing_member(const json& recorded, const json& now) {
    for (const auto& [name, value] : now.items())
        if (!recorded.contains(name) || recorded[name] != value) return name;
    return "";
}

[[noreturn]] void fail_changed(const fs::path& matrix, const Cell& cell, const json& recorded,
                               const json& now) {
    const json none = json::object();
    const json& was =
        recorded.contains("files") && recorded["files"].is_object() ? recorded["files"] : none;
    if (now["files"].empty())
        fail(kCheckFailed,
             "{}: row '{}': results.json recorded a finished run (metric {}), it is now {}; put it "
             "back, or run the cell again with `knlp matrix rerun`",
             (cell_directory(matrix, cell) / kStatus).string(), cell.id,
             canonical_json(recorded.value("metric", json())), now["state"].get<std::string>());
    for (const auto& [name, hash] : was.items())
        if (now["files"].value(name, json()) != hash)
            fail(kCheckFailed,
                 "{}: row '{}': the file was {} after results.json recorded it (metric {}, "
                 "recorded {}); put it back, or run the cell again with `knlp matrix rerun`",
                 (cell_directory(matrix, cell) / name).string(), cell.id,
                 now["files"].contains(name) ? "changed" : "taken away",
                 canonical_json(now["metric"]), canonical_json(recorded.value("metric", json())));
    const std::string member = differing_member(recorded, now);
    fail(kCheckFailed,
         "{}: row '{}': \"{}\" is {}, the files of the run say {}; delete {} to record them anew",
         (matrix / kResultsFile).string(), cell.id, member,
         canonical_json(recorded.value(member, json())), canonical_json(now[member]), kResultsFile);
}

}  // namespace

double Row::perplexity() const {
    return std::exp(std::min(metric, kLargestExponent));
}

Results read_results(const fs::path& matrix, const Plan& plan) {
    Results results;
    for (const Cell& cell : plan.cells) {
        results.rows.push_back(read_row(matrix, plan, cell, results.cells));
        add_repeats(matrix, cell, results.rows.back(), results.repeats);
    }
    return results;
}

json row_json(const Row& row) {
    return {{"index", row.index},
            {"id", row.id},
            {"arm", row.arm},
            {"seed", row.seed},
            {"state", row.state},
            {"reason", row.reason},
            {"attempt", row.attempt},
            {"started", row.started},
            {"metric", known(row.metric)},
            {"perplexity", known(std::isfinite(row.metric) ? row.perplexity() : kUnknown)},
            {"best_loss", known(row.best_loss)},
            {"wall_s", known(row.wall_s)},
            {"tokens_per_s", known(row.tokens_per_s)},
            {"steps", known(row.steps)},
            {"tokens", known(row.tokens)},
            {"parameters", known(row.parameters)},
            {"peak_rss_bytes", known(row.peak_rss_bytes)},
            {"peak_gpu_bytes", known(row.peak_gpu_bytes)},
            {"effective_batch", known(row.effective_batch)},
            {"data_sha256", row.data_sha256},
            {"windows_sha256", row.windows_sha256},
            {"config_sha256", row.config_sha256},
            {"binary_sha256", row.binary_sha256},
            {"drift", row.drift},
            {"files", row.files}};
}

std::string results_text(const Plan& plan, const Results& results) {
    std::string out = fmt::format("{{\"plan_sha256\":\"{}\",\"rows\":[", plan.sha256);
    for (size_t i = 0; i < results.rows.size(); ++i)
        out += (i == 0 ? "\n" : ",\n") + canonical_json(row_json(results.rows[i]));
    return out + fmt::format("\n],\"schema\":{}}}\n", kSchema);
}

void check_recorded(const fs::path& matrix, const Plan& plan, const Results& results) {
    const fs::path file = matrix / kResultsFile;
    if (!fs::exists(file)) return;
    const json recorded = read_json(file);
    if (!recorded.is_object() || recorded.value("schema", json()) != kSchema ||
        !recorded.value("rows", json()).is_array())
        fail(kData, "{}: not the rows of a matrix, or of another schema; delete it to make it anew",
             file.string());
    if (text_at(recorded, "plan_sha256") != plan.sha256)
        fail(kData, "{}: its rows are of another plan than {}; delete it to make it anew",
             file.string(), kPlanFile);
    for (const json& was : recorded["rows"]) {
        const auto row = std::find_if(results.rows.begin(), results.rows.end(), [&](const Row& r) {
            return was.is_object() && text_at(was, "id") == r.id;
        });
        if (row == results.rows.end())
            fail(kCheckFailed, "{}: row '{}' is of no cell of the plan", file.string(),
                 was.is_object() ? text_at(was, "id") : "");
        const bool finished = was.value("files", json()).is_object() && !was["files"].empty();
        if (!finished || row->attempt > whole_at(was, "attempt").value_or(0)) continue;
        const json now = row_json(*row);
        if (now != was) fail_changed(matrix, plan.cells[static_cast<size_t>(row->index)], was, now);
    }
}

AnalysisPlan analysis_plan(const Plan& plan, const Results& results) {
    AnalysisPlan out{.arms = {}, .baseline = plan.baseline, .seeds = plan.seeds};
    for (const Arm& arm : plan.arms) out.arms.push_back(arm.id);
    out.alpha = plan.alpha;
    out.min_effect = plan.min_effect;
    out.nats = plan.metric == "val_loss";
    out.lower_is_better = plan.metric == "val_loss";
    out.window_documents = common_documents(results);
    return out;
}

std::vector<std::string> source_files(const fs::path& matrix, const Plan& plan) {
    std::vector<std::string> out = {kPlanFile, kBaseConfigFile};
    for (size_t n = 1; n <= plan.extensions.size(); ++n) out.push_back(extension_file(n));
    const auto add = [&](const fs::path& directory, std::initializer_list<const char*> names) {
        for (const char* name : names)
            if (fs::exists(matrix / directory / name)) out.push_back((directory / name).string());
    };
    for (const Cell& cell : plan.cells) {
        add(fs::path("cells") / cell.id, {kStatus, kManifest, kMetrics, kWindows, kDocuments,
                                          kSummary, "config", "config.resolved.json"});
        const fs::path kept = attempts_directory(matrix, cell).lexically_relative(matrix);
        for (int64_t n = 1; n <= count_attempts(matrix, cell).all; ++n)
            add(kept / fmt::format("attempt.{}", n), {kStatus, kManifest, kMetrics});
    }
    std::sort(out.begin(), out.end());
    return out;
}

}  // namespace knlp::matrix
