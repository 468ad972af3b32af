#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace knlp::model {

/// Work of a device that is recorded once and then run again with one launch: same kernels, same
/// addresses. Everything that changes from run to run must lie in tensors that exist before.
class DeviceGraph {
public:
    virtual ~DeviceGraph() = default;
    /// Runs `work` where it will be recorded; in its first runs libraries allocate what they keep.
    virtual void warm_up(const std::function<void()>& work) = 0;
    /// Records `work` without running it, instead of what was recorded before. Error{kNotAvailable}
    /// when it does what cannot be recorded, such as waiting for the device; nothing is recorded
    /// then. What `work` refers to must live as long as this.
    virtual void record(const std::function<void()>& work) = 0;
    /// Puts what was recorded on the current queue of the device.
    virtual void replay() = 0;
};

/// `device_index`: number of the CUDA device, or -1 for the processor, which has no queue: there
/// the work itself is kept and called.
std::unique_ptr<DeviceGraph> make_device_graph(int64_t device_index);

}  // namespace knlp::model
