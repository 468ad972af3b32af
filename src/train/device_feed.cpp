#include "device_feed.h"

#include "knlp/core/error.h"

#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>

namespace knlp::train {

/// When the copy of a slot is done, and when what it brought has been taken.
struct DeviceFeed::Events {
    explicit Events(at::DeviceType type) : copied(type), taken(type) {}
    c10::Event copied, taken;
};

struct DeviceFeed::Queue {
    explicit Queue(at::Device device)
        : runtime(device.type()), stream(runtime.getStreamFromGlobalPool(device, false)) {}
    c10::impl::VirtualGuardImpl runtime;
    c10::Stream stream;
};

DeviceFeed::DeviceFeed(at::Device device, int64_t rows, int64_t n_ctx)
    : device_(device), rows_(rows), n_ctx_(n_ctx) {
    KNLP_CHECK(rows > 0 && n_ctx > 0);
    const bool queued = !device.is_cpu();
    if (queued) side_ = std::make_unique<Queue>(device);
    const auto options = at::TensorOptions().dtype(at::kLong);
    for (Slot& slot : slots_) {
        slot.host = at::empty({2, rows, n_ctx}, options.pinned_memory(queued));
        if (!queued) continue;
        slot.device = at::empty({2, rows, n_ctx}, options.device(device));
        slot.events = std::make_unique<Events>(device.type());
    }
}

DeviceFeed::~DeviceFeed() {
    // Nothing may still read pinned memory that is about to go.
    if (side_) side_->runtime.synchronizeStream(side_->stream);
}

void DeviceFeed::add(const data::Batch& batch) {
    KNLP_CHECK(batch.n_ctx == n_ctx_ && filled_ + batch.rows <= rows_);
    Slot& slot = slots_[turn_];
    if (filled_ == 0 && slot.events) slot.events->copied.synchronize();
    const int64_t half = rows_ * n_ctx_, at = filled_ * n_ctx_;
    auto* ids = slot.host.mutable_data_ptr<int64_t>();
    std::copy(batch.inputs.begin(), batch.inputs.end(), ids + at);
    std::copy(batch.targets.begin(), batch.targets.end(), ids + half + at);
    filled_ += batch.rows;
}

void DeviceFeed::deliver(const at::Tensor& into) {
    KNLP_CHECK(filled_ == rows_);
    filled_ = 0;
    Slot& slot = slots_[turn_];
    turn_ = 1 - turn_;
    if (!side_) {
        into.copy_(slot.host);
        return;
    }
    slot.events->taken.block(side_->stream);
    {
        const c10::StreamGuard on(side_->stream);
        slot.device.copy_(slot.host, true);
    }
    slot.events->copied.record(side_->stream);
    const c10::Stream current = side_->runtime.getStream(device_);
    slot.events->copied.block(current);
    into.copy_(slot.device, true);
    slot.events->taken.record(current);
}

}  // namespace knlp::train
