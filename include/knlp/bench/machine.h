#pragma once

#include "knlp/bench/timing.h"

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace knlp::bench {

/// What the memory of this machine gives, measured in this process just before: the best of several
/// kernels (plain loads, several streams, prefetch, streaming stores), at the instruction set in
/// use. Its rates are what bytes moved are judged against.
struct Bandwidth {
    int64_t threads = 0, bytes = 0;  // bytes: read in one pass; a copy reads half and writes half
    double read_gbps = 0;            // 1e9 bytes read a second
    double copy_gbps = 0;            // bytes read and bytes written, added
    Timing read, copy;               // of the best kernels
    std::string read_kernel, copy_kernel;
    std::map<std::string, double> read_by_kernel, copy_by_kernel;  // GB/s of each one's best pass

    double best_gbps() const { return read_gbps > copy_gbps ? read_gbps : copy_gbps; }
};
/// Bytes of that array where none are asked for: 1 GiB, or a quarter of the free memory where that
/// is less, but at least 1 MiB.
int64_t default_array_bytes(int64_t free_bytes);
/// Reads and copies an array of `bytes` (at least 1 MiB, else Error{kUsage}) on `threads` threads;
/// more than the caches hold to mean anything. bytes 0 = default_array_bytes() of what is free,
/// with one warning a process where that is less than 1 GiB; samples 0 = 9.
Bandwidth measure_bandwidth(int64_t threads, int64_t bytes = 0, int64_t samples = 0);

/// An array as measure_bandwidth has it, for work that takes turns with reading or copying: where
/// the memory of a machine gets fast and slow by the minute, only neighbours in time can be
/// compared.
class MemoryMeter {
public:
    /// bytes 0 as for measure_bandwidth.
    explicit MemoryMeter(int64_t threads, int64_t bytes = 0);
    ~MemoryMeter();
    /// 1e9 bytes a second of passes over all of it that together last at least so long, by the
    /// kernel that was fastest before the first of them. A copy's bytes are those read and those
    /// written.
    double read_gbps(double least_s);
    double copy_gbps(double least_s);
    /// Seconds to copy so many bytes (>= 1) into memory that the system gives for it, in huge pages
    /// where there are any: its clearing is part of them.
    double fresh_copy_seconds(int64_t bytes);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The most multiply-adds the processor does, from registers.
struct Peak {
    int64_t threads = 0;
    double fma_gflops = 0;   // float32, at the instruction set in use
    double bf16_gflops = 0;  // bfloat16 dot products summed in float32; 0 without the instruction
    Timing fma, bf16;        // of one pass; bf16 without samples where there is none
};
Peak measure_peak(int64_t threads, int64_t samples = 0);

/// What a record's rates are compared with.
struct Machine {
    Bandwidth memory;
    Peak peak;  // rates 0 where not measured
};

/// Processor, cores, memory, caches, clock source, governor, turbo, instruction set, kernel; null
/// where the machine does not tell.
nlohmann::json machine_facts();
/// The same in one line, with what makes timings doubtful ("governor powersave").
std::string machine_text();

/// 1, 2, 4, … up to `cores`, and `cores`; every count up to 8.
std::vector<int64_t> thread_counts(int64_t cores);

}  // namespace knlp::bench
