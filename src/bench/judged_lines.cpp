#include "knlp/bench/judged_lines.h"

#include "knlp/core/log.h"

#include <fmt/ranges.h>

#include <utility>

namespace knlp::bench {

JudgedLines::JudgedLines(Machine machine, std::function<Bandwidth(const Bandwidth&)> measure)
    : machine_(std::move(machine)), measure_(std::move(measure)) {}

void JudgedLines::judge_again(const Record& record) {
    const Bandwidth before = machine_.memory;
    bool stale = learn_bandwidth(record, machine_.memory);
    if (beats_bandwidth(record, machine_.memory)) {
        const Bandwidth again = measure_(before);
        stale |= learn_bandwidth({.read_gbps = again.read_gbps, .copy_gbps = again.copy_gbps},
                                 machine_.memory);
    }
    if (!stale) return;
    const Bandwidth& now = machine_.memory;
    log::warn("memory: {:.1f} GB/s read and {:.1f} copied now, {:.1f} and {:.1f} before {}",
              now.read_gbps, now.copy_gbps, before.read_gbps, before.copy_gbps, record.what);
    const std::vector<std::string> names = invalidate_judged(lines_, before, now);
    if (!names.empty())
        log::warn("INVALID, judged by what was measured before: {}", fmt::join(names, ", "));
}

const nlohmann::json& JudgedLines::add(const Record& record) {
    judge_again(record);
    return lines_[record.what] = to_json(record, machine_);
}

}  // namespace knlp::bench
