#pragma once

#include "knlp/config/model.h"
#include "knlp/config/train.h"
#include "knlp/core/memory_estimate.h"
#include "knlp/model/device.h"

#include <cstdint>

namespace knlp::train {

/// What decides how much memory training takes.
struct StepShape {
    config::Model model;
    config::Optimizer optimizer;
    model::Device device;
    int64_t micro = 1;                     // sequences of a micro-batch
    bool accumulates = false;              // several micro-batches a step
    bool bf16 = false, eval_bf16 = false;  // products of training, and of evaluation
    bool watched = false;                  // every tensor is looked at: by LibTorch's operations
    int64_t threads = 1;
};

/// The terms of its peak, for a process that holds `held` before it begins. The rest of the
/// estimate is left to the caller.
MemoryEstimate step_memory(const StepShape& shape, int64_t held);

int64_t optimizer_bytes(const config::Optimizer& optimizer, const config::Model& model);

}  // namespace knlp::train
