#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace knlp {

/// Limits of the control groups this process is in, cgroup v1 and v2, the tightest of all
/// ancestors.
struct CgroupLimits {
    double cpus = 0;           // CPU seconds a second; 0 = no limit
    int64_t memory_bytes = 0;  // 0 = no limit
    int64_t memory_free_bytes =
        0;  // limit - usage (reclaimable page cache not counted as used); with a limit only
};

/// `root` stands in for "/" in tests.
CgroupLimits read_cgroup_limits(const std::filesystem::path& root = "/");

/// Memory in use, page cache included, by the nearest control group around this process that says
/// so.
std::optional<int64_t> read_cgroup_memory(const std::filesystem::path& root = "/");

}  // namespace knlp
