#pragma once

#include "bench_requests.h"
#include "bench_session.h"

#include "knlp/bench/inference_bench.h"

#include <cstdint>
#include <string>
#include <vector>

namespace knlp::app {

/// Flags of `bench decode` and `bench prefill` beyond those of a step.
struct InferenceFlags {
    std::vector<int64_t> contexts;
    int64_t prompt = 0, chunk = 0;
    std::string dtype = "fp32";
};
void add_context_option(Parser verb, InferenceFlags& flags);
void add_prompt_option(Parser verb, InferenceFlags& flags);
void add_dtype_option(Parser verb, InferenceFlags& flags);

/// What flags and configuration ask for; lengths are limited to the model's context where the user
/// named none.
bench::InferenceRequest inference_request(const bench::StepRequest& step,
                                          const BenchOptions& options, const InferenceFlags& flags);

}  // namespace knlp::app
