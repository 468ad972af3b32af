// The report of a matrix as text, JSON, Markdown, LaTeX and CSV.

#include "matrix_tables.h"

#include "matrix_words.h"

#include "knlp/core/json.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <utility>

namespace knlp::report {
namespace {

using matrix::Contrast;
using matrix::Interval;
using nlohmann::json;

json known(double value) {
    return std::isfinite(value) ? json(value) : json();
}

json interval_json(const Interval& interval) {
    return interval.known() ? json({interval.low, interval.high}) : json();
}

json arm_json(const ArmData& arm) {
    return {{"id", arm.id},
            {"label", arm.label},
            {"baseline", arm.baseline},
            {"n", arm.summary.n},
            {"failed", arm.summary.failed},
            {"missing", arm.summary.missing},
            {"mean", known(arm.summary.mean)},
            {"sd", known(arm.summary.sd)},
            {"interval", interval_json(arm.summary.interval)},
            {"wall_s", arm.wall_s},
            {"tokens_per_s", arm.tokens_per_s},
            {"peak_bytes", arm.peak_bytes},
            {"contrast", arm.baseline ? json() : contrast_json(arm.contrast)}};
}

json states_json(const MatrixData& data) {
    json out = json::object();
    for (const char* state : {"done", "failed", "preempted", "running", "pending"})
        out[state] = data.count(state);
    return out;
}

/// A heading and a table, nothing where the table has no rows.
template <class Render>
std::string part(const std::string& heading, const TextTable& table, Render render) {
    return table.rows.empty() ? "" : heading + render(table) + "\n";
}

/// The columns that summary_report.txt always has, in this order.
TextTable fixed_columns(const MatrixData& data) {
    TextTable table{.head = {"arm", "n", "mean", "difference", "p", "verdict", "sparsity", "memory",
                             "time", "tokens/s", "status"},
                    .rows = {}};
    for (const ArmData& arm : data.arms) {
        const ArmWords w = words_of(arm, data);
        table.rows.push_back({arm.id, w.n, w.mean, w.difference, w.adjusted_p, w.verdict, "–",
                              w.memory, w.time, w.speed, w.status});
    }
    return table;
}

std::string number_text(double value) {
    return std::isfinite(value) ? canonical_json(json(value)) : "";
}

std::string number_text(const std::optional<int64_t>& value) {
    return value ? std::to_string(*value) : "";
}

}  // namespace

json contrast_json(const Contrast& c) {
    json dropped = json::array();
    for (const matrix::Dropped& d : c.dropped)
        dropped.push_back({{"seed", d.seed},
                           {"kind", static_cast<int>(d.kind) == 0   ? "failed"
                                    : static_cast<int>(d.kind) == 1 ? "missing"
                                                                    : "incomparable"},
                           {"unpaired", d.unpaired},
                           {"why", without_directories(d.why)}});
    return {{"seeds", c.seeds},
            {"differences", c.differences},
            {"mean", known(c.mean)},
            {"sd", known(c.sd)},
            {"interval", interval_json(c.interval)},
            {"interval90", interval_json(c.interval90)},
            {"p", known(c.p)},
            {"adjusted_p", known(c.adjusted_p)},
            {"signs",
             {{"positive", c.signs.positive},
              {"negative", c.signs.negative},
              {"zero", c.signs.zero},
              {"agree", c.signs.agree()}}},
            {"sign_flip",
             {{"p", known(c.sign_flip.p)},
              {"smallest_p", known(c.sign_flip.smallest_p)},
              {"exact", c.sign_flip.exact}}},
            {"evaluation_noise",
             {{"interval", interval_json(c.evaluation_noise.interval)},
              {"sd", known(c.evaluation_noise.sd)},
              {"blocks", c.evaluation_noise.blocks}}},
            {"ratio_percent", known(c.ratio_percent)},
            {"ratio_interval_percent", interval_json(c.ratio_interval_percent)},
            {"dropped", std::move(dropped)},
            {"verdict", matrix::name_of(c.verdict)},
            {"verdict_text", c.verdict_text()}};
}

std::string matrix_text(const MatrixData& data) {
    std::string out = fmt::format("matrix      {}\ncells       {}\nplan        {}\n",
                                  data.plan.name, state_line(data), data.plan.sha256);
    for (const std::string& caveat : data.caveats) out += fmt::format("note        {}\n", caveat);
    out += "\n" + plain_table(fixed_columns(data)) + "\n";
    out += fmt::format("mean and difference with {:g} % intervals over seeds; p after Holm\n",
                       100 * (1 - data.plan.alpha));
    for (const std::string& note : reading_notes(data)) out += note + "\n";
    out += part("\nBehind the verdicts\n", verdict_table(data), plain_table);
    out += part("\nPairs that do not count\n", dropped_table(data), plain_table);
    out += part("\nCells that are no result\n", unfinished_table(data), plain_table);
    out += part("\nExcluded by the plan\n", exclusion_table(data), plain_table);
    while (out.ends_with("\n\n")) out.pop_back();
    return out;
}

std::string matrix_json(const MatrixData& data) {
    const matrix::Plan& plan = data.plan;
    json arms = json::array(), excluded = json::array(), extensions = json::array();
    for (const ArmData& arm : data.arms) arms.push_back(arm_json(arm));
    for (const matrix::Excluded& e : plan.excluded)
        excluded.push_back({{"labels", e.labels}, {"rule", e.rule}, {"why", e.why}});
    for (const matrix::Extension& e : plan.extensions)
        extensions.push_back({{"seeds", e.seeds},
                              {"created", e.created},
                              {"done_before", e.done_before},
                              {"sha256", e.sha256}});
    return pretty_json({{"name", plan.name},
                        {"plan_sha256", plan.sha256},
                        {"metric", plan.metric},
                        {"loss_unit", data.loss_unit},
                        {"baseline", plan.baseline},
                        {"seeds", plan.seeds},
                        {"alpha", plan.alpha},
                        {"min_effect", plan.min_effect},
                        {"arms", std::move(arms)},
                        {"cells", states_json(data)},
                        {"seed_noise", known(data.analysis.seed_noise)},
                        {"repeats", data.results.repeats.size()},
                        {"repeat_noise", known(matrix::repeat_noise(data.results.repeats))},
                        {"excluded", std::move(excluded)},
                        {"extensions", std::move(extensions)},
                        {"caveats", data.caveats},
                        {"machines", data.machines}});
}

std::string matrix_markdown(const MatrixData& data) {
    std::string out = fmt::format("# {}\n\n{}.\n\n", data.plan.name, state_line(data));
    for (const std::string& caveat : data.caveats) out += fmt::format("- {}\n", caveat);
    if (!data.caveats.empty()) out += "\n";
    out += markdown_table(verdict_table(data)) + "\n";
    for (const std::string& note : reading_notes(data)) out += note + "\n\n";
    out += part("## Differences\n\n", difference_table(data), markdown_table);
    out += part("## Memory and time\n\n", cost_table(data), markdown_table);
    out += part("## Pairs that do not count\n\n", dropped_table(data), markdown_table);
    out += part("## Cells that are no result\n\n", unfinished_table(data), markdown_table);
    out += part("## Excluded by the plan\n\n", exclusion_table(data), markdown_table);
    out += part("## What differs between the arms\n\n", configuration_table(data), markdown_table);
    TextTable facts{.head = {"provenance", ""}, .rows = {}};
    for (const Fact& fact : facts_of(data)) facts.rows.push_back({fact.name, fact.value});
    return out + "## Provenance\n\n" + markdown_table(facts);
}

std::string matrix_latex(const MatrixData& data) {
    std::string out =
        fmt::format("% {}; needs booktabs. {}.\n", latex_escape(data.plan.name), state_line(data));
    for (const std::string& caveat : data.caveats) out += "% " + latex_escape(caveat) + "\n";
    out += "\n" + latex_table(verdict_table(data)) + "\n";
    out += part("% Differences\n", difference_table(data), latex_table);
    out += part("% Memory and time\n", cost_table(data), latex_table);
    out += part("% Pairs that do not count\n", dropped_table(data), latex_table);
    out += part("% Cells that are no result\n", unfinished_table(data), latex_table);
    return out;
}

std::string matrix_csv(const MatrixData& data) {
    TextTable table{.head = {"index",
                             "id",
                             "arm",
                             "seed",
                             "state",
                             "reason",
                             "attempt",
                             "started",
                             "metric",
                             "perplexity",
                             "best_loss",
                             "steps",
                             "tokens",
                             "wall_s",
                             "tokens_per_s",
                             "peak_rss_bytes",
                             "peak_gpu_bytes",
                             "parameters",
                             "effective_batch",
                             "config_sha256",
                             "binary_sha256",
                             "data_sha256",
                             "windows_sha256",
                             "drift"},
                    .rows = {}};
    for (const matrix::Row& row : data.results.rows) {
        std::string drift;
        for (const std::string& what : row.drift) drift += (drift.empty() ? "" : "; ") + what;
        table.rows.push_back({std::to_string(row.index),
                              row.id,
                              row.arm,
                              std::to_string(row.seed),
                              row.state,
                              without_directories(row.reason),
                              std::to_string(row.attempt),
                              row.started,
                              number_text(row.metric),
                              std::isfinite(row.metric) ? number_text(row.perplexity()) : "",
                              number_text(row.best_loss),
                              number_text(row.steps),
                              number_text(row.tokens),
                              number_text(row.wall_s),
                              number_text(row.tokens_per_s),
                              number_text(row.peak_rss_bytes),
                              number_text(row.peak_gpu_bytes),
                              number_text(row.parameters),
                              number_text(row.effective_batch),
                              row.config_sha256,
                              row.binary_sha256,
                              row.data_sha256,
                              row.windows_sha256,
                              drift});
    }
    return csv_table(table);
}

}  // namespace knlp::report
