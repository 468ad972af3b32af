#include "kernels/device_memory.h"

#include <cuda_runtime.h>

#include <cstddef>

namespace knlp::kernels {

int64_t device_free_bytes_cuda(int device) {
    int before = 0;
    std::size_t free_bytes = 0, all = 0;
    const bool known = cudaGetDevice(&before) == cudaSuccess &&
                       cudaSetDevice(device) == cudaSuccess &&
                       cudaMemGetInfo(&free_bytes, &all) == cudaSuccess;
    cudaSetDevice(before);
    cudaGetLastError();  // not to be found by the next call
    return known ? static_cast<int64_t>(free_bytes) : 0;
}

}  // namespace knlp::kernels
