// Two matrices, or two runs, side by side.

#include "knlp/report/matrix_report.h"

#include "format.h"
#include "key_figures.h"
#include "matrix_data.h"
#include "matrix_tables.h"
#include "matrix_words.h"
#include "run_data.h"

#include "knlp/core/error.h"
#include "knlp/core/json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using matrix::CellResult;
using matrix::Contrast;
using nlohmann::json;

/// One side: what is compared, what it is called, and what must be named where it differs.
struct Side {
    std::string name, state;
    std::vector<std::string> arms;
    std::vector<uint64_t> seeds;
    std::vector<CellResult> cells;
    std::vector<Fact> facts;
    matrix::AnalysisPlan judged;
};

Side matrix_side(const fs::path& directory) {
    const MatrixData data = read_matrix(directory);
    Side side{.name = data.plan.name, .state = state_line(data)};
    for (const matrix::Arm& arm : data.plan.arms) {
        side.arms.push_back(arm.id);
        side.facts.push_back({"configuration of " + arm.id, arm.config_sha256});
        side.facts.push_back({"binary of " + arm.id, arm.build});
    }
    side.seeds = data.plan.seeds;
    side.cells = data.results.cells;
    for (const Fact& fact : facts_of(data))
        if (fact.name == "Baseline" || fact.name == "Budget" || fact.name == "Effective batch" ||
            fact.name == "Device" || fact.name == "Machine" ||
            fact.name == "Level of the verdicts" || fact.name == "Smallest difference that matters")
            side.facts.push_back(fact);
    for (const matrix::PlannedFile& file : data.plan.data)
        side.facts.push_back({file.role + " data", file.sha256});
    side.facts.push_back({"evaluation windows", data.plan.windows_sha256});
    side.judged = matrix::analysis_plan(data.plan, data.results);
    return side;
}

Side run_side(const fs::path& directory) {
    const RunData run = read_run(directory);
    CellResult cell = matrix::read_cell(directory, "run");
    if (const int64_t steps = key_figures(run).steps; cell.done)
        cell.conditions.push_back({"budget", fmt::format("{} steps", steps)});
    Side side{.name = run.run_id, .state = cell.done ? "done" : cell.reason};
    side.arms = {"run"};
    side.seeds = {cell.seed};
    side.facts = {
        {"seed", std::to_string(cell.seed)},         {"binary", run.text({"/binary_sha256"})},
        {"revision", run.text({"/git_commit"})},     {"data", cell.data_sha256},
        {"evaluation windows", cell.windows_sha256}, {"device", run.text({"/device"})}};
    for (const Setting& s : run.settings) side.facts.push_back({s.name, s.value});
    side.judged.baseline = "run";
    side.judged.window_documents = cell.window_documents;
    side.cells.push_back(std::move(cell));
    return side;
}

std::string value_of(const std::vector<Fact>& facts, const std::string& name) {
    std::vector<std::string> values;
    for (const Fact& fact : facts)
        if (fact.name == name) values.push_back(fact.value);
    return fmt::format("{}", fmt::join(values, ", "));
}

/// "binary: 0123… against 4567…" for each fact that is not the same.
std::vector<std::string> differences(const Side& a, const Side& b) {
    std::vector<std::string> out;
    std::set<std::string> seen;
    const auto shown = [](const std::string& text) {
        if (text.empty()) return std::string("not there");
        const bool hash = text.size() == 64 && text.find(' ') == std::string::npos;
        return hash ? text.substr(0, 12) + "…" : text;
    };
    for (const std::vector<Fact>* facts : {&a.facts, &b.facts})
        for (const Fact& fact : *facts) {
            if (!seen.insert(fact.name).second) continue;
            const std::string in_a = value_of(a.facts, fact.name),
                              in_b = value_of(b.facts, fact.name);
            const bool of_one_arm =
                (in_a.empty() || in_b.empty()) && fact.name.find(" of ") != std::string::npos;
            if (in_a != in_b && !of_one_arm)
                out.push_back(
                    fmt::format("{}: {} against {}", fact.name, shown(in_a), shown(in_b)));
        }
    return out;
}

std::vector<std::string> only_in(const std::vector<std::string>& these,
                                 const std::vector<std::string>& others) {
    std::vector<std::string> out;
    for (const std::string& name : these)
        if (std::find(others.begin(), others.end(), name) == others.end()) out.push_back(name);
    return out;
}

std::vector<CellResult> cells_of(const Side& side, const std::vector<std::string>& arms) {
    std::vector<CellResult> out;
    for (const CellResult& cell : side.cells)
        if (std::find(arms.begin(), arms.end(), cell.arm) != arms.end()) out.push_back(cell);
    return out;
}

/// How arms of both are judged: by the first's level and bound; which differs is named.
matrix::AnalysisPlan judged_by(const Side& a, const Side& b) {
    matrix::AnalysisPlan plan = a.judged;
    const std::vector<std::string> none = only_in(a.arms, b.arms);
    plan.arms = only_in(a.arms, none);
    if (plan.arms.empty())
        fail(kData, "{} and {} have no arm in common: there is nothing to compare", a.name, b.name);
    plan.baseline = plan.arms.front();
    std::set<uint64_t> seeds(a.seeds.begin(), a.seeds.end());
    seeds.insert(b.seeds.begin(), b.seeds.end());
    plan.seeds.assign(seeds.begin(), seeds.end());
    if (a.judged.window_documents != b.judged.window_documents) plan.window_documents.clear();
    return plan;
}

std::string mean_text(const std::vector<CellResult>& cells, const matrix::AnalysisPlan& plan,
                      const std::string& arm) {
    for (const matrix::ArmSummary& s : matrix::analyse(plan, cells).arms)
        if (s.arm == arm) return with_interval(s.mean, s.interval);
    return "–";
}

TextTable table_of(const std::vector<Contrast>& contrasts, const matrix::AnalysisPlan& plan,
                   const std::vector<CellResult>& a, const std::vector<CellResult>& b) {
    TextTable table{.head = {"arm", "n", "A", "B", "B - A", "p", "p (Holm)", "perplexity",
                             "verdict on B", "not counted"},
                    .rows = {}};
    MatrixData none;
    for (const Contrast& c : contrasts) {
        ArmData arm;
        arm.contrast = c;
        const ArmWords words = words_of(arm, none);
        table.rows.push_back({c.arm, std::to_string(c.differences.size()),
                              mean_text(a, plan, c.arm), mean_text(b, plan, c.arm),
                              words.difference, words.p, words.adjusted_p, words.ratio,
                              words.verdict, words.not_counted});
    }
    return table;
}

TextTable dropped_of(const std::vector<Contrast>& contrasts) {
    TextTable table{.head = {"arm", "seed", "why"}, .rows = {}};
    for (const Contrast& c : contrasts)
        for (const matrix::Dropped& d : c.dropped)
            table.rows.push_back({c.arm, std::to_string(d.seed), without_directories(d.why)});
    return table;
}

std::string list_text(const char* name, const std::vector<std::string>& arms) {
    return arms.empty() ? "" : fmt::format("{:<12}{}\n", name, fmt::join(arms, ", "));
}

}  // namespace

Comparison compare(const fs::path& first, const fs::path& second) {
    if (is_matrix(first) != is_matrix(second))
        fail(kUsage, "{} is a {} and {} a {}: two of a kind are compared", first.string(),
             is_matrix(first) ? "matrix" : "run", second.string(),
             is_matrix(second) ? "matrix" : "run");
    const auto read = is_matrix(first) ? matrix_side : run_side;
    const Side a = read(first), b = read(second);
    const matrix::AnalysisPlan plan = judged_by(a, b);
    const std::vector<CellResult> in_a = cells_of(a, plan.arms), in_b = cells_of(b, plan.arms);
    const std::vector<Contrast> contrasts = matrix::compare(plan, in_a, in_b);
    const TextTable table = table_of(contrasts, plan, in_a, in_b), dropped = dropped_of(contrasts);
    const std::vector<std::string> other = differences(a, b);

    Comparison out;
    out.text =
        fmt::format("{:<12}{}: {}\n{:<12}{}: {}\n", "A", a.name, a.state, "B", b.name, b.state);
    for (const std::string& what : other) out.text += fmt::format("{:<12}{}\n", "differs", what);
    out.text += list_text("only in A", only_in(a.arms, b.arms));
    out.text += list_text("only in B", only_in(b.arms, a.arms));
    const bool one = std::all_of(contrasts.begin(), contrasts.end(),
                                 [](const Contrast& c) { return c.differences.size() == 1; });
    if (one) out.text += "one seed: not a comparison\n";
    out.text += "\n" + plain_table(table);
    if (!dropped.rows.empty()) out.text += "\nPairs that do not count\n" + plain_table(dropped);
    out.csv = csv_table(table);
    json arms = json::object();
    for (const Contrast& c : contrasts) arms[c.arm] = contrast_json(c);
    out.json = canonical_json({{"a", a.name},
                               {"b", b.name},
                               {"arms", std::move(arms)},
                               {"differs", other},
                               {"only_in_a", only_in(a.arms, b.arms)},
                               {"only_in_b", only_in(b.arms, a.arms)}});
    return out;
}

}  // namespace knlp::report
