#include "bench_session.h"

#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"

#include <fmt/format.h>

#include <cstdio>

namespace knlp::app {

namespace {

using nlohmann::json;

void put(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);  // a measurement takes a while: show each as it comes
}

bench::Machine measured_machine(int64_t threads, bool peak) {
    log::info("{}", bench::machine_text());
    warn_if_crowded(threads);
    bench::Machine machine{.memory = bench::measure_bandwidth(threads)};
    if (peak) machine.peak = bench::measure_peak(threads);
    return machine;
}

}  // namespace

BenchSession::BenchSession(const Common& common, int64_t threads, bool peak)
    : common_(common), lines_(measured_machine(threads, peak), [](const bench::Bandwidth& like) {
          return bench::measure_bandwidth(like.threads, like.bytes);
      }) {
    if (common.json) return;
    const bench::Bandwidth& memory = machine().memory;
    put(
        fmt::format("{:<16} read {:.1f} GB/s ({}), copy {:.1f} GB/s ({}) with {} threads over {} "
                    "MiB\n",
                    "memory", memory.read_gbps, memory.read_kernel, memory.copy_gbps,
                    memory.copy_kernel, threads, memory.bytes >> 20));
    if (!peak) return;
    const double bf16 = machine().peak.bf16_gflops;
    put(fmt::format(
        "{:<16} {:.0f} GFLOP/s fp32, {} with {} threads\n", "peak", machine().peak.fma_gflops,
        bf16 > 0 ? fmt::format("{:.0f} GFLOP/s bf16", bf16) : "no bf16 instructions", threads));
}

const json& BenchSession::add(const bench::Record& record) {
    const json& line = lines_.add(record);
    put(common_.json ? canonical_json(line) + "\n" : bench::to_text(record, machine()));
    return line;
}

void BenchSession::add(const std::vector<bench::Record>& records) {
    for (const bench::Record& record : records) add(record);
}

void BenchSession::add_bandwidth() {
    add(bench::bandwidth_records(machine().memory, ""));
}

void BenchSession::add_machine(int64_t threads) {
    add_bandwidth();
    add(bench::peak_records(machine().peak, ""));
    for (const int64_t count : bench::thread_counts(threads)) {
        const std::string suffix = fmt::format(".t{}", count);
        add(bench::bandwidth_records(bench::measure_bandwidth(count), suffix));
        add(bench::peak_records(bench::measure_peak(count), suffix));
    }
}

void BenchSession::write() const {
    if (common_.out.empty()) return;
    write_file_atomic(
        common_.out, pretty_json({{"command", common_.command_line}, {"records", lines_.lines()}}));
    log::info("written: {}", common_.out);
}

}  // namespace knlp::app
