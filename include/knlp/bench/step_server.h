#pragma once

#include "knlp/bench/bench.h"

#include <filesystem>
#include <iosfwd>

namespace knlp::bench {

/// Training steps on request, so that a comparison can hold two programs warm and let them take
/// turns.
struct ServeRequest {
    StepRequest step;                 // samples and warm_up are not used
    double learning_rate = 1e-3;      // of every step
    std::filesystem::path init_from;  // weights as load_weights takes them; "" = from the seed
};

/// Answers each line of `in` with one line of JSON on `out`; the first one, before any request, is
///   {"ready": true, "gemm", "parameters", "threads", "machine", "revision"}
/// Requests:
///   run N        N optimizer steps: {"losses": [N], "step_s": [N], "peak_rss_bytes"}; a step is
///                loading, forward, backward, clipping, update and clearing
///   windows S…   from now on every step reads the windows of n_ctx tokens that start at these
///                places, one for each sequence of the step, instead of the shuffled ones: {"ok"}
///   save DIR     model.safetensors and config.json in Hugging Face layout: {"ok"}
///   quit         ends, as does the end of `in`
/// Error{kUsage} for another request, Error{kRun, "E_DIVERGED"} when a gradient is not finite.
void serve_steps(const ServeRequest& request, std::istream& in, std::ostream& out);

}  // namespace knlp::bench
