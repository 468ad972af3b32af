#pragma once

#include "knlp/bench/bench.h"
#include "knlp/bench/record.h"

#include <vector>

namespace knlp::bench {

/// Rate of the matrix products of a step, by route: "gemm.native.fp32", "gemm.onednn.bf16", … for
/// both types and all routes there are, and "gemm.best.fp32", each product by its fastest route.
/// The time is that of all products of a step, one after the other, each as often as it occurs;
/// results are step_ms (the same from each product's median), gflops over all, and
/// "<m>x<n>x<k>.<product>" GFLOP/s of each. With a route forced in
/// the request only that one is measured, in the request's precision: Error{kNotAvailable} when it
/// is not there. Times are rounds in which the routes take turns.
std::vector<Record> bench_gemm(const StepRequest& request);

}  // namespace knlp::bench
