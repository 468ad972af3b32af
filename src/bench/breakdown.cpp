#include "breakdown.h"

#include "knlp/core/error.h"
#include "knlp/core/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

namespace knlp::bench {
namespace {

using nlohmann::json;
using profile::Counts;
using profile::Group;
using profile::Totals;

constexpr double kSumWithin = 0.03, kMostOther = 0.05;
constexpr double kFasterThanRoof = 1.05;

/// Median over the steps; 0 for a step that lacks the value.
double median_of(const std::vector<Totals>& booked,
                 const std::function<double(const Totals&)>& value) {
    std::vector<double> values;
    for (const Totals& totals : booked) values.push_back(value(totals));
    return median(values);
}

/// Groups whose products go through the dot-product instruction when a step computes in bfloat16.
bool multiplies(Group group) {
    return group == Group::kLinearForward || group == Group::kLinearInput ||
           group == Group::kLinearWeight || group == Group::kAttention || group == Group::kHead;
}

json group_row(const std::vector<Totals>& booked, Group group, double step_s,
               const Machine& machine, bool bf16) {
    const auto of = [&](auto Counts::*field) {
        return median_of(booked,
                         [&](const Totals& t) { return static_cast<double>(t.of(group).*field); });
    };
    const double seconds = of(&Counts::seconds), flops = of(&Counts::flops),
                 bytes = of(&Counts::bytes);
    json row = {{"group", profile::name_of(group)},
                {"ms", 1e3 * seconds},
                {"share", seconds / step_s},
                {"calls", std::llround(of(&Counts::calls))},
                {"gflop", flops / 1e9},
                {"gflops", flops > 0 && seconds > 0 ? json(flops / seconds / 1e9) : json()},
                {"bytes", bytes},
                {"gbps", bytes > 0 && seconds > 0 ? json(bytes / seconds / 1e9) : json()},
                {"limit", nullptr},
                {"roof_share", nullptr}};
    const bool dots = bf16 && multiplies(group) && machine.peak.bf16_gflops > 0;
    const double rate = 1e9 * (dots ? machine.peak.bf16_gflops : machine.peak.fma_gflops),
                 bandwidth = 1e9 * machine.memory.best_gbps();
    if (seconds <= 0 || rate <= 0 || bandwidth <= 0 || (flops <= 0 && bytes <= 0)) return row;
    const double compute_s = flops / rate, memory_s = bytes / bandwidth;
    const double roof = std::max(compute_s, memory_s) / seconds;
    row["limit"] = compute_s >= memory_s ? "compute" : roof > kFasterThanRoof ? "cache" : "memory";
    if (row["limit"] != "cache") row["roof_share"] = roof;
    return row;
}

/// The regions of all steps, told apart by their path of names, in the order they were first met.
json node_rows(const std::vector<Totals>& booked) {
    std::map<std::string, size_t> index;
    std::vector<std::vector<double>> seconds;
    json rows = json::array();
    for (size_t step = 0; step < booked.size(); ++step) {
        std::vector<std::string> paths;
        for (const profile::Node& node : booked[step].nodes) {
            const std::string parent =
                node.parent < 0 ? "" : paths[static_cast<size_t>(node.parent)];
            paths.push_back(parent + "/" + profile::name_of(node.group) + ":" + node.name);
            const auto [found, is_new] = index.try_emplace(paths.back(), rows.size());
            if (is_new) {
                rows.push_back({{"name", node.parent < 0 ? "step" : node.name},
                                {"group", profile::name_of(node.group)},
                                {"parent", node.parent < 0 ? json() : json(index.at(parent))}});
                seconds.emplace_back(booked.size(), 0.0);
            }
            seconds[found->second][step] += node.own.seconds;
        }
    }
    for (size_t i = 0; i < rows.size(); ++i) rows[i]["ms"] = 1e3 * median(seconds[i]);
    return rows;
}

/// Products faster than the peak: the peak was measured while something else ran.
bool below_peak(const json& groups) {
    for (const json& row : groups)
        if (row.at("limit") == "compute" && row.at("roof_share") > kFasterThanRoof) return false;
    return true;
}

std::string number_or_dash(const json& value, double factor, const char* format) {
    if (!value.is_number()) return "–";
    return fmt::format(fmt::runtime(format), factor * value.get<double>());
}

}  // namespace

json breakdown_json(const std::vector<Totals>& booked, const Timing& plain, const Machine& machine,
                    bool bf16) {
    KNLP_CHECK(!booked.empty() && plain.median_s > 0);
    json groups = json::array();
    double sum_ms = 0;
    for (int64_t g = 0; g < profile::kGroups; ++g) {
        groups.push_back(group_row(booked, static_cast<Group>(g), plain.median_s, machine, bf16));
        sum_ms += groups.back().at("ms").get<double>();
    }
    const double step_ms = 1e3 * plain.median_s, sum_over_step = sum_ms / step_ms;
    const double other = groups.back().at("share");
    return {{"step_ms", step_ms},
            {"sum_ms", sum_ms},
            {"sum_over_step", sum_over_step},
            {"other_share", other},
            {"complete", std::abs(sum_over_step - 1) <= kSumWithin && other <= kMostOther},
            {"valid", below_peak(groups)},
            {"peak_gflops", bf16 && machine.peak.bf16_gflops > 0 ? machine.peak.bf16_gflops
                                                                 : machine.peak.fma_gflops},
            {"peak_gbps", machine.memory.best_gbps()},
            {"groups", groups},
            {"nodes", node_rows(booked)}};
}

std::string breakdown_text(const json& breakdown) {
    std::string out =
        fmt::format("  {:<16} {:>10} {:>7} {:>7} {:>10} {:>10} {:>8} {:>7}  {}\n", "group", "ms",
                    "share", "calls", "GFLOP/s", "MB moved", "GB/s", "roof", "limit");
    for (const json& row : breakdown.at("groups")) {
        if (row.at("ms") == 0.0) continue;
        const double bytes = row.at("bytes");
        out += fmt::format("  {:<16} {:>10.3f} {:>6.1f}% {:>7} {:>10} {:>10} {:>8} {:>7}  {}\n",
                           row.at("group").get<std::string>(), row.at("ms").get<double>(),
                           100 * row.at("share").get<double>(), row.at("calls").get<int64_t>(),
                           number_or_dash(row.at("gflops"), 1, "{:.1f}"),
                           bytes > 0 ? fmt::format("{:.1f}", bytes / 1e6) : "–",
                           number_or_dash(row.at("gbps"), 1, "{:.1f}"),
                           number_or_dash(row.at("roof_share"), 100, "{:.0f}%"),
                           row.at("limit").is_string() ? row.at("limit").get<std::string>() : "–");
    }
    out += fmt::format("  {:<16} {:>10.3f} {:>6.1f}%  of a step of {:.3f} ms\n", "sum",
                       breakdown.at("sum_ms").get<double>(),
                       100 * breakdown.at("sum_over_step").get<double>(),
                       breakdown.at("step_ms").get<double>());
    out += fmt::format("  roof: {:.0f} GFLOP/s, {:.1f} GB/s\n",
                       breakdown.at("peak_gflops").get<double>(),
                       breakdown.at("peak_gbps").get<double>());
    if (!breakdown.at("valid").get<bool>())
        out += "  INVALID: operations ran more than 5 % faster than the peak measured before\n";
    if (!breakdown.at("complete").get<bool>())
        out += fmt::format(
            "  INCOMPLETE: the groups must add up to the step within {:.0f} %, with at most "
            "{:.0f} % in other\n",
            100 * kSumWithin, 100 * kMostOther);
    return out;
}

}  // namespace knlp::bench
