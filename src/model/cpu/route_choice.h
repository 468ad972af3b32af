#pragma once

#include "product.h"

#include "knlp/model/runtime.h"

#include <array>
#include <cstdint>
#include <vector>

namespace knlp::model {

/// [M, N, K] of the products of a forward pass: those of a block, then the head's.
using ProductShapes = std::vector<std::array<int64_t, 3>>;

struct RouteChoice {
    Routes routes;
    /// What was timed. Nothing where there was no choice.
    RouteTiming timing;
};

/// The fastest route of every place, by timing all of them on these shapes (with fewer rows where
/// they are large), on the threads of the team: a few hundred milliseconds, once for a CPU, number
/// of threads, instruction set, program (its build id included) and list of shapes; later the
/// answer comes from the user's cache directory. `onednn`: whether LibTorch has it.
RouteChoice choose_routes(const ProductShapes& shapes, bool bf16, bool onednn);

}  // namespace knlp::model
