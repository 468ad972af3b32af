#include "knlp/bench/machine.h"

#include "kernels/peak_rate.h"
#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/parallel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace knlp::bench {
namespace {

using nlohmann::json;

constexpr int64_t kDefaultSamples = 9;
constexpr int64_t kLinks = int64_t{1} << 22;  // about 10 ms: starting threads does not count

/// First line of a file of /sys, "" when it cannot be read.
std::string line_of(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/// "on", "off" or "" (not told): whether the clock may rise above its nominal value.
std::string turbo() {
    const std::string root = "/sys/devices/system/cpu/";
    if (const std::string no = line_of(root + "intel_pstate/no_turbo"); !no.empty())
        return no == "0" ? "on" : "off";
    if (const std::string boost = line_of(root + "cpufreq/boost"); !boost.empty())
        return boost == "1" ? "on" : "off";
    return "";
}

std::string clock_source() {
    return line_of("/sys/devices/system/clocksource/clocksource0/current_clocksource");
}

json or_null(const std::string& text) {
    return text.empty() ? json() : json(text);
}

json or_null(int64_t value) {
    return value == 0 ? json() : json(value);
}

Timing time_chains(kernels::PeakRateFn chains, int64_t threads, int64_t samples) {
    return measure(
        [&] {
            parallel_for(threads, threads, [&](int64_t) { KNLP_CHECK(chains(kLinks).sum > 0); });
        },
        {.warm_up = 2, .samples = samples});
}

double gflops(kernels::PeakRateFn chains, int64_t threads, const Timing& timing) {
    // FLOPs grow with the links alone.
    const double flops = static_cast<double>(chains(1).flops) * static_cast<double>(kLinks);
    return static_cast<double>(threads) * flops / timing.median_s / 1e9;
}

}  // namespace

Peak measure_peak(int64_t threads, int64_t samples) {
    if (threads < 1) fail(kUsage, "threads: {} is not at least 1", threads);
    if (samples == 0) samples = kDefaultSamples;
    const kernels::PeakRateFn fma = isa() == Isa::kAvx512 ? kernels::peak_fma_avx512
                                    : isa() == Isa::kAvx2 ? kernels::peak_fma_avx2
                                                          : kernels::peak_fma_scalar;
    Peak peak{.threads = threads, .fma = time_chains(fma, threads, samples)};
    peak.fma_gflops = gflops(fma, threads, peak.fma);
    if (isa() != Isa::kAvx512 || !has_avx512_bf16()) return peak;
    peak.bf16 = time_chains(kernels::peak_bf16_avx512, threads, samples);
    peak.bf16_gflops = gflops(kernels::peak_bf16_avx512, threads, peak.bf16);
    return peak;
}

json machine_facts() {
    const Host& h = host();
    return {{"cpu_model", or_null(h.cpu_model)},
            {"cores", h.cores},
            {"memory_bytes", h.memory_bytes},
            {"l1d_bytes", or_null(cache_bytes(1))},
            {"l2_bytes", or_null(cache_bytes(2))},
            {"l3_bytes", or_null(cache_bytes(3))},
            {"governor", or_null(h.governor)},
            {"turbo", or_null(turbo())},
            {"clock_source", or_null(clock_source())},
            {"isa", name_of(isa())},
            {"bf16", isa() == Isa::kAvx512 && has_avx512_bf16()},
            {"kernel", or_null(h.kernel)},
            {"gpus", h.gpus}};
}

std::string machine_text() {
    const Host& h = host();
    std::string text =
        fmt::format("{}, {} cores, {}", h.cpu_model.empty() ? "unknown processor" : h.cpu_model,
                    h.cores, name_of(isa()));
    const auto kib = [](int64_t bytes) {
        return bytes >= (1 << 20) ? fmt::format("{} MiB", bytes >> 20)
                                  : fmt::format("{} KiB", bytes >> 10);
    };
    for (int level = 1; level <= 3; ++level)
        if (cache_bytes(level) > 0) text += fmt::format(", L{} {}", level, kib(cache_bytes(level)));
    text += fmt::format(", memory {:.1f} GiB", static_cast<double>(h.memory_bytes) / (1 << 30));
    if (!clock_source().empty()) text += ", clock " + clock_source();
    if (!h.governor.empty()) text += ", governor " + h.governor;
    if (!turbo().empty()) text += ", turbo " + turbo();
    return text;
}

std::vector<int64_t> thread_counts(int64_t cores) {
    std::vector<int64_t> counts;
    for (int64_t n = 1; n < cores; n = n < 8 ? n + 1 : 2 * n) counts.push_back(n);
    counts.push_back(cores);
    return counts;
}

}  // namespace knlp::bench
