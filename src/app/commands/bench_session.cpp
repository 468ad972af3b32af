#include "bench_session.h"

#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

namespace knlp::app {

namespace {

using nlohmann::json;

void put(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);  // a measurement takes a while: show each as it comes
}

}  // namespace

BenchSession::BenchSession(const Common& common, int64_t threads, bool peak) : common_(common) {
    log::info("{}", bench::machine_text());
    warn_if_crowded(threads);
    machine_.memory = bench::measure_bandwidth(threads);
    if (peak) machine_.peak = bench::measure_peak(threads);
    if (common.json) return;
    const bench::Bandwidth& memory = machine_.memory;
    put(
        fmt::format("{:<16} read {:.1f} GB/s ({}), copy {:.1f} GB/s ({}) with {} threads over {} "
                    "MiB\n",
                    "memory", memory.read_gbps, memory.read_kernel, memory.copy_gbps,
                    memory.copy_kernel, threads, memory.bytes >> 20));
    if (!peak) return;
    const double bf16 = machine_.peak.bf16_gflops;
    put(fmt::format(
        "{:<16} {:.0f} GFLOP/s fp32, {} with {} threads\n", "peak", machine_.peak.fma_gflops,
        bf16 > 0 ? fmt::format("{:.0f} GFLOP/s bf16", bf16) : "no bf16 instructions", threads));
}

void BenchSession::judge_memory_again(const bench::Record& record) {
    const bench::Bandwidth before = machine_.memory;
    bool stale = bench::learn_bandwidth(record, machine_.memory);
    if (bench::beats_bandwidth(record, machine_.memory)) {
        const bench::Bandwidth again = bench::measure_bandwidth(before.threads, before.bytes);
        stale |= bench::learn_bandwidth(
            {.read_gbps = again.read_gbps, .copy_gbps = again.copy_gbps}, machine_.memory);
    }
    if (!stale) return;
    const bench::Bandwidth& now = machine_.memory;
    log::warn("memory: {:.1f} GB/s read and {:.1f} copied now, {:.1f} and {:.1f} before {}",
              now.read_gbps, now.copy_gbps, before.read_gbps, before.copy_gbps, record.what);
    const std::vector<std::string> names = bench::invalidate_judged(records_, before, now);
    if (!names.empty())
        log::warn("INVALID, judged by what was measured before: {}", fmt::join(names, ", "));
}

const json& BenchSession::add(const bench::Record& record) {
    judge_memory_again(record);
    json line = bench::to_json(record, machine_);
    put(common_.json ? canonical_json(line) + "\n" : bench::to_text(record, machine_));
    return records_[record.what] = std::move(line);
}

void BenchSession::add(const std::vector<bench::Record>& records) {
    for (const bench::Record& record : records) add(record);
}

void BenchSession::add_bandwidth() {
    add(bench::bandwidth_records(machine_.memory, ""));
}

void BenchSession::add_machine(int64_t threads) {
    add_bandwidth();
    add(bench::peak_records(machine_.peak, ""));
    for (const int64_t count : bench::thread_counts(threads)) {
        const std::string suffix = fmt::format(".t{}", count);
        add(bench::bandwidth_records(bench::measure_bandwidth(count), suffix));
        add(bench::peak_records(bench::measure_peak(count), suffix));
    }
}

void BenchSession::write() const {
    if (common_.out.empty()) return;
    write_file_atomic(common_.out,
                      pretty_json({{"command", common_.command_line}, {"records", records_}}));
    log::info("written: {}", common_.out);
}

}  // namespace knlp::app
