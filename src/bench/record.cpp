#include "knlp/bench/record.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include "knlp/config/build_info.h"
#include "knlp/core/host.h"

namespace knlp::bench {
namespace {

using nlohmann::json;

/// First line of a file of /sys, "" when it cannot be read.
std::string line_of(const char* path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/// "on", "off" or "" (not told): whether the clock may rise above its nominal value.
std::string turbo() {
    if (const std::string no = line_of("/sys/devices/system/cpu/intel_pstate/no_turbo"); !no.empty())
        return no == "0" ? "on" : "off";
    if (const std::string boost = line_of("/sys/devices/system/cpu/cpufreq/boost"); !boost.empty())
        return boost == "1" ? "on" : "off";
    return "";
}

std::string clock_source() {
    return line_of("/sys/devices/system/clocksource/clocksource0/current_clocksource");
}

json or_null(const std::string& text) { return text.empty() ? json() : json(text); }

json timing_json(const Timing& timing) {
    return {{"samples", timing.samples_s.size()}, {"median_s", timing.median_s}, {"p10_s", timing.p10_s},
            {"p90_s", timing.p90_s}, {"mad_s", timing.mad_s}, {"noisy", timing.noisy()}};
}

std::string time_text(double seconds) {
    if (seconds < 1e-3) return fmt::format("{:.3g} µs", seconds * 1e6);
    if (seconds < 1) return fmt::format("{:.4g} ms", seconds * 1e3);
    return fmt::format("{:.4g} s", seconds);
}

}  // namespace

json machine_facts() {
    const Host& h = host();
    return {{"cpu_model", or_null(h.cpu_model)}, {"cores", h.cores}, {"memory_bytes", h.memory_bytes},
            {"governor", or_null(h.governor)}, {"turbo", or_null(turbo())},
            {"clock_source", or_null(clock_source())}, {"isa", name_of(isa())}, {"kernel", or_null(h.kernel)},
            {"gpus", h.gpus}};
}

std::string machine_text() {
    const Host& h = host();
    std::string text = fmt::format("{}, {} cores, {}", h.cpu_model.empty() ? "unknown processor" : h.cpu_model,
                                   h.cores, name_of(isa()));
    if (!clock_source().empty()) text += ", clock " + clock_source();
    if (!h.governor.empty()) text += ", governor " + h.governor;
    if (!turbo().empty()) text += ", turbo " + turbo();
    return text;
}

json to_json(const Record& record, const Bandwidth& bandwidth) {
    json out = timing_json(record.timing);
    out["what"] = record.what;
    out["shape"] = record.shape;
    out["types"] = record.types;
    out["threads"] = record.threads;
    out["bytes_moved"] = record.bytes_moved > 0 ? json(record.bytes_moved) : json();
    out["achieved_gbps"] = record.bytes_moved > 0
                               ? json(static_cast<double>(record.bytes_moved) / record.timing.median_s / 1e9)
                               : json();
    out["read_gbps"] = bandwidth.read_gbps;
    out["copy_gbps"] = bandwidth.copy_gbps;
    out["results"] = record.results;
    out["rivals"] = json::object();
    for (const auto& [name, timing] : record.rivals) {
        out["rivals"][name] = timing_json(timing);
        out["rivals"][name]["ratio"] = speed_up(record.timing, timing);
    }
    out["goal"] = or_null(record.goal);
    out["machine"] = machine_facts();
    out["revision"] = std::string(config::build_info().git_commit) + (config::build_info().git_dirty ? "+" : "");
    out["utc"] = utc_now();
    return out;
}

std::string to_text(const Record& record) {
    std::string shape;
    for (const auto& [name, value] : record.shape) shape += fmt::format("{}{} {}", shape.empty() ? "" : ", ", name, value);
    std::string out = fmt::format("{:<16} {:>10}  [{} .. {}]  {} samples{}{}\n", record.what,
                                  time_text(record.timing.median_s), time_text(record.timing.p10_s),
                                  time_text(record.timing.p90_s), record.timing.samples_s.size(),
                                  record.timing.noisy() ? ", NOISY" : "",
                                  shape.empty() ? "" : "  (" + shape + ")");
    for (const auto& [name, value] : record.results) out += fmt::format("  {:<22} {:>12.5g}\n", name, value);
    for (const auto& [name, timing] : record.rivals)
        out += fmt::format("  against {:<14} {:>12.4g} times as fast\n", name, speed_up(record.timing, timing));
    if (!record.goal.empty()) out += fmt::format("  goal: {}\n", record.goal);
    return out;
}

}  // namespace knlp::bench
