#pragma once

#include <cstdint>
#include <string>

namespace knlp::train {

/// What timing or free memory chose. It is stored in the checkpoint and used again on resume; a
/// matrix plan fixes it for all its cells.
struct Choices {
    int64_t threads = 0;  // 0: not chosen yet, as for the others
    std::string isa, gemm;
    int64_t micro = 0, accumulation = 0;
};

}  // namespace knlp::train
