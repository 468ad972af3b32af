#include "batch_plan.h"

#include "knlp/core/error.h"

namespace knlp::train {

std::vector<int64_t> divisors_descending(int64_t n) {
    KNLP_CHECK(n > 0);
    std::vector<int64_t> divisors;
    for (int64_t d = n; d > 0; --d)
        if (n % d == 0) divisors.push_back(d);
    return divisors;
}

BatchPlan choose_batch(int64_t effective, const BatchLimits& limits) {
    for (const int64_t micro : divisors_descending(effective)) {
        const bool layer_fits =
            limits.layer_budget == 0 || limits.layer_bytes(micro) <= limits.layer_budget;
        if (micro == 1 || (layer_fits && limits.run_bytes(micro) <= limits.run_budget))
            return {.micro = micro, .accumulation = effective / micro, .automatic = true};
    }
    return {.accumulation = effective, .automatic = true};
}

BatchPlan smaller_batch(const BatchPlan& plan) {
    KNLP_CHECK(plan.micro > 1);
    const int64_t effective = plan.effective();
    int64_t micro = plan.micro - 1;
    while (effective % micro != 0) --micro;
    return {.micro = micro, .accumulation = effective / micro, .automatic = plan.automatic};
}

}  // namespace knlp::train
