// Whether what is to be measured fits into memory, before anything is allocated.
#include "knlp/bench/bench.h"
#include "knlp/bench/inference_bench.h"

#include "tokens.h"

#include "knlp/core/host.h"
#include "knlp/model/inference_memory.h"
#include "knlp/model/runtime.h"
#include "knlp/train/step_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace knlp::bench {
namespace {

/// The estimate of a batch, whose terms `terms_of` makes; refused when it does not fit.
void require_batch(int64_t batch, int64_t available, const std::string& device,
                   const std::function<MemoryEstimate(int64_t)>& estimate_of) {
    MemoryEstimate estimate = estimate_of(batch);
    estimate.available = available;
    estimate.device = device;
    const int64_t fitting = largest_fitting(
        batch, available, [&](int64_t fewer) { return estimate_of(fewer).total(); });
    require_fit(estimate, fitting > 0 ? fmt::format("--batch {} would fit", fitting)
                                      : "not even --batch 1 fits: take a smaller --size");
}

void require_texts(const InferenceRequest& request,
                   const std::function<std::vector<MemoryTerm>(int64_t)>& terms_of) {
    const int64_t held = resident_bytes();
    require_batch(request.batch, available_memory_bytes() + held, "", [&](int64_t batch) {
        MemoryEstimate estimate{.terms = terms_of(batch)};
        estimate.terms.push_back({"program and libraries", held + kFirstOperations});
        return estimate;
    });
}

}  // namespace

void require_step_memory(const StepRequest& wanted) {
    const StepRequest request = completed(wanted);
    const model::Device device = model::resolve_device(request.device);
    const int64_t held = resident_bytes();
    const int64_t available =
        device.is_cpu() ? available_memory_bytes() + held : model::device_free_bytes(device);
    if (available <= 0) return;  // a driver that does not tell
    const bool bf16 = request.precision == config::Precision::kBfloat16;
    require_batch(request.batch, available, device.is_cpu() ? "" : device.str(),
                  [&](int64_t batch) {
                      return train::step_memory({.model = request.model,
                                                 .optimizer = request.optimizer,
                                                 .device = device,
                                                 .micro = batch,
                                                 .accumulates = request.accumulation > 1,
                                                 .bf16 = bf16,
                                                 .eval_bf16 = bf16,
                                                 .threads = request.threads},
                                                held);
                  });
}

void require_decode_memory(const InferenceRequest& request) {
    const int64_t slots = std::ranges::max(request.contexts);
    require_texts(request, [&](int64_t batch) {
        // A single sequence with a cache of its own takes turns with the batch.
        return model::inference_terms(request.model, {.batch = batch > 1 ? batch + 1 : 1,
                                                      .prompt = slots,
                                                      .slots = slots,
                                                      .bf16 = request.bf16});
    });
}

void require_prefill_memory(const InferenceRequest& request) {
    const int64_t chunk =
        request.chunk > 0 ? std::min(request.chunk, request.prompt) : request.prompt;
    require_texts(request, [&](int64_t batch) {
        std::vector<MemoryTerm> terms = model::inference_terms(
            request.model,
            {.batch = batch, .prompt = chunk, .slots = request.prompt, .bf16 = request.bf16});
        // In and out of the widest of the products that are timed alone.
        terms.push_back({fmt::format("products of {} tokens", batch * chunk),
                         4 * batch * chunk * 5 * request.model.d_model});
        return terms;
    });
}

}  // namespace knlp::bench
