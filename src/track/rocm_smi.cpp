// AMD's management library, declared here like NVIDIA's in nvml.cpp.

#include "gpu_monitor.h"

#include <array>

namespace knlp::track {

namespace {

constexpr int kSuccess = 0;             // rsmi_status_t
constexpr int kVideoMemory = 0;         // rsmi_memory_type_t
constexpr int kCurrentTemperature = 0;  // rsmi_temperature_metric_t
// Of the die's edge, and for devices without that sensor of its hottest place.
constexpr std::array<uint32_t, 2> kTemperatureSensors = {0, 1};

struct Functions {
    int (*init)(uint64_t flags);
    int (*shut_down)();
    int (*count)(uint32_t* devices);
    int (*name)(uint32_t index, char* text, size_t size);
    int (*memory_total)(uint32_t index, int type, uint64_t* bytes);
    int (*memory_used)(uint32_t index, int type, uint64_t* bytes);
    int (*busy)(uint32_t index, uint32_t* percent);
    int (*power)(uint32_t index, uint32_t sensor, uint64_t* microwatts);
    int (*temperature)(uint32_t index, uint32_t sensor, int metric, int64_t* millidegrees);
};

bool find_functions(const RuntimeLibrary& from, Functions& rsmi) {
    return from.find("rsmi_init", rsmi.init) && from.find("rsmi_shut_down", rsmi.shut_down) &&
           from.find("rsmi_num_monitor_devices", rsmi.count) &&
           from.find("rsmi_dev_name_get", rsmi.name) &&
           from.find("rsmi_dev_memory_total_get", rsmi.memory_total) &&
           from.find("rsmi_dev_memory_usage_get", rsmi.memory_used) &&
           from.find("rsmi_dev_busy_percent_get", rsmi.busy) &&
           from.find("rsmi_dev_power_ave_get", rsmi.power) &&
           from.find("rsmi_dev_temp_metric_get", rsmi.temperature);
}

GpuStats read_device(const Functions& rsmi, int64_t index) {
    GpuStats stats{.index = index};
    const auto device = static_cast<uint32_t>(index);
    std::array<char, 128> name{};
    if (rsmi.name(device, name.data(), name.size() - 1) == kSuccess) stats.name = name.data();
    uint64_t value = 0;
    if (rsmi.memory_used(device, kVideoMemory, &value) == kSuccess)
        stats.memory_used_bytes = static_cast<int64_t>(value);
    if (rsmi.memory_total(device, kVideoMemory, &value) == kSuccess)
        stats.memory_total_bytes = static_cast<int64_t>(value);
    uint32_t percent = 0;
    if (rsmi.busy(device, &percent) == kSuccess) stats.utilization_percent = percent;
    if (rsmi.power(device, 0, &value) == kSuccess) stats.power_w = static_cast<double>(value) / 1e6;
    int64_t millidegrees = 0;
    for (const uint32_t sensor : kTemperatureSensors)
        if (!stats.temperature_c &&
            rsmi.temperature(device, sensor, kCurrentTemperature, &millidegrees) == kSuccess)
            stats.temperature_c = static_cast<double>(millidegrees) / 1e3;
    return stats;
}

}  // namespace

std::unique_ptr<GpuMonitor> open_rocm_smi(const std::string& library) {
    Functions rsmi{};
    if (!find_functions(RuntimeLibrary(library), rsmi) || rsmi.init(0) != kSuccess) return nullptr;
    auto monitor = std::make_unique<GpuMonitor>();
    monitor->shut_down = rsmi.shut_down;
    uint32_t devices = 0;
    if (rsmi.count(&devices) == kSuccess) monitor->devices = devices;
    monitor->read = [rsmi](int64_t index) { return read_device(rsmi, index); };
    return monitor;
}

}  // namespace knlp::track
