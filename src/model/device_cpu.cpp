// Built without USE_CUDA: no CUDA device is ever usable, and the reason depends on the machine.

#include "cuda_device.h"

#include "knlp/core/error.h"

#include <dlfcn.h>

namespace knlp::model {

const std::string& cuda_problem() {
    static const std::string problem = [] {
        void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
        if (driver == nullptr) return "no CUDA device (driver not found)";
        dlclose(driver);
        return "this binary was built without CUDA; set USE_CUDA=y and run make";
    }();
    return problem;
}

int64_t cuda_device_count() {
    return 0;
}

std::string cuda_device_name(int64_t) {
    KNLP_CHECK(!"no CUDA in this build");
    return "";
}

int64_t cuda_free_bytes(int64_t) {
    KNLP_CHECK(!"no CUDA in this build");
    return 0;
}

void dropout_mask_on_cuda(const kernels::DropoutMaskArgs&, int64_t) {
    KNLP_CHECK(!"no CUDA in this build");
}

std::unique_ptr<DeviceGraph> make_cuda_graph(int64_t) {
    KNLP_CHECK(!"no CUDA in this build");
    return nullptr;
}

}  // namespace knlp::model
