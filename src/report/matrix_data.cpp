#include "matrix_data.h"

#include "key_figures.h"
#include "run_data.h"

#include "knlp/core/file.h"
#include "knlp/core/stats.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace knlp::report {
namespace {

namespace fs = std::filesystem;
using matrix::Arm;
using matrix::Plan;
using matrix::Row;

constexpr size_t kNamedCells = 6;                              // of those that drifted
constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();  // in place of the last step

/// "adamw · LEARNING_RATE=6e-4": the values of the axes; the id where they do not tell arms apart.
std::vector<std::string> labels_of(const Plan& plan) {
    std::vector<std::string> labels;
    for (const Arm& arm : plan.arms) {
        std::string label;
        for (size_t i = 0; i < arm.labels.size(); ++i) {
            if (arm.labels[i] == "-" || plan.axes[i].values.size() < 2) continue;
            const std::string& name = plan.axes[i].name;
            const bool symbol =
                std::none_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
            label += (label.empty() ? "" : " · ") + (symbol ? name + "=" : "") + arm.labels[i];
        }
        labels.push_back(label.empty() ? arm.id : label);
    }
    if (std::set(labels.begin(), labels.end()).size() == labels.size()) return labels;
    labels.clear();
    for (const Arm& arm : plan.arms) labels.push_back(arm.id);
    return labels;
}

/// Values of one arm's seeds at one place of the curve.
struct Samples {
    int64_t step = 0;
    std::vector<double> tokens, elapsed_s, loss;
};

void add_curve(const RunData& run, std::map<int64_t, Samples>& places) {
    for (size_t i = 0; i < run.evals.size(); ++i) {
        const EvalPoint& p = run.evals[i];
        if (!std::isfinite(p.val_loss)) continue;
        Samples& s = places[i + 1 == run.evals.size() ? kEnd : p.step];
        s.step = std::max(s.step, p.step);
        s.tokens.push_back(p.tokens);
        s.elapsed_s.push_back(p.elapsed_s);
        s.loss.push_back(p.val_loss);
    }
}

std::vector<CurvePoint> curve_of(const std::map<int64_t, Samples>& places, size_t seeds) {
    std::vector<CurvePoint> out;
    for (const auto& [place, s] : places) {
        if (s.loss.size() != seeds) continue;
        const auto [low, high] = std::minmax_element(s.loss.begin(), s.loss.end());
        out.push_back({.step = s.step,
                       .n = std::ssize(s.loss),
                       .tokens = mean(s.tokens),
                       .elapsed_s = mean(s.elapsed_s),
                       .mean = mean(s.loss),
                       .sd = stddev(s.loss),
                       .low = *low,
                       .high = *high});
    }
    return out;
}

void add_unique(std::vector<std::string>& list, const std::string& text) {
    if (!text.empty() && std::find(list.begin(), list.end(), text) == list.end())
        list.push_back(text);
}

/// What the runs themselves say: machine, unit, substitute data.
void add_provenance(const RunData& run, MatrixData& data) {
    // Which host it was is nothing that a report passes on.
    const double cores = run.number({"/host/cores"});
    add_unique(data.machines, fmt::format("{}, {} cores, {}", run.text({"/host/cpu_model"}),
                                          std::isfinite(cores) ? cores : 0, run.text({"/device"})));
    for (const std::string& text : caveats(run))
        if (!text.starts_with("The source tree")) add_unique(data.caveats, text);
    if (data.watermark.empty()) data.watermark = report::watermark(run);
    data.loss_unit = key_figures(run).loss_unit;
}

ArmData read_arm(const fs::path& directory, const Arm& arm, MatrixData& data) {
    ArmData out{.id = arm.id, .baseline = arm.id == data.plan.baseline};
    std::map<int64_t, Samples> places;
    size_t seeds = 0;
    for (const Row& row : data.results.rows) {
        if (row.arm != arm.id || !row.done()) continue;
        const RunData run = read_run(directory / "cells" / row.id);
        const auto add = [](std::vector<double>& to, double value) {
            if (std::isfinite(value)) to.push_back(value);
        };
        add(out.wall_s, row.wall_s);
        add(out.tokens_per_s, row.tokens_per_s);
        const auto& bytes = row.peak_gpu_bytes ? row.peak_gpu_bytes : row.peak_rss_bytes;
        if (bytes) out.peak_bytes.push_back(static_cast<double>(*bytes));
        if (!run.evals.empty()) ++seeds;
        add_curve(run, places);
        if (out.learning_rate.empty())
            for (const TrainPoint& p : run.train)
                if (std::isfinite(p.lr)) out.learning_rate.push_back({p.tokens, p.lr});
        add_provenance(run, data);
    }
    out.curve = curve_of(places, seeds);
    return out;
}

void add_plan_caveats(MatrixData& data) {
    const Plan& plan = data.plan;
    for (const matrix::Extension& e : plan.extensions)
        data.caveats.push_back(
            fmt::format("Extended: seeds {} were added after {} cells were done ({}); p values "
                        "do not know of it.",
                        fmt::join(e.seeds, ", "), e.done_before, e.created));
    for (const matrix::Build& build : plan.builds)
        if (!build.git_diff_sha256.empty())
            add_unique(data.caveats,
                       "Uncommitted changes: the source of a binary was no commit; its revision "
                       "alone does not repeat the cells.");
    std::map<std::string, std::vector<std::string>> drift;
    for (const Row& row : data.results.rows)
        for (const std::string& what : row.drift) drift[what].push_back(row.id);
    for (const auto& [what, cells] : drift) {
        const size_t named = std::min(cells.size(), kNamedCells);
        data.caveats.push_back(fmt::format(
            "Drift: the {} of {} of {} cells is not the planned: {}{}", what, cells.size(),
            data.results.rows.size(),
            fmt::join(cells.begin(), cells.begin() + static_cast<std::ptrdiff_t>(named), ", "),
            named < cells.size() ? ", …; results.csv names all" : ""));
    }
    for (const std::string& text : plan.differences)
        data.caveats.push_back("Difference between arms: " + text);
    for (const std::string& text : data.first_weights.differing)
        data.caveats.push_back("Difference between arms: " + text);
    if (plan.seeds.size() == 1) data.caveats.emplace_back("one seed: not a comparison");
}

std::map<std::string, std::string> settings_of(const fs::path& file) {
    std::map<std::string, std::string> out;
    if (!fs::exists(file)) return out;
    const std::string text = read_file(file);
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find('\n', begin), text.size());
        const std::string line = text.substr(begin, end - begin);
        const size_t equals = line.find('=');
        if (line.starts_with("CONFIG_") && equals != std::string::npos) {
            std::string value = line.substr(equals + 1);
            if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
                value = value.substr(1, value.size() - 2);
            out[line.substr(7, equals - 7)] = value;
        }
        begin = end + 1;
    }
    return out;
}

/// By mean and not by the best seed; arms without a mean keep the order of the plan at the end.
void rank(std::vector<ArmData>& arms, bool lower_is_better) {
    std::stable_sort(arms.begin(), arms.end(), [&](const ArmData& a, const ArmData& b) {
        const bool has_a = std::isfinite(a.summary.mean), has_b = std::isfinite(b.summary.mean);
        if (!has_a || !has_b) return has_a && !has_b;
        return lower_is_better ? a.summary.mean < b.summary.mean : a.summary.mean > b.summary.mean;
    });
}

}  // namespace

int64_t MatrixData::count(const std::string& state) const {
    return std::count_if(results.rows.begin(), results.rows.end(),
                         [&](const Row& row) { return row.state == state; });
}

bool MatrixData::gpu() const {
    return std::any_of(results.rows.begin(), results.rows.end(),
                       [](const Row& row) { return row.peak_gpu_bytes.has_value(); });
}

MatrixData read_matrix(const fs::path& directory) {
    MatrixData data;
    data.plan = matrix::read_plan(directory);
    data.results = matrix::read_results(directory, data.plan);
    matrix::check_recorded(directory, data.plan, data.results);
    data.first_weights = matrix::compare_first_weights(data.plan, data.results);
    const matrix::AnalysisPlan judged = matrix::analysis_plan(data.plan, data.results);
    data.analysis = matrix::analyse(judged, data.results.cells);
    const std::vector<std::string> labels = labels_of(data.plan);
    for (size_t i = 0; i < data.plan.arms.size(); ++i) {
        ArmData arm = read_arm(directory, data.plan.arms[i], data);
        arm.label = labels[i];
        arm.summary = data.analysis.arms[i];
        for (const matrix::Contrast& c : data.analysis.contrasts)
            if (c.arm == arm.id) arm.contrast = c;
        data.arms.push_back(std::move(arm));
    }
    rank(data.arms, judged.lower_is_better);
    add_plan_caveats(data);
    data.base_settings = settings_of(directory / matrix::kBaseConfigFile);
    return data;
}

std::string without_directories(const std::string& text) {
    std::string out = text;
    for (size_t at = 0; (at = out.find("/cells/", at)) != std::string::npos;) {
        size_t begin = at;
        while (begin > 0 && out[begin - 1] != ' ' && out[begin - 1] != '\'') --begin;
        out.erase(begin, at + 1 - begin);
        at = begin + 1;
    }
    return out;
}

}  // namespace knlp::report
