#pragma once

#include "knlp/bench/bench.h"

#include <array>
#include <cstdint>
#include <vector>

namespace knlp::bench {

/// Starts the runtime with the request's threads; returns the shapes [m, n, k] of a micro-batch's
/// products, the head's last (model::gemm_shapes, whose header needs LibTorch).
std::vector<std::array<int64_t, 3>> start_for_products(const StepRequest& request);

}  // namespace knlp::bench
