#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace knlp::train {

/// How an optimizer step is cut: micro * accumulation sequences, exactly the effective batch.
struct BatchPlan {
    int64_t micro = 1, accumulation = 1;
    bool automatic = false;
    int64_t effective() const { return micro * accumulation; }
};

/// What limits the micro-batch.
struct BatchLimits {
    std::function<int64_t(int64_t)> run_bytes;    // memory of the whole run with this micro-batch
    std::function<int64_t(int64_t)> layer_bytes;  // activations of one layer
    int64_t run_budget = 0;
    int64_t layer_budget = 0;  // 0 = no limit
};

std::vector<int64_t> divisors_descending(int64_t n);

/// Largest divisor of `effective` within the limits; 1 when none is. Pure function of its
/// arguments.
BatchPlan choose_batch(int64_t effective, const BatchLimits& limits);

/// The same step cut by the next smaller divisor. `plan.micro` is above 1.
BatchPlan smaller_batch(const BatchPlan& plan);

}  // namespace knlp::train
