// NVIDIA's management library. The few functions of its C interface are declared here, so that
// neither header nor library is needed to build.

#include "gpu_monitor.h"

#include <array>

namespace knlp::track {

namespace {

constexpr int kSuccess = 0;     // nvmlReturn_t
constexpr int kCoreSensor = 0;  // nvmlTemperatureSensors_t
using Device = void*;           // nvmlDevice_t
struct Memory {
    unsigned long long total, free, used;  // bytes
};
struct Utilization {
    unsigned gpu, memory;  // percent of the time
};

struct Functions {
    int (*init)();
    int (*shut_down)();
    int (*count)(unsigned* devices);
    int (*device)(unsigned index, Device*);
    int (*name)(Device, char* text, unsigned size);
    int (*memory)(Device, Memory*);
    int (*utilization)(Device, Utilization*);
    int (*power)(Device, unsigned* milliwatts);
    int (*temperature)(Device, int sensor, unsigned* celsius);
};

bool find_functions(const RuntimeLibrary& from, Functions& nvml) {
    return from.find("nvmlInit_v2", nvml.init) && from.find("nvmlShutdown", nvml.shut_down) &&
           from.find("nvmlDeviceGetCount_v2", nvml.count) &&
           from.find("nvmlDeviceGetHandleByIndex_v2", nvml.device) &&
           from.find("nvmlDeviceGetName", nvml.name) &&
           from.find("nvmlDeviceGetMemoryInfo", nvml.memory) &&
           from.find("nvmlDeviceGetUtilizationRates", nvml.utilization) &&
           from.find("nvmlDeviceGetPowerUsage", nvml.power) &&
           from.find("nvmlDeviceGetTemperature", nvml.temperature);
}

GpuStats read_device(const Functions& nvml, int64_t index) {
    GpuStats stats{.index = index};
    Device device = nullptr;
    if (nvml.device(static_cast<unsigned>(index), &device) != kSuccess) return stats;
    std::array<char, 128> name{};
    if (nvml.name(device, name.data(), name.size() - 1) == kSuccess) stats.name = name.data();
    Memory memory{};
    if (nvml.memory(device, &memory) == kSuccess) {
        stats.memory_used_bytes = static_cast<int64_t>(memory.used);
        stats.memory_total_bytes = static_cast<int64_t>(memory.total);
    }
    Utilization utilization{};
    if (nvml.utilization(device, &utilization) == kSuccess)
        stats.utilization_percent = utilization.gpu;
    unsigned milliwatts = 0, celsius = 0;
    if (nvml.power(device, &milliwatts) == kSuccess) stats.power_w = milliwatts / 1e3;
    if (nvml.temperature(device, kCoreSensor, &celsius) == kSuccess) stats.temperature_c = celsius;
    return stats;
}

}  // namespace

std::unique_ptr<GpuMonitor> open_nvml(const std::string& library) {
    Functions nvml{};
    if (!find_functions(RuntimeLibrary(library), nvml) || nvml.init() != kSuccess) return nullptr;
    auto monitor = std::make_unique<GpuMonitor>();
    monitor->shut_down = nvml.shut_down;
    unsigned devices = 0;
    if (nvml.count(&devices) == kSuccess) monitor->devices = devices;
    monitor->read = [nvml](int64_t index) { return read_device(nvml, index); };
    return monitor;
}

}  // namespace knlp::track
