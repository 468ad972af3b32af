#pragma once

#include <cstddef>

namespace knlp::kernels {

/// Only in builds with USE_CUDA: the product name of a CUDA device, cut to `size` bytes with the
/// ending 0; "" when the driver gives none.
void device_name_cuda(int device, char* name, std::size_t size);

}  // namespace knlp::kernels
