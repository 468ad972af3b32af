#pragma once

#include "knlp/data/batches.h"
#include "knlp/model/gpt2.h"
#include "knlp/optim/optimizer.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace knlp::train {

/// How a step is cut, and whether it is recorded.
struct DeviceStepOptions {
    int64_t micro = 1, accumulation = 1;
    uint64_t seed = 0;
    bool bf16 = false;
    bool graph = true;  // record the step once and launch it whole
};

/// What a step came to.
struct StepOutcome {
    int64_t step = 0;
    double lr = 0, loss = 0;  // mean over the step, NaN or infinite when it was skipped for that
    optim::StepInfo info;
};

/// Training steps of a model on a device with a queue: gradients, norm, clip, update. The host only
/// enqueues and waits for nothing but the room to do so, until collect(). After kWarmUps steps the
/// whole step is recorded as a graph, unless dropout makes every step another.
class DeviceSteps {
public:
    static constexpr int64_t kWarmUps = 3;

    /// `model` and `optimizer` outlive this. The optimizer's queued() is not null.
    DeviceSteps(model::Gpt2& model, optim::Optimizer& optimizer, const DeviceStepOptions& options);
    ~DeviceSteps();
    DeviceSteps(const DeviceSteps&) = delete;
    DeviceSteps& operator=(const DeviceSteps&) = delete;

    /// The next micro-batch of the coming step.
    void add(const data::Batch& batch);
    /// Forgets the micro-batches of the coming step.
    void drop();
    /// Enqueues the step whose micro-batches were all added.
    void run(int64_t step, double lr);
    /// Waits for the steps enqueued since the last call; their outcomes, in order.
    std::vector<StepOutcome> collect();

    bool recorded() const;
    /// Why steps are not recorded, one line; "" when they are or will be.
    const std::string& not_recorded() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::train
