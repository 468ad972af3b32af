#pragma once

#include "knlp/bench/timing.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace knlp::bench {

/// What the memory of this machine gives to plain loops, measured in this process just before.
struct Bandwidth {
    int64_t threads = 0, bytes = 0;      // bytes: size of the array read
    double read_gbps = 0;                // 1e9 bytes read a second
    double copy_gbps = 0;                // read and written bytes counted, so twice the array a pass
    Timing read, copy;
};
/// Sums and copies arrays of `bytes` (at least 1 MiB, else Error{kUsage}) on `threads` threads; more than
/// the caches hold to mean anything. samples 0 = 15.
Bandwidth measure_bandwidth(int64_t threads, int64_t bytes = int64_t{256} << 20, int64_t samples = 0);

/// One measurement: a line of JSON of its own.
struct Record {
    std::string what;                    // "step", "bpe.encode", …
    std::map<std::string, int64_t> shape;
    std::map<std::string, std::string> types;      // of numbers and routes: {"weights":"fp32"}
    int64_t threads = 1;
    int64_t bytes_moved = 0;             // that the layout really moves in one execution; 0 = not counted
    Timing timing;
    /// Results beyond time by name with unit in it: {"tokens_per_s": …}.
    std::map<std::string, double> results;
    std::map<std::string, Timing> rivals;          // measured in the same process
    std::string goal;                    // what this is meant to reach, or ""
};

/// {"what", "shape", "types", "threads", "samples", "median_s", "p10_s", "p90_s", "mad_s", "noisy",
/// "bytes_moved", "achieved_gbps", "read_gbps", "copy_gbps", "results", "rivals":{name:{"median_s","ratio"}},
/// "goal", "machine", "revision", "utc"}; fields that were not measured are null.
nlohmann::json to_json(const Record& record, const Bandwidth& bandwidth);

/// The record in one or two lines for people.
std::string to_text(const Record& record);

/// Processor, cores, memory, clock source, governor, turbo, instruction set, kernel; null where the machine
/// does not tell.
nlohmann::json machine_facts();
/// The same in one line, with what makes timings doubtful ("governor powersave").
std::string machine_text();

}  // namespace knlp::bench
