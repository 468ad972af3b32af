#pragma once

#include <cstdint>

namespace knlp::kernels {

/// Only in builds with USE_CUDA: bytes of a CUDA device that are free; 0 when the driver does not
/// tell. Makes the device ready for use.
int64_t device_free_bytes_cuda(int device);

}  // namespace knlp::kernels
