#pragma once

#include "knlp/data/batches.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <array>
#include <cstdint>
#include <memory>

namespace knlp::train {

/// Token ids of steps on their way to a device: gathered in pinned memory and copied on a side
/// queue while the step before still computes. Two steps are under way at most, so whoever adds
/// waits for the device only when it is that far behind. On the CPU a plain copy.
class DeviceFeed {
public:
    /// `rows`: sequences of a whole step.
    DeviceFeed(at::Device device, int64_t rows, int64_t n_ctx);
    ~DeviceFeed();
    DeviceFeed(const DeviceFeed&) = delete;
    DeviceFeed& operator=(const DeviceFeed&) = delete;

    /// The next rows of the coming step; they need not outlive the call.
    void add(const data::Batch& batch);
    /// Forgets what was added to the coming step.
    void drop() { filled_ = 0; }
    /// Inputs and targets of the step, all of whose rows were added, into `into` [2, rows, n_ctx]
    /// int64 on the device, in the order of its current queue.
    void deliver(const at::Tensor& into);

private:
    struct Events;  // of a slot; none on the CPU
    struct Slot {
        at::Tensor host, device;  // [2, rows, n_ctx]
        std::unique_ptr<Events> events;
    };
    struct Queue;

    at::Device device_;
    int64_t rows_, n_ctx_, filled_ = 0;
    std::unique_ptr<Queue> side_;  // null on the CPU
    std::array<Slot, 2> slots_;
    size_t turn_ = 0;
};

}  // namespace knlp::train
