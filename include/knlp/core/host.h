#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace knlp {

/// What this machine is and has. Fields that cannot be read are empty or 0, never invented.
struct Host {
    std::string hostname, os, kernel, cpu_model, governor;
    std::string boot_id;            // /proc/sys/kernel/random/boot_id
    int64_t cores = 0;              // min(affinity mask, cgroup quota rounded up)
    int64_t memory_bytes = 0;       // total, cgroup limit included
    std::vector<std::string> gpus;  // from the driver's /proc entries; empty without a driver
    std::string gpu_driver;
};
const Host& host();

/// min(affinity mask, ceil(cgroup quota)); what NUM_THREADS=0 means.
int64_t usable_cores();
/// Why so many threads are slow here, or "": "4 threads on 2 usable cores: they wait for each
/// other".
std::string crowded_text(int64_t threads);
/// Warns with it, once a process.
void warn_if_crowded(int64_t threads);
/// min(MemAvailable, cgroup limit - usage), now.
int64_t available_memory_bytes();
/// What the control group of this process uses, page cache included; nothing outside of one.
std::optional<int64_t> cgroup_memory_bytes();
int64_t resident_bytes();       // VmRSS
int64_t peak_resident_bytes();  // VmHWM
/// Of a core's data cache of this level (1 to 3), shared or not; 0 where the kernel does not tell.
int64_t cache_bytes(int level);
int64_t free_disk_bytes(const std::string& path);
/// Resets VmHWM (writes 5 to /proc/self/clear_refs); false where the kernel refuses.
bool reset_peak_resident();

/// Instruction set the kernels use.
enum class Isa { kScalar, kAvx2, kAvx512 };
const char* name_of(Isa isa);
/// Best of what CPUID + XGETBV report, or KNLP_ISA=scalar|avx2|avx512; Error{kNotAvailable} when
/// that is more than this CPU has: "this CPU has no AVX-512". What it has beyond
/// KNLP_CPU_LIMIT=scalar|avx2|avx512 counts as absent, with avx512 AVX512_BF16: another machine's
/// behaviour on this one.
Isa isa();
/// The level that KNLP_ISA names, known to this CPU or not; nothing where it is not set.
std::optional<Isa> asked_isa();
/// Makes isa() return this level from now on: what a checkpoint was made with. Error{kNotAvailable}
/// when this CPU does not have it.
void force_isa(std::string_view name);
bool has_avx512_bf16();
/// Whether our kernels multiply bfloat16 by the instructions of AVX512_BF16, which round otherwise:
/// isa() is kAvx512 and the CPU has them.
bool bf16_dot_products();

/// UTC, "2026-11-23T19:45:07Z" and, for names, "20261123T194507Z".
std::string utc_now();
std::string utc_stamp();
double wall_seconds();    // CLOCK_REALTIME
double steady_seconds();  // CLOCK_MONOTONIC: never goes back
/// Since the process began, to a hundredth of a second; 0 where /proc does not tell.
double process_age_s();

}  // namespace knlp
