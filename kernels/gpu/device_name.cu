#include "kernels/device_name.h"

#include <cuda_runtime.h>

#include <cstring>

namespace knlp::kernels {

void device_name_cuda(int device, char* name, std::size_t size) {
    if (size == 0) return;
    name[0] = '\0';
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) {
        cudaGetLastError();  // not to be found by the next call
        return;
    }
    std::strncpy(name, properties.name, size - 1);
    name[size - 1] = '\0';
}

}  // namespace knlp::kernels
