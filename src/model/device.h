#pragma once

#include <cstdint>
#include <string>

namespace knlp::model {

/// Why CUDA cannot be used here, or "" when it can. The first call loads LibTorch's CUDA library where
/// this build has CUDA and the machine a driver.
const std::string& cuda_problem();
/// Devices that LibTorch sees; 0 when there is a problem.
int64_t cuda_device_count();

}  // namespace knlp::model
