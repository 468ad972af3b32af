#pragma once

#include "knlp/bench/machine.h"
#include "knlp/bench/timing.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace knlp::bench {

/// One measurement: a line of JSON of its own.
struct Record {
    std::string what;  // "step", "bpe.encode", …
    std::map<std::string, int64_t> shape;
    std::map<std::string, std::string> types;  // of numbers and routes: {"weights":"fp32"}
    int64_t threads = 1;
    int64_t bytes_moved = 0;  // that the layout really moves in one execution; 0 = not counted
    bool only_reads = false;  // then the bandwidth of reading is its limit, not that of copying
    Timing timing;
    // The best bandwidths measured in turns with it; 0 = not measured.
    double read_gbps = 0, copy_gbps = 0;
    /// Results beyond time by name with unit in it: {"tokens_per_s": …}.
    std::map<std::string, double> results;
    std::map<std::string, Timing> rivals;  // measured in the same process
    std::string goal;                      // what this is meant to reach, or ""
    nlohmann::json details;    // what a table of its own shows (a breakdown), samples, or null
    std::string details_text;  // that table for people, or ""
};

/// Puts the bandwidths measured in turns with the record in place of lower ones. True when that
/// raised what bytes are judged by by more than 5 %: what was judged before is to be taken again.
bool learn_bandwidth(const Record& record, Bandwidth& bandwidth);

/// Whether it moved more than the caches hold at a rate more than 5 % above the bandwidth it is
/// judged by: of reading when it only reads, else the better of reading and copying, and the best
/// of those measured before and in turns with it.
bool beats_bandwidth(const Record& record, const Bandwidth& bandwidth);

/// Why what this record is judged by cannot be right, or "": it beats the bandwidth, or its
/// breakdown is faster than the peak. Both rows are worthless then.
std::string invalid_reason(const Record& record, const Bandwidth& bandwidth);

/// Marks those lines of JSON, by name, that were judged by a bandwidth which turned out too low:
/// what counts bytes, and breakdowns. Returns their names.
std::vector<std::string> invalidate_judged(nlohmann::json& lines, const Bandwidth& before,
                                           const Bandwidth& now);

/// {"what", "shape", "types", "threads", "samples", "median_s", "p10_s", "p90_s", "mad_s", "noisy",
/// "bytes_moved", "achieved_gbps", "read_gbps", "copy_gbps", "fma_gflops", "bf16_gflops", "valid",
/// "invalid_reason", "results", "rivals":{name:{"median_s","ratio"}}, "details", "goal", "machine",
/// "revision", "utc"}; fields that were not measured are null.
nlohmann::json to_json(const Record& record, const Machine& machine);

/// "memory.read" and "memory.copy", each name followed by `suffix`.
std::vector<Record> bandwidth_records(const Bandwidth& bandwidth, const std::string& suffix);
/// "peak.fma" and, where there is such an instruction, "peak.bf16".
std::vector<Record> peak_records(const Peak& peak, const std::string& suffix);

/// The record in a few lines for people.
std::string to_text(const Record& record, const Machine& machine);

}  // namespace knlp::bench
