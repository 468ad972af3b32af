#include "knlp/model/device_graph.h"

#include "cuda_device.h"

#include "knlp/core/error.h"

#include <utility>

namespace knlp::model {

namespace {

class CalledAgain final : public DeviceGraph {
public:
    void warm_up(const std::function<void()>& work) override { work(); }
    void record(const std::function<void()>& work) override { work_ = work; }
    void replay() override {
        KNLP_CHECK(work_ != nullptr);
        work_();
    }

private:
    std::function<void()> work_;
};

}  // namespace

std::unique_ptr<DeviceGraph> make_device_graph(int64_t device_index) {
    if (device_index < 0) return std::make_unique<CalledAgain>();
    return make_cuda_graph(device_index);
}

}  // namespace knlp::model
