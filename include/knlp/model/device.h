#pragma once

#include <cstdint>
#include <string>

namespace knlp::model {

/// Where a model computes.
struct Device {
    int64_t cuda = -1;  // number of a CUDA device; negative: the processor

    bool is_cpu() const { return cuda < 0; }
    std::string str() const { return is_cpu() ? "cpu" : "cuda:" + std::to_string(cuda); }
    bool operator==(const Device&) const = default;
};

}  // namespace knlp::model
