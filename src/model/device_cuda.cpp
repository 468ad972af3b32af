// Built with USE_CUDA: the binary is linked to LibTorch's CPU part only, so that it starts anywhere;
// libtorch_cuda.so registers its kernels when it is opened here.

#include "device.h"

#include <ATen/Context.h>

#include <dlfcn.h>

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

}  // namespace knlp::model
