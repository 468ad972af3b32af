#include "knlp/model/runtime.h"

#include "cuda_device.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/memory.h"

#include <ATen/Parallel.h>
#include <torch/version.h>

#include <charconv>
#include <fstream>
#include <set>

namespace knlp::model {

void start_runtime(const Runtime& runtime) {
    // Before the first parallel region, or LibTorch's pools would already have their size.
    at::set_num_threads(static_cast<int>(runtime.threads > 0 ? runtime.threads : usable_cores()));
    warn_if_crowded(runtime.threads);
    static bool once = false;
    if (!once) at::set_num_interop_threads(1);
    if (!once) keep_freed_memory();
    once = true;
    at::globalContext().setDeterministicAlgorithms(runtime.deterministic, true);
    // Filling every fresh tensor with NaN costs a pass over memory and changes no result.
    at::globalContext().setDeterministicFillUninitializedMemory(false);
    at::globalContext().setBenchmarkCuDNN(!runtime.deterministic);
    at::globalContext().setDeterministicCuDNN(runtime.deterministic);
}

int64_t runtime_threads() {
    return at::get_num_threads();
}

Device resolve_device(const std::string& name) {
    if (name == "cpu") return {};
    if (name == "auto") return cuda_problem().empty() ? Device{.cuda = 0} : Device();
    if (name != "cuda" && !name.starts_with("cuda:"))
        fail(kUsage, "device '{}' is unknown; use auto, cpu, cuda or cuda:N", name);
    int64_t index = 0;
    if (name.size() > 4) {
        const char *first = name.data() + 5, *last = name.data() + name.size();
        const auto [end, error] = std::from_chars(first, last, index);
        if (error != std::errc() || end != last || index < 0)
            fail(kUsage, "device '{}': what follows cuda: must be the number of a device, from 0",
                 name);
    }
    const std::string problem = cuda_problem();
    if (!problem.empty()) fail(kNotAvailable, "{}", problem);
    if (index >= cuda_device_count())
        fail(kNotAvailable, "device '{}': this machine has {} CUDA device(s)", name,
             cuda_device_count());
    return {.cuda = index};
}

std::string device_name(Device device) {
    return device.is_cpu() ? "" : cuda_device_name(device.cuda);
}

std::string torch_error_text(const std::exception& error) {
    const auto* its = dynamic_cast<const c10::Error*>(&error);
    return its != nullptr ? its->what_without_backtrace() : "";
}

int64_t device_free_bytes(Device device) {
    return device.is_cpu() ? available_memory_bytes() : cuda_free_bytes(device.cuda);
}

int64_t openmp_runtimes() {
    std::ifstream maps("/proc/self/maps");
    std::set<std::string> found;
    for (std::string line; std::getline(maps, line);) {
        const size_t slash = line.rfind('/');
        if (slash == std::string::npos) continue;
        const std::string file = line.substr(slash + 1);
        for (const char* runtime : {"libgomp", "libomp.", "libiomp"})
            if (file.starts_with(runtime)) found.insert(line.substr(line.find('/')));
    }
    return static_cast<int64_t>(found.size());
}

std::string torch_version() {
    return TORCH_VERSION;
}

}  // namespace knlp::model
