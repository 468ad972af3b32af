#include "system_sampler.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"

#include <nlohmann/json.hpp>

#include <time.h>

#include <cmath>

namespace knlp::track {

using nlohmann::json;

namespace {

/// Of all threads, those that have ended included.
double process_cpu_seconds() {
    struct timespec used {};
    KNLP_CHECK(::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

template <class T>
void add(json& line, const char* name, const std::optional<T>& value) {
    if (value) line[name] = *value;
}

json gpu_json(const GpuStats& gpu) {
    json line = {{"index", gpu.index}};
    if (!gpu.name.empty()) line["name"] = gpu.name;
    add(line, "memory_used_bytes", gpu.memory_used_bytes);
    add(line, "memory_total_bytes", gpu.memory_total_bytes);
    add(line, "utilization_percent", gpu.utilization_percent);
    add(line, "power_w", gpu.power_w);
    add(line, "temperature_c", gpu.temperature_c);
    return line;
}

}  // namespace

SystemSampler::SystemSampler(std::vector<std::unique_ptr<GpuMonitor>> monitors)
    : monitors_(std::move(monitors)) {}

json SystemSampler::sample() {
    json line = {{"event", "sys"}, {"t", utc_now()}};
    // Without /proc both would be 0.
    if (const int64_t resident = resident_bytes(); resident > 0) {
        line["rss_bytes"] = resident;
        line["memory_available_bytes"] = available_memory_bytes();
    }
    add(line, "cgroup_memory_bytes", cgroup_memory_bytes());
    const Times now{.cpu_s = process_cpu_seconds(), .steady_s = steady_seconds()};
    if (last_ && now.steady_s > last_->steady_s)
        line["cpu_percent"] =
            std::round(1e3 * (now.cpu_s - last_->cpu_s) / (now.steady_s - last_->steady_s)) / 10;
    last_ = now;
    for (const std::unique_ptr<GpuMonitor>& monitor : monitors_)
        for (int64_t index = 0; monitor && index < monitor->devices; ++index)
            line["gpus"].push_back(gpu_json(monitor->read(index)));
    return line;
}

}  // namespace knlp::track
