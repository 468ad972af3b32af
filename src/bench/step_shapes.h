#pragma once

#include "knlp/bench/bench.h"

#include <array>
#include <cstdint>
#include <vector>

namespace knlp::bench {

/// Starts the runtime with the request's threads; returns the shapes [m, n, k] of a micro-batch's
/// products, the head's last (model::gemm_shapes, whose header needs LibTorch).
std::vector<std::array<int64_t, 3>> start_for_products(const StepRequest& request);

/// Seconds of all products of a step one after the other, each alone and by its fastest route, in
/// the request's precision. The request is complete (batch, accumulation, threads).
double fastest_products_s(const StepRequest& request);

}  // namespace knlp::bench
