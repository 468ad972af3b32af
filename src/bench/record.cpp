#include "knlp/bench/record.h"

#include "knlp/config/build_info.h"
#include "knlp/core/host.h"

#include <fmt/format.h>

#include <algorithm>

namespace knlp::bench {
namespace {

using nlohmann::json;

constexpr double kAbove = 1.05;

json or_null(const std::string& text) {
    return text.empty() ? json() : json(text);
}

json or_null(double value) {
    return value > 0 ? json(value) : json();
}

json timing_json(const Timing& timing) {
    return {{"samples", timing.samples_s.size()},
            {"median_s", timing.median_s},
            {"p10_s", timing.p10_s},
            {"p90_s", timing.p90_s},
            {"mad_s", timing.mad_s},
            {"noisy", timing.noisy()}};
}

std::string time_text(double seconds) {
    if (seconds < 1e-3) return fmt::format("{:.3g} µs", seconds * 1e6);
    if (seconds < 1) return fmt::format("{:.4g} ms", seconds * 1e3);
    return fmt::format("{:.4g} s", seconds);
}

double achieved_gbps(const Record& record) {
    if (record.bytes_moved == 0 || !(record.timing.median_s > 0)) return 0;
    return static_cast<double>(record.bytes_moved) / record.timing.median_s / 1e9;
}

/// 0 where nothing is known: fewer threads do not show what more of them get.
double limit_gbps(const Record& record, const Bandwidth& bandwidth) {
    if (record.threads > bandwidth.threads) return 0;
    const double read = std::max(bandwidth.read_gbps, record.read_gbps);
    if (record.only_reads) return read;
    return std::max({read, bandwidth.copy_gbps, record.copy_gbps});
}

}  // namespace

bool learn_bandwidth(const Record& record, Bandwidth& bandwidth) {
    const double read = bandwidth.read_gbps, best = bandwidth.best_gbps();
    bandwidth.read_gbps = std::max(read, record.read_gbps);
    bandwidth.copy_gbps = std::max(bandwidth.copy_gbps, record.copy_gbps);
    const auto rose = [](double from, double to) { return from > 0 && to > kAbove * from; };
    return rose(read, bandwidth.read_gbps) || rose(best, bandwidth.best_gbps());
}

std::vector<Record> bandwidth_records(const Bandwidth& bandwidth, const std::string& suffix) {
    Record record{.what = "memory.read" + suffix,
                  .shape = {{"bytes", bandwidth.bytes}},
                  .types = {{"kernel", bandwidth.read_kernel}},
                  .threads = bandwidth.threads,
                  .bytes_moved = bandwidth.bytes,
                  .only_reads = true,
                  .timing = bandwidth.read};
    for (const auto& [name, gbps] : bandwidth.read_by_kernel) record.results[name + "_gbps"] = gbps;
    std::vector<Record> records = {record};
    record.what = "memory.copy" + suffix;
    record.only_reads = false;
    record.types["kernel"] = bandwidth.copy_kernel;
    record.timing = bandwidth.copy;
    record.results.clear();
    for (const auto& [name, gbps] : bandwidth.copy_by_kernel) record.results[name + "_gbps"] = gbps;
    records.push_back(record);
    return records;
}

std::vector<Record> peak_records(const Peak& peak, const std::string& suffix) {
    Record record{.what = "peak.fma" + suffix,
                  .types = {{"numbers", "fp32"}},
                  .threads = peak.threads,
                  .timing = peak.fma,
                  .results = {{"gflops", peak.fma_gflops}}};
    std::vector<Record> records = {record};
    if (peak.bf16_gflops <= 0) return records;
    record.what = "peak.bf16" + suffix;
    record.types["numbers"] = "bf16, summed in fp32";
    record.timing = peak.bf16;
    record.results["gflops"] = peak.bf16_gflops;
    records.push_back(record);
    return records;
}

bool beats_bandwidth(const Record& record, const Bandwidth& bandwidth) {
    // What fits into the caches may well be faster than memory. Caches of several cores add up.
    const int64_t cached = std::max(cache_bytes(3), cache_bytes(2) * record.threads);
    const double limit = limit_gbps(record, bandwidth);
    return record.bytes_moved > 2 * cached && limit > 0 && achieved_gbps(record) > kAbove * limit;
}

std::string invalid_reason(const Record& record, const Bandwidth& bandwidth) {
    if (record.details.is_object() && !record.details.value("valid", true))
        return "operations ran more than 5 % faster than the peak measured for this machine: that "
               "measurement was disturbed; measure again on a quiet machine";
    if (!beats_bandwidth(record, bandwidth)) return "";
    return fmt::format(
        "it {} {:.1f} GB/s, more than 5 % above the {:.1f} GB/s measured for this machine's "
        "memory: that measurement was disturbed; measure again on a quiet machine",
        record.only_reads ? "read" : "moved", achieved_gbps(record), limit_gbps(record, bandwidth));
}

std::vector<std::string> invalidate_judged(json& lines, const Bandwidth& before,
                                           const Bandwidth& now) {
    const std::string reason = fmt::format(
        "memory gave {:.1f} GB/s read and {:.1f} copied later in this process, more than 5 % above "
        "the {:.1f} and {:.1f} this was judged by; measure again on a quiet machine",
        now.read_gbps, now.copy_gbps, before.read_gbps, before.copy_gbps);
    std::vector<std::string> names;
    for (auto& [name, line] : lines.items()) {
        if (line.at("achieved_gbps").is_null() && line.at("details").is_null()) continue;
        line["valid"] = false;
        line["invalid_reason"] = reason;
        names.push_back(name);
    }
    return names;
}

json to_json(const Record& record, const Machine& machine) {
    const std::string invalid = invalid_reason(record, machine.memory);
    json out = timing_json(record.timing);
    out["what"] = record.what;
    out["shape"] = record.shape;
    out["types"] = record.types;
    out["threads"] = record.threads;
    out["bytes_moved"] = record.bytes_moved > 0 ? json(record.bytes_moved) : json();
    out["achieved_gbps"] = or_null(achieved_gbps(record));
    out["read_gbps"] = or_null(std::max(machine.memory.read_gbps, record.read_gbps));
    out["copy_gbps"] = or_null(std::max(machine.memory.copy_gbps, record.copy_gbps));
    out["fma_gflops"] = or_null(machine.peak.fma_gflops);
    out["bf16_gflops"] = or_null(machine.peak.bf16_gflops);
    out["valid"] = invalid.empty();
    out["invalid_reason"] = or_null(invalid);
    out["results"] = record.results;
    out["rivals"] = json::object();
    for (const auto& [name, timing] : record.rivals) {
        out["rivals"][name] = timing_json(timing);
        out["rivals"][name]["ratio"] = speed_up(record.timing, timing);
    }
    out["details"] = record.details;
    out["goal"] = or_null(record.goal);
    out["machine"] = machine_facts();
    out["revision"] =
        std::string(config::build_info().git_commit) + (config::build_info().git_dirty ? "+" : "");
    out["utc"] = utc_now();
    return out;
}

std::string to_text(const Record& record, const Machine& machine) {
    std::string shape;
    for (const auto& [name, value] : record.shape)
        shape += fmt::format("{}{} {}", shape.empty() ? "" : ", ", name, value);
    std::string out = fmt::format("{:<16} {:>10}  [{} .. {}]  {} samples{}{}\n", record.what,
                                  time_text(record.timing.median_s), time_text(record.timing.p10_s),
                                  time_text(record.timing.p90_s), record.timing.samples_s.size(),
                                  record.timing.noisy() ? ", NOISY" : "",
                                  shape.empty() ? "" : "  (" + shape + ")");
    if (const std::string invalid = invalid_reason(record, machine.memory); !invalid.empty())
        out += "  INVALID: " + invalid + "\n";
    for (const auto& [name, value] : record.results)
        out += fmt::format("  {:<28} {:>12.5g}\n", name, value);
    for (const auto& [name, timing] : record.rivals)
        out += fmt::format("  against {:<20} {:>12.4g} times as fast\n", name,
                           speed_up(record.timing, timing));
    if (!record.goal.empty()) out += fmt::format("  goal: {}\n", record.goal);
    return out + record.details_text;
}

}  // namespace knlp::bench
