#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace knlp::train {

/// What timing or free memory chose. It is stored in the checkpoint and used again on resume; a
/// matrix plan fixes it for all its cells.
struct Choices {
    int64_t threads = 0;  // 0: not chosen yet, as for the others
    std::string isa, gemm;
    /// knlp::bf16_dot_products() of the CPU, where it multiplies bfloat16 in training or
    /// evaluation; nothing where it does not, or where a record of before does not say.
    std::optional<bool> bf16_dot_products = std::nullopt;
    int64_t micro = 0, accumulation = 0;
};

}  // namespace knlp::train
