// Built with USE_CUDA: the binary is linked to LibTorch's CPU part only, so that it starts
// anywhere; libtorch_cuda.so registers its kernels when it is opened here.

#include "cuda_device.h"

#include "kernels/device_memory.h"
#include "kernels/device_name.h"
#include "kernels/dropout_mask.h"

#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <dlfcn.h>

#include <array>
#include <cstdlib>

namespace knlp::model {

namespace {

std::string load_cuda() {
    void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver == nullptr) return "no CUDA device (driver not found)";
    // Reproducible cuBLAS results need this before its first handle.
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
    if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
        const char* reason = dlerror();
        return std::string("no CUDA device (LibTorch's CUDA library cannot be loaded: ") +
               (reason != nullptr ? reason : "unknown reason") + ")";
    }
    if (!at::globalContext().hasCUDA()) return "no CUDA device (the driver reports none)";
    return "";
}

}  // namespace

const std::string& cuda_problem() {
    static const std::string problem = load_cuda();
    return problem;
}

int64_t cuda_device_count() {
    return cuda_problem().empty() ? at::detail::getCUDAHooks().deviceCount() : 0;
}

std::string cuda_device_name(int64_t index) {
    std::array<char, 256> name{};
    kernels::device_name_cuda(static_cast<int>(index), name.data(), name.size());
    return name.data();
}

int64_t cuda_free_bytes(int64_t index) {
    return kernels::device_free_bytes_cuda(static_cast<int>(index));
}

void dropout_mask_on_cuda(const kernels::DropoutMaskArgs& args, int64_t device_index) {
    // The guard implementation is found through c10's registry: linking c10_cuda would tie the
    // binary to it.
    const at::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(device_index));
    const c10::impl::VirtualGuardImpl guard(at::kCUDA);
    kernels::dropout_mask_cuda(args, guard.getStream(device).native_handle());
}

}  // namespace knlp::model
