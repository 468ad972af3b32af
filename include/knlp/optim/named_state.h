#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace knlp::optim {

/// State that belongs to one parameter, by the suffix it has in optim.safetensors: "exp_avg",
/// "exp_avg_sq", "max_exp_avg_sq".
struct NamedState {
    std::string parameter, suffix;
    at::Tensor value;
};

}  // namespace knlp::optim
