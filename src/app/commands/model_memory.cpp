#include "model_memory.h"

#include "knlp/core/host.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/runtime.h"

#include <algorithm>

namespace knlp::app {

void require_room(model::LoadedModel& model, int64_t batch, const TermsOfBatch& terms_of,
                  const std::function<std::string(int64_t fitting)>& advice) {
    const model::Device device = model.gpt2().device();
    const int64_t held = device.is_cpu() ? resident_bytes() : 0;
    const auto estimate_of = [&](int64_t count) {
        MemoryEstimate estimate{.terms = terms_of(count)};
        MemoryTerm& weights = estimate.terms.front();
        const int64_t program = std::max<int64_t>(0, held - weights.bytes) + kFirstOperations;
        if (!device.is_cpu()) weights.bytes = 0;
        estimate.terms.push_back({"program and libraries", program});
        return estimate;
    };
    MemoryEstimate estimate = estimate_of(batch);
    estimate.available = model::device_free_bytes(device) + held;
    if (estimate.available == 0) return;  // a driver that does not tell
    if (!device.is_cpu()) estimate.device = device.str();
    const int64_t fitting = largest_fitting(
        batch, estimate.available, [&](int64_t count) { return estimate_of(count).total(); });
    require_fit(estimate, advice(fitting));
}

}  // namespace knlp::app
