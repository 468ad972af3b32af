#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace knlp::track {

/// A device as the library of its maker describes it now; what it does not tell is empty.
struct GpuStats {
    int64_t index = 0;  // as that library counts
    std::string name;
    std::optional<int64_t> memory_used_bytes, memory_total_bytes;
    std::optional<double> utilization_percent, power_w, temperature_c;
};

/// The devices of one maker, for as long as this object lives.
struct GpuMonitor {
    GpuMonitor() = default;
    GpuMonitor(const GpuMonitor&) = delete;
    GpuMonitor& operator=(const GpuMonitor&) = delete;
    ~GpuMonitor() {
        if (shut_down != nullptr) shut_down();
    }

    int64_t devices = 0;
    std::function<GpuStats(int64_t index)> read;
    int (*shut_down)() = nullptr;
};

/// Null where the library, a function of it or the driver is missing.
std::unique_ptr<GpuMonitor> open_nvml(const std::string& library = "libnvidia-ml.so.1");
std::unique_ptr<GpuMonitor> open_rocm_smi(const std::string& library = "librocm_smi64.so");

/// A library that is loaded when the program runs. It stays: its threads would outlive it.
class RuntimeLibrary {
public:
    explicit RuntimeLibrary(const std::string& name)
        : handle_(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {}
    /// False where library or function is missing.
    template <class Function>
    bool find(const char* name, Function*& function) const {
        function =
            handle_ != nullptr ? reinterpret_cast<Function*>(::dlsym(handle_, name)) : nullptr;
        return function != nullptr;
    }

private:
    void* handle_;
};

}  // namespace knlp::track
