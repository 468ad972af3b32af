#pragma once

#include <cmath>

namespace knlp::kernels {

/// GELU in double; neither form cancels far below 0: 1 + tanh(u) = 2 / (1 + exp(-2u)), and 1 +
/// erf(y) = erfc(-y).
inline double gelu_of(double x, bool tanh_form) {
    const double u = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
    return tanh_form ? x / (1.0 + std::exp(-2.0 * u)) : 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}

}  // namespace knlp::kernels
