#pragma once

#include "knlp/model/device.h"

#include <c10/core/Device.h>

namespace knlp::model {

/// The same device in LibTorch's terms.
inline at::Device tensor_device(Device device) {
    if (device.is_cpu()) return at::kCPU;
    return {at::kCUDA, static_cast<c10::DeviceIndex>(device.cuda)};
}

}  // namespace knlp::model
