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
    Timing timing;
    double read_gbps = 0;  // the best read bandwidth measured in turns with it; 0 = not measured
    /// Results beyond time by name with unit in it: {"tokens_per_s": …}.
    std::map<std::string, double> results;
    std::map<std::string, Timing> rivals;  // measured in the same process
    std::string goal;                      // what this is meant to reach, or ""
    nlohmann::json details;                // what a table of its own shows (a breakdown), or null
    std::string details_text;              // that table for people, or ""
};

/// Why the bandwidth this record is judged by cannot be right, or "": it moved more than the caches
/// hold at a rate more than 5 % above the best that was measured, before or in turns with it, or its breakdown is faster than
/// the peak. Both rows are worthless then.
std::string invalid_reason(const Record& record, const Bandwidth& bandwidth);

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
