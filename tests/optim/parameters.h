#pragma once

#include "knlp/core/rng.h"
#include "knlp/model/parameter.h"

#include <ATen/core/Tensor.h>

#include <cmath>
#include <span>
#include <string>
#include <vector>

namespace knlp::test {

/// Parameters with the given sizes, filled from a stream; every second one is decayed.
inline std::vector<model::Parameter> make_parameters(const std::vector<int64_t>& sizes,
                                                     uint64_t seed = 3) {
    std::vector<model::Parameter> all;
    const Stream stream(seed, "tests/parameters");
    for (size_t i = 0; i < sizes.size(); ++i) {
        at::Tensor value = at::empty({sizes[i]}, at::kFloat);
        stream.normal({value.data_ptr<float>(), static_cast<size_t>(sizes[i])}, i);
        value.requires_grad_(true);
        all.push_back(
            {{.name = "p" + std::to_string(i), .shape = {sizes[i]}, .decay = i % 2 == 0}, value});
    }
    return all;
}

/// Gradient of parameter i at step t: a function of both, so that two optimizers see the same ones.
inline at::Tensor gradient(const model::Parameter& parameter, size_t i, int64_t t,
                           float scale = 0.1f) {
    at::Tensor value = at::empty_like(parameter.value.detach());
    const Stream stream(static_cast<uint64_t>(t), "tests/gradients");
    stream.normal({value.data_ptr<float>(), static_cast<size_t>(value.numel())}, i);
    return value.mul_(scale);
}

inline void set_gradients(std::span<model::Parameter> parameters, int64_t t, float scale = 0.1f) {
    for (size_t i = 0; i < parameters.size(); ++i)
        parameters[i].value.mutable_grad() = gradient(parameters[i], i, t, scale);
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
    return (a.detach().to(at::kDouble) - b.detach().to(at::kDouble)).abs().max().item<double>();
}

}  // namespace knlp::test
