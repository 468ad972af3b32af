#include "knlp/matrix/analysis.h"

#include "knlp/core/error.h"
#include "knlp/core/stats.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace knlp::matrix {
namespace {

using Key = std::pair<std::string, uint64_t>;  // arm and seed
using Cells = std::map<Key, const CellResult*>;
using Pair = std::pair<const CellResult*, const CellResult*>;  // of the arm, of the baseline

void check_plan(const AnalysisPlan& plan) {
    if (plan.arms.empty() || plan.seeds.empty())
        fail(kUsage, "an analysis of {} arms and {} seeds: at least one of each is needed",
             plan.arms.size(), plan.seeds.size());
    const std::set<std::string> arms(plan.arms.begin(), plan.arms.end());
    const std::set<uint64_t> seeds(plan.seeds.begin(), plan.seeds.end());
    if (arms.size() < plan.arms.size()) fail(kUsage, "an arm is named twice in the plan");
    if (seeds.size() < plan.seeds.size()) fail(kUsage, "a seed is named twice in the plan");
    if (!arms.contains(plan.baseline))
        fail(kUsage, "the baseline '{}' is no arm of the plan{}", plan.baseline,
             did_you_mean(plan.baseline, plan.arms));
    if (!(plan.alpha >= 1e-9 && plan.alpha < 0.5))
        fail(kUsage, "alpha {} is outside [1e-9, 0.5)", plan.alpha);
    if (!(plan.min_effect >= 0 && std::isfinite(plan.min_effect)))
        fail(kUsage, "a smallest effect of {}: 0 or more is wanted", plan.min_effect);
}

void check_cell(const AnalysisPlan& plan, const CellResult& cell) {
    if (std::find(plan.arms.begin(), plan.arms.end(), cell.arm) == plan.arms.end())
        fail(kData, "a result of arm '{}', which is not in the plan{}", cell.arm,
             did_you_mean(cell.arm, plan.arms));
    if (std::find(plan.seeds.begin(), plan.seeds.end(), cell.seed) == plan.seeds.end())
        fail(kData, "a result of arm '{}' with seed {}, which is not in the plan", cell.arm,
             cell.seed);
    if (!plan.window_documents.empty() && !cell.window_losses.empty() &&
        cell.window_losses.size() != plan.window_documents.size())
        fail(kData, "arm '{}' with seed {} has losses of {} windows, the plan has documents of {}",
             cell.arm, cell.seed, cell.window_losses.size(), plan.window_documents.size());
}

Cells index_cells(const AnalysisPlan& plan, std::span<const CellResult> cells) {
    Cells index;
    for (const CellResult& cell : cells) {
        check_cell(plan, cell);
        if (!index.emplace(Key(cell.arm, cell.seed), &cell).second)
            fail(kData, "two results of arm '{}' with seed {}; one is wanted", cell.arm, cell.seed);
    }
    return index;
}

const CellResult* find(const Cells& cells, const std::string& arm, uint64_t seed) {
    const auto found = cells.find({arm, seed});
    return found == cells.end() ? nullptr : found->second;
}

std::string value_of(const CellResult& cell, const std::string& condition) {
    for (const Condition& c : cell.conditions)
        if (c.name == condition) return c.value;
    return "";
}

/// What of the further conditions differs, or is known of one side only; "" when nothing does.
std::string other_condition(const CellResult& a, const CellResult& b) {
    for (const auto& [one, other] : {std::pair{&a, &b}, std::pair{&b, &a}})
        for (const Condition& c : one->conditions) {
            const std::string value = value_of(*other, c.name);
            if (value.empty()) return fmt::format("{} recorded on one side only", c.name);
            if (value != c.value)
                return fmt::format("other {}: {} against {}", c.name, value_of(a, c.name),
                                   value_of(b, c.name));
        }
    return "";
}

/// Why two done cells do not compare, "" when they do.
std::string difference_of_conditions(const CellResult& a, const CellResult& b) {
    if (a.data_sha256.empty() || b.data_sha256.empty()) return "hash of the data not recorded";
    if (a.data_sha256 != b.data_sha256) return "other data";
    if (a.windows_sha256.empty() || b.windows_sha256.empty())
        return "hash of the evaluation windows not recorded";
    if (a.windows_sha256 != b.windows_sha256) return "other evaluation windows";
    return other_condition(a, b);
}

/// One side of a contrast: where its results are, under which arm, and what it is called.
struct Side {
    const Cells& cells;
    std::string arm, name;
};

/// Why this seed gives no pair; an empty `why` when it does.
Dropped judge_pair(const Side& arm, const Side& baseline, uint64_t seed, const Pair& pair) {
    using enum Dropped::Kind;
    Dropped dropped{.seed = seed, .kind = kMissing, .unpaired = false, .why = ""};
    int64_t usable = 0;
    for (const auto& [cell, side] : {std::pair{pair.first, &arm}, {pair.second, &baseline}}) {
        const std::string failure = cell ? cell->failure() : "no result";
        if (cell && failure.empty()) ++usable;
        if (failure.empty()) continue;
        dropped.why +=
            fmt::format("{}{}: {}", dropped.why.empty() ? "" : "; ", side->name, failure);
        if (cell) dropped.kind = kFailed;
    }
    dropped.unpaired = usable == 1;
    if (usable == 2) {
        dropped.kind = kIncomparable;
        dropped.why = difference_of_conditions(*pair.first, *pair.second);
    }
    return dropped;
}

/// Difference of each evaluation window, the mean over the seeds: empty where a run lacks them.
std::vector<double> window_differences(const std::vector<Pair>& pairs) {
    std::vector<double> mean_difference;
    for (const auto& [arm, base] : pairs) {
        const size_t n = arm->window_losses.size();
        if (n == 0 || n != base->window_losses.size()) return {};
        mean_difference.resize(mean_difference.empty() ? n : mean_difference.size());
        if (mean_difference.size() != n) return {};
        for (size_t w = 0; w < n; ++w) {
            const double d = double{arm->window_losses[w]} - double{base->window_losses[w]};
            if (!std::isfinite(d)) return {};
            mean_difference[w] += d / static_cast<double>(pairs.size());
        }
    }
    return mean_difference;
}

/// What the last bits of a metric may be off: below it a difference or a spread is rounding.
double rounding_of(const Pair& pair) {
    return 4 * std::numeric_limits<double>::epsilon() *
           std::max(std::abs(pair.first->metric), std::abs(pair.second->metric));
}

double difference_of(const Pair& pair) {
    const double d = pair.first->metric - pair.second->metric;
    return std::abs(d) <= rounding_of(pair) ? 0 : d;
}

/// One difference, other than zero, in all seeds.
bool repeats(const Contrast& contrast, const std::vector<Pair>& pairs) {
    double rounding = 0;
    for (const Pair& pair : pairs) rounding = std::max(rounding, rounding_of(pair));
    return contrast.sd <= rounding && contrast.signs.zero < std::ssize(pairs);
}

double percent(double nats) {
    return 100 * std::expm1(nats);
}

void judge_differences(const AnalysisPlan& plan, const std::vector<Pair>& pairs, Contrast& c) {
    const std::vector<double>& d = c.differences;
    c.signs = count_signs(d);
    c.sign_flip = sign_flip(d);
    if (d.empty()) return;
    c.mean = mean(d);
    c.sd = stddev(d);
    if (plan.nats) c.ratio_percent = percent(c.mean);
    if (d.size() < 2) return;
    if (const std::vector<double> windows = window_differences(pairs); !windows.empty())
        c.evaluation_noise = evaluation_noise(windows, plan.window_documents, 1 - plan.alpha);
    c.no_spread = repeats(c, pairs);
    if (c.no_spread) return;
    c.interval = mean_interval(d, 1 - plan.alpha);
    c.interval90 = mean_interval(d, 0.90);
    c.p = paired_p(d);
    if (plan.nats) c.ratio_interval_percent = {percent(c.interval.low), percent(c.interval.high)};
}

Contrast contrast_of(const AnalysisPlan& plan, const Side& arm, const Side& baseline) {
    Contrast contrast;
    contrast.arm = arm.arm;
    std::vector<Pair> pairs;
    for (const uint64_t seed : plan.seeds) {
        const Pair pair = {find(arm.cells, arm.arm, seed),
                           find(baseline.cells, baseline.arm, seed)};
        const Dropped dropped = judge_pair(arm, baseline, seed, pair);
        if (!dropped.why.empty()) {
            contrast.dropped.push_back(dropped);
            continue;
        }
        pairs.push_back(pair);
        contrast.seeds.push_back(seed);
        contrast.differences.push_back(difference_of(pair));
    }
    judge_differences(plan, pairs, contrast);
    return contrast;
}

/// Adjusted p and verdict of each, which are one family.
void judge_family(const AnalysisPlan& plan, std::vector<Contrast>& contrasts) {
    std::vector<double> p;
    for (const Contrast& c : contrasts) p.push_back(c.p);
    const std::vector<double> adjusted = holm(p);
    for (size_t i = 0; i < adjusted.size(); ++i) {
        Contrast& c = contrasts[i];
        c.adjusted_p = adjusted[i];
        c.verdict = decide({.n = std::ssize(c.differences),
                            .mean = c.mean,
                            .adjusted_p = c.adjusted_p,
                            .signs_agree = c.signs.agree(),
                            .interval90 = c.interval90,
                            .no_spread = c.no_spread},
                           plan);
    }
}

AnalysisPlan in_order(const AnalysisPlan& given) {
    check_plan(given);
    AnalysisPlan plan = given;
    std::sort(plan.seeds.begin(), plan.seeds.end());
    return plan;
}

std::vector<double> metrics_of(const AnalysisPlan& plan, const Cells& cells, ArmSummary& summary) {
    std::vector<double> metrics;
    for (const uint64_t seed : plan.seeds) {
        const CellResult* cell = find(cells, summary.arm, seed);
        if (!cell)
            ++summary.missing;
        else if (!cell->failure().empty())
            ++summary.failed;
        else
            metrics.push_back(cell->metric);
    }
    return metrics;
}

}  // namespace

std::string_view name_of(Verdict verdict) {
    constexpr std::string_view kNames[] = {"better", "worse", "equivalent", "no difference shown",
                                           "no verdict"};
    return kNames[static_cast<size_t>(verdict)];
}

Verdict decide(const Evidence& e, const AnalysisPlan& plan) {
    if (e.n < 2 || e.no_spread) return Verdict::kNone;
    if (e.adjusted_p < plan.alpha && (e.n > kFewSeeds || e.signs_agree))
        return (e.mean < 0) == plan.lower_is_better ? Verdict::kBetter : Verdict::kWorse;
    return lies_within(e.interval90, plan.min_effect) ? Verdict::kEquivalent
                                                      : Verdict::kNoDifferenceShown;
}

int64_t Contrast::count(Dropped::Kind kind) const {
    return std::count_if(dropped.begin(), dropped.end(),
                         [&](const Dropped& d) { return d.kind == kind; });
}

int64_t Contrast::unpaired() const {
    return std::count_if(dropped.begin(), dropped.end(),
                         [](const Dropped& d) { return d.unpaired; });
}

std::string Contrast::verdict_text() const {
    if (differences.empty()) return "no verdict: no seed pairs";
    if (differences.size() == 1) return "no verdict: one seed, not a comparison";
    if (no_spread) return "no verdict: one difference in all seeds, which do not vary";
    if (verdict != Verdict::kNoDifferenceShown) return std::string(name_of(verdict));
    return fmt::format("{} (±{:.3g})", name_of(verdict), (interval.high - interval.low) / 2);
}

Analysis analyse(const AnalysisPlan& given, std::span<const CellResult> results) {
    const AnalysisPlan plan = in_order(given);
    const Cells cells = index_cells(plan, results);
    Analysis analysis;
    for (const std::string& arm : plan.arms) {
        ArmSummary summary;
        summary.arm = arm;
        const std::vector<double> metrics = metrics_of(plan, cells, summary);
        summary.n = std::ssize(metrics);
        summary.mean = mean(metrics);
        summary.sd = stddev(metrics);
        summary.interval = mean_interval(metrics, 1 - plan.alpha);
        analysis.arms.push_back(summary);
        if (arm == plan.baseline)
            analysis.seed_noise = seed_noise(metrics);
        else
            analysis.contrasts.push_back(
                contrast_of(plan, {cells, arm, arm}, {cells, plan.baseline, plan.baseline}));
    }
    judge_family(plan, analysis.contrasts);
    return analysis;
}

std::vector<Contrast> compare(const AnalysisPlan& given, std::span<const CellResult> before,
                              std::span<const CellResult> after) {
    const AnalysisPlan plan = in_order(given);
    const Cells a = index_cells(plan, before), b = index_cells(plan, after);
    std::vector<Contrast> contrasts;
    for (const std::string& arm : plan.arms)
        contrasts.push_back(contrast_of(plan, {b, arm, "B"}, {a, arm, "A"}));
    judge_family(plan, contrasts);
    return contrasts;
}

}  // namespace knlp::matrix
