#pragma once

#include "gpu_monitor.h"

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <optional>
#include <vector>

namespace knlp::track {

/// What this process uses and the machine has left. What cannot be read is left out.
class SystemSampler {
public:
    /// Monitors may be null.
    explicit SystemSampler(std::vector<std::unique_ptr<GpuMonitor>> monitors);

    /// A line of sys_stats.jsonl but for "elapsed_s". "cpu_percent", of one core and over all
    /// threads, is about the time since the last call; the first has none.
    nlohmann::json sample();

private:
    struct Times {
        double cpu_s, steady_s;
    };
    std::vector<std::unique_ptr<GpuMonitor>> monitors_;
    std::optional<Times> last_;
};

}  // namespace knlp::track
