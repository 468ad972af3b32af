#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "ledger_parts.h"

#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/matrix/analysis.h"
#include "knlp/matrix/plan.h"
#include "knlp/matrix/results.h"
#include "knlp/track/ledger.h"

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// What all rows of one matrix say.
struct Matrix {
    fs::path directory, results;
    std::string id;  // its path below the results
    matrix::Plan plan;
    matrix::Results found;
    std::vector<json> cell_rows;  // of cells that are done
};

/// One that ran as planned but on another binary, data or evaluation windows.
bool has_drift(const Matrix& m, const std::string& arm) {
    return std::any_of(m.found.rows.begin(), m.found.rows.end(), [&](const matrix::Row& row) {
        return row.done() && !row.drift.empty() && (row.arm == arm || row.arm == m.plan.baseline);
    });
}

json row_of_cell(const Matrix& m, const matrix::Row& cell) {
    json row = row_of_run(m.directory / "cells" / cell.id, "cell", m.results);
    row["facts"]["matrix"] = m.id;
    row["facts"]["plan_sha256"] = m.plan.sha256;
    row["facts"]["arm"] = cell.arm;
    row["facts"]["drift"] = cell.drift;
    row["metrics"][m.plan.metric] = cell.metric;  // the one that is compared
    return row;
}

void add_number(json& metrics, const std::string& name, double value) {
    if (std::isfinite(value)) metrics[name] = value;
}

void add_interval(json& metrics, const std::string& name, const matrix::Interval& interval) {
    add_number(metrics, name + "low", interval.low);
    add_number(metrics, name + "high", interval.high);
}

void add_arm(json& metrics, const std::string& name, const matrix::Analysis& analysis,
             const std::string& arm) {
    for (const matrix::ArmSummary& summary : analysis.arms) {
        if (summary.arm != arm) continue;
        metrics[name + "/n"] = summary.n;
        add_number(metrics, name + "/mean", summary.mean);
        add_number(metrics, name + "/sd", summary.sd);
        add_interval(metrics, name + "/", summary.interval);
    }
}

json metrics_of(const matrix::Contrast& c, const matrix::Analysis& analysis,
                const matrix::Plan& plan) {
    json metrics = {{"n", std::ssize(c.differences)}, {"dropped", std::ssize(c.dropped)},
                    {"unpaired", c.unpaired()},       {"positive", c.signs.positive},
                    {"negative", c.signs.negative},   {"alpha", plan.alpha},
                    {"min_effect", plan.min_effect}};
    add_number(metrics, "mean_difference", c.mean);
    add_number(metrics, "sd", c.sd);
    add_interval(metrics, "", c.interval);
    add_interval(metrics, "interval90/", c.interval90);
    add_number(metrics, "p", c.p);
    add_number(metrics, "adjusted_p", c.adjusted_p);
    add_number(metrics, "sign_flip/p", c.sign_flip.p);
    add_number(metrics, "sign_flip/smallest_p", c.sign_flip.smallest_p);
    add_number(metrics, "ratio_percent", c.ratio_percent);
    add_interval(metrics, "ratio_percent/", c.ratio_interval_percent);
    add_interval(metrics, "evaluation_noise/", c.evaluation_noise.interval);
    add_number(metrics, "seed_noise", analysis.seed_noise);
    add_arm(metrics, "arm", analysis, c.arm);
    add_arm(metrics, "baseline", analysis, plan.baseline);
    return metrics;
}

/// Revision and data of the cells that the contrast compares: the weakest of them counts.
void describe_cells(const Matrix& m, const std::string& arm, json& row) {
    bool known = true, dirty = false;
    std::set<std::string> commits;
    for (const json& cell : m.cell_rows) {
        if (cell["facts"]["arm"] != arm && cell["facts"]["arm"] != m.plan.baseline) continue;
        known = known && cell["git_dirty"].is_boolean();
        dirty = dirty || cell["git_dirty"] == true;
        if (cell["git_commit"].is_string()) commits.insert(cell["git_commit"].get<std::string>());
        row["synthetic"] = row["synthetic"] == true || cell["synthetic"] == true;
        row["substitute"] = row["substitute"] == true || cell["substitute"] == true;
        row["host"] = cell["host"];
        row["data_sha256"] = cell["data_sha256"];
    }
    if (known && !m.cell_rows.empty()) row["git_dirty"] = dirty;
    if (commits.size() == 1) row["git_commit"] = *commits.begin();
    // Two revisions are compared only where one builds both; the rule then calls it drift.
    if (commits.size() > 1) row["facts"]["drift"] = true;
}

json row_of_contrast(const Matrix& m, const matrix::Contrast& contrast,
                     const matrix::Analysis& analysis) {
    json row = track::ledger_row("contrast", m.id + "/" + contrast.arm);
    row["facts"] = {{"verdict", matrix::name_of(contrast.verdict)},
                    {"text", contrast.verdict_text()},
                    {"baseline", m.plan.baseline},
                    {"metric", m.plan.metric},
                    {"matrix", m.id},
                    {"plan_sha256", m.plan.sha256},
                    {"seeds", contrast.seeds},
                    {"extended", !m.plan.extensions.empty()},
                    {"drift", has_drift(m, contrast.arm)}};
    row["metrics"] = metrics_of(contrast, analysis, m.plan);
    row["config_sha256"] = m.plan.arm(contrast.arm).config_sha256;
    row["binary_sha256"] = m.plan.arm(contrast.arm).build;
    describe_cells(m, contrast.arm, row);
    add_files(m.directory, {matrix::kPlanFile}, m.results, row);
    for (size_t n = 1; n <= m.plan.extensions.size(); ++n)
        add_files(m.directory, {matrix::extension_file(n)}, m.results, row);
    return row;
}

}  // namespace

std::vector<json> rows_of_matrix(const fs::path& directory, const fs::path& results) {
    Matrix m{.directory = directory,
             .results = results,
             .id = below(directory, results),
             .plan = matrix::read_plan(directory),
             .found = {},
             .cell_rows = {}};
    m.found = matrix::read_results(directory, m.plan);
    matrix::check_recorded(directory, m.plan, m.found);
    for (const matrix::Row& cell : m.found.rows)
        if (cell.done()) m.cell_rows.push_back(row_of_cell(m, cell));
    const matrix::Analysis analysis =
        matrix::analyse(matrix::analysis_plan(m.plan, m.found), m.found.cells);
    std::vector<json> rows = m.cell_rows;
    for (const matrix::Contrast& contrast : analysis.contrasts)
        rows.push_back(row_of_contrast(m, contrast, analysis));
    return rows;
}

}  // namespace knlp::report
