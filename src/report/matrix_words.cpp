#include "matrix_words.h"

#include "format.h"

#include "knlp/core/stats.h"
#include "knlp/core/text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace knlp::report {
namespace {

using matrix::Arm;
using matrix::Contrast;
using matrix::Dropped;
using matrix::Interval;
using matrix::Row;

constexpr const char* kNothing = "–";

/// Decimals that show `digits` digits of `width`.
int decimals_for(double width, int digits) {
    if (!(width > 0) || !std::isfinite(width)) return 4;
    return std::clamp(digits - 1 - static_cast<int>(std::floor(std::log10(width))), 0, 6);
}

/// "5 positive" is said as "5+", a zero as "0": "4+ 1−".
std::string signs_text(const matrix::SignCount& signs) {
    std::string out;
    const auto add = [&](int64_t n, const char* sign) {
        if (n > 0) out += fmt::format("{}{}{}", out.empty() ? "" : " ", n, sign);
    };
    add(signs.positive, "+");
    add(signs.negative, "−");
    add(signs.zero, "×0");
    return out.empty() ? kNothing : out;
}

std::string count_list(std::initializer_list<std::pair<int64_t, const char*>> counts) {
    std::vector<std::string> parts;
    for (const auto& [n, name] : counts)
        if (n > 0) parts.push_back(fmt::format("{} {}", n, name));
    return parts.empty() ? "0" : fmt::format("{}", fmt::join(parts, ", "));
}

std::string not_counted(const Contrast& c) {
    using enum Dropped::Kind;
    return count_list({{c.count(kFailed), "failed"},
                       {c.count(kMissing), "missing"},
                       {c.count(kIncomparable), "incomparable"},
                       {c.unpaired(), "unpaired"}});
}

std::string spread_text(const std::vector<double>& values, std::string (*format)(double)) {
    if (values.empty()) return kNothing;
    return format(mean(values));
}

void add_contrast_words(const Contrast& c, ArmWords& words) {
    words.difference = c.differences.empty() ? kNothing : with_interval(c.mean, c.interval, true);
    words.p = p_text(c.p);
    words.adjusted_p = p_text(c.adjusted_p);
    words.signs = signs_text(c.signs);
    if (std::isfinite(c.sign_flip.p))
        words.sign_flip =
            fmt::format("{} (≥ {})", p_text(c.sign_flip.p), p_text(c.sign_flip.smallest_p));
    if (std::isfinite(c.ratio_percent)) words.ratio = fmt::format("{:+.2f} %", c.ratio_percent);
    words.verdict = c.verdict_text();
    words.not_counted = not_counted(c);
}

std::string dropped_kind(Dropped::Kind kind) {
    constexpr const char* kNames[] = {"failed", "missing", "incomparable"};
    return kNames[static_cast<size_t>(kind)];
}

std::string value_of(const MatrixData& data, const Arm& arm, const std::string& symbol) {
    for (const matrix::Setting& s : arm.settings)
        if (s.name == symbol) return s.value;
    const auto base = data.base_settings.find(symbol);
    return base == data.base_settings.end() ? kNothing : base->second;
}

/// A column of the configuration table, kept where the arms differ.
void add_difference(TextTable& table, const std::string& name,
                    const std::vector<std::string>& values) {
    if (std::set(values.begin(), values.end()).size() < 2) return;
    table.head.push_back(name);
    for (size_t i = 0; i < values.size(); ++i) table.rows[i].push_back(values[i]);
}

std::string budget_text(const matrix::Budget& budget) {
    if (budget.kind == "time") return duration_text(budget.amount) + " a cell";
    if (budget.kind == "flops") return fmt::format("{:g} FLOPs a cell", budget.amount);
    return fmt::format("{} {} a cell", grouped(static_cast<int64_t>(budget.amount)), budget.kind);
}

std::string directory_of(const MatrixData& data) {
    return "results/matrix/" + data.plan.name;
}

}  // namespace

std::string with_interval(double value, const Interval& interval, bool sign) {
    if (!std::isfinite(value)) return kNothing;
    const double half = (interval.high - interval.low) / 2;
    const bool known = interval.known();
    const int decimals = known ? decimals_for(half, 2) : 4;
    const std::string text =
        sign ? fmt::format("{:+.{}f}", value, decimals) : fmt::format("{:.{}f}", value, decimals);
    return known ? fmt::format("{} ± {:.{}f}", text, half, decimals) : text;
}

std::string interval_text(const Interval& interval, int digits) {
    if (!interval.known()) return kNothing;
    const int decimals = decimals_for((interval.high - interval.low) / 2, digits);
    return fmt::format("[{:+.{}f}, {:+.{}f}]", interval.low, decimals, interval.high, decimals);
}

std::string p_text(double p) {
    if (!std::isfinite(p)) return kNothing;
    if (p < 1e-4) return "< 0.0001";
    return p >= 0.9995 ? "1" : significant(p, p < 0.001 ? 1 : p < 0.01 ? 2 : 3);
}

ArmWords words_of(const ArmData& arm, const MatrixData& data) {
    ArmWords words;
    for (std::string* text : {&words.difference, &words.p, &words.adjusted_p, &words.signs,
                              &words.sign_flip, &words.ratio})
        *text = kNothing;
    words.n = std::to_string(arm.summary.n);
    words.mean = with_interval(arm.summary.mean, arm.summary.interval);
    words.memory = spread_text(arm.peak_bytes, bytes_text);
    words.time = spread_text(arm.wall_s, duration_text);
    words.speed = spread_text(arm.tokens_per_s, compact);
    const int64_t planned = std::ssize(data.plan.seeds);
    words.status = fmt::format("{}/{} done", arm.summary.n, planned);
    if (arm.summary.failed > 0) words.status += fmt::format(", {} failed", arm.summary.failed);
    if (arm.summary.missing > 0) words.status += fmt::format(", {} missing", arm.summary.missing);
    if (arm.baseline) {
        words.difference = words.verdict = "baseline";
        words.not_counted =
            count_list({{arm.summary.failed, "failed"}, {arm.summary.missing, "missing"}});
    } else {
        add_contrast_words(arm.contrast, words);
    }
    return words;
}

TextTable verdict_table(const MatrixData& data) {
    const std::string level = fmt::format("{:g} %", 100 * (1 - data.plan.alpha));
    TextTable table{.head = {"arm", "n", fmt::format("{} ± {}", data.plan.metric, level),
                             fmt::format("difference ± {}", level), "p", "p (Holm)", "signs",
                             "sign-flip p (smallest)", "perplexity", "verdict", "not counted"},
                    .rows = {}};
    for (const ArmData& arm : data.arms) {
        const ArmWords w = words_of(arm, data);
        table.rows.push_back({arm.label, w.n, w.mean, w.difference, w.p, w.adjusted_p, w.signs,
                              w.sign_flip, w.ratio, w.verdict, w.not_counted});
    }
    return table;
}

TextTable difference_table(const MatrixData& data) {
    TextTable table{.head = {"arm", "seeds", "sd of differences", "90 % interval",
                             "perplexity, interval in %", "evaluation noise only", "blocks"},
                    .rows = {}};
    for (const ArmData& arm : data.arms) {
        const Contrast& c = arm.contrast;
        if (arm.baseline || c.differences.empty()) continue;
        const matrix::EvaluationNoise& noise = c.evaluation_noise;
        table.rows.push_back({arm.label, fmt::format("{}", fmt::join(c.seeds, " ")),
                              std::isfinite(c.sd) ? significant(c.sd, 3) : kNothing,
                              interval_text(c.interval90), interval_text(c.ratio_interval_percent),
                              interval_text(noise.interval),
                              noise.blocks > 0 ? std::to_string(noise.blocks) : kNothing});
    }
    return table;
}

TextTable cost_table(const MatrixData& data) {
    TextTable table{.head = {"arm", data.gpu() ? "peak memory, GPU" : "peak memory", "time a cell",
                             "tokens/s", "status"},
                    .rows = {}};
    for (const ArmData& arm : data.arms) {
        const ArmWords w = words_of(arm, data);
        table.rows.push_back({arm.label, w.memory, w.time, w.speed, w.status});
    }
    return table;
}

TextTable dropped_table(const MatrixData& data) {
    TextTable table{.head = {"arm", "seed", "kind", "why"}, .rows = {}};
    for (const ArmData& arm : data.arms)
        for (const Dropped& d : arm.contrast.dropped)
            table.rows.push_back({arm.label, std::to_string(d.seed),
                                  dropped_kind(d.kind) + (d.unpaired ? ", unpaired" : ""),
                                  without_directories(d.why)});
    return table;
}

TextTable unfinished_table(const MatrixData& data) {
    TextTable table{.head = {"cell", "state", "attempt", "reason"}, .rows = {}};
    for (const Row& row : data.results.rows)
        if (!row.done())
            table.rows.push_back({row.id, row.state, std::to_string(row.attempt),
                                  row.reason.empty() ? kNothing : without_directories(row.reason)});
    return table;
}

TextTable exclusion_table(const MatrixData& data) {
    TextTable table{.head = {"rule", "combination", "why"}, .rows = {}};
    for (const matrix::Excluded& e : data.plan.excluded)
        table.rows.push_back({e.rule, fmt::format("{}", fmt::join(e.labels, " · ")), e.why});
    return table;
}

TextTable configuration_table(const MatrixData& data) {
    TextTable table{.head = {"arm"}, .rows = {}};
    std::vector<const Arm*> arms;
    std::set<std::string> symbols;
    for (const ArmData& arm : data.arms) {
        table.rows.push_back({arm.label});
        arms.push_back(&data.plan.arm(arm.id));
        for (const matrix::Setting& s : arms.back()->settings) symbols.insert(s.name);
    }
    const auto each = [&](auto value) {
        std::vector<std::string> out;
        for (const Arm* arm : arms) out.push_back(value(*arm));
        return out;
    };
    for (const std::string& symbol : symbols)
        add_difference(table, symbol,
                       each([&](const Arm& arm) { return value_of(data, arm, symbol); }));
    add_difference(table, "binary", each([](const Arm& arm) { return arm.build.substr(0, 12); }));
    add_difference(table, "parameters", each([](const Arm& arm) {
                       return arm.parameters ? grouped(*arm.parameters) : kNothing;
                   }));
    add_difference(table, "threads",
                   each([](const Arm& arm) { return std::to_string(arm.choices.threads); }));
    add_difference(table, "ISA", each([](const Arm& arm) { return arm.choices.isa; }));
    add_difference(table, "GEMM route", each([](const Arm& arm) { return arm.choices.gemm; }));
    add_difference(table, "micro-batch × accumulation", each([](const Arm& arm) {
                       return fmt::format("{} × {}", arm.choices.micro, arm.choices.accumulation);
                   }));
    if (table.head.size() == 1) table.rows.clear();
    return table;
}

std::vector<Fact> facts_of(const MatrixData& data) {
    const matrix::Plan& plan = data.plan;
    std::vector<Fact> out;
    const auto add = [&](const std::string& name, const std::string& value) {
        if (!value.empty()) out.push_back({name, value});
    };
    add("Plan SHA-256", plan.sha256);
    for (const matrix::Extension& e : plan.extensions) add("Extension SHA-256", e.sha256);
    add("Planned",
        fmt::format("{} by knlp {}, revision {}", plan.created, plan.version, plan.git_commit));
    add("Preset", plan.preset);
    add("Baseline", plan.baseline);
    add("Seeds", fmt::format("{}", fmt::join(plan.seeds, ", ")));
    add("Metric", plan.metric);
    add("Level of the verdicts", fmt::format("{:g}", plan.alpha));
    add("Smallest difference that matters", plan.min_effect > 0
                                                ? fmt::format("{:g}", plan.min_effect)
                                                : "0: no arm is called equivalent");
    add("Budget", budget_text(plan.budget));
    add("Effective batch", fmt::format("{} sequences", plan.effective_batch));
    add("Base configuration SHA-256", plan.config_sha256);
    for (const matrix::Build& b : plan.builds) {
        add("Binary SHA-256", b.sha256);
        add("Revision of it", b.git_commit + (b.git_diff_sha256.empty()
                                                  ? ", clean tree"
                                                  : ", uncommitted changes " + b.git_diff_sha256));
    }
    for (const matrix::PlannedFile& file : plan.data) add(file.role + " SHA-256", file.sha256);
    add("Evaluation windows", plan.windows_sha256);
    if (data.first_weights.compared > 0 && data.first_weights.differing.empty())
        add("Initial values",
            fmt::format("equal for each seed: {} tensors of other arms compared with the "
                        "baseline's of the same name and shape",
                        grouped(data.first_weights.compared)));
    add("Device", plan.device);
    for (const std::string& machine : data.machines) add("Machine", machine);
    return out;
}

std::string state_line(const MatrixData& data) {
    return fmt::format("{} cells: {}", data.results.rows.size(),
                       count_list({{data.count("done"), "done"},
                                   {data.count("failed"), "failed"},
                                   {data.count("preempted"), "stopped early"},
                                   {data.count("running"), "running or interrupted"},
                                   {data.count("pending"), "not begun"}}));
}

std::vector<std::string> reading_notes(const MatrixData& data) {
    std::vector<std::string> out;
    const std::string equivalent =
        data.plan.min_effect > 0
            ? fmt::format("the 90 % interval lies inside ±{:g}", data.plan.min_effect)
            : "no arm, since no smallest difference that matters was planned";
    out.push_back(fmt::format(
        "Differences are arm minus baseline of the same seed, in {}; lower is better. Better or "
        "worse: p after Holm's correction below {:g} and, for {} seeds or fewer, all signs equal. "
        "Equivalent: {}. Arms are in the order of their means.",
        data.loss_unit, data.plan.alpha, matrix::kFewSeeds, equivalent));
    if (std::isfinite(data.analysis.seed_noise))
        out.push_back(
            fmt::format("Noise floor: the standard deviation between the seeds of the "
                        "baseline is {} {}.",
                        significant(data.analysis.seed_noise, 3), data.loss_unit));
    if (const size_t n = data.results.repeats.size(); n > 0)
        out.push_back(fmt::format(
            "Noise floor of repeats: of {} cell{} run again with the same seed the standard "
            "deviation of one run is {} {}.",
            n, n == 1 ? "" : "s", significant(matrix::repeat_noise(data.results.repeats), 3),
            data.loss_unit));
    return out;
}

std::vector<Fact> matrix_commands(const MatrixData& data) {
    const std::string directory = directory_of(data);
    return {{"go on with what is not done", "make continue TARGET=" + directory},
            {"run cells again that are done",
             fmt::format("make test-rerun TARGET={} CELLS='*_s1'", directory)},
            {"more seeds", fmt::format("./knlp matrix extend {} --seeds N,…", directory)},
            {"this report again", "./knlp report " + directory}};
}

std::string rerun_command(const MatrixData& data, const matrix::Cell& cell) {
    return fmt::format("make test-rerun TARGET={} CELLS={}", directory_of(data), cell.id);
}

}  // namespace knlp::report
