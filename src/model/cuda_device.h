#pragma once

#include "knlp/model/device_graph.h"

#include <cstdint>
#include <memory>
#include <string>

namespace knlp::kernels {
struct DropoutMaskArgs;
}

namespace knlp::model {

/// Why CUDA cannot be used here, or "" when it can. The first call loads LibTorch's CUDA library
/// where this build has CUDA and the machine a driver.
const std::string& cuda_problem();
/// Devices that LibTorch sees; 0 when there is a problem.
int64_t cuda_device_count();
/// Product name of a CUDA device.
std::string cuda_device_name(int64_t index);
/// Bytes of it that are free; 0 where the driver does not tell.
int64_t cuda_free_bytes(int64_t index);
/// Launches the dropout kernel on the current stream of this CUDA device; pointers are the
/// device's.
void dropout_mask_on_cuda(const kernels::DropoutMaskArgs& args, int64_t device_index);

/// Of make_device_graph().
std::unique_ptr<DeviceGraph> make_cuda_graph(int64_t device_index);

}  // namespace knlp::model
