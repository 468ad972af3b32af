#include "kernels/cross_entropy.h"

#include "kernels/cpu/scalar.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace knlp::kernels {

namespace {

struct Softmax {
    double shift, sum;
    double at(float logit) const { return std::exp(static_cast<double>(logit) - shift) / sum; }
};

Softmax softmax_of(const float* x, int64_t n) {
    double shift = -std::numeric_limits<double>::infinity(), sum = 0.0;
    for (int64_t j = 0; j < n; ++j) shift = std::max(shift, static_cast<double>(x[j]));
    for (int64_t j = 0; j < n; ++j) sum += std::exp(static_cast<double>(x[j]) - shift);
    return {shift, sum};
}

}  // namespace

void cross_entropy_scalar(const CrossEntropyArgs& a, int64_t first, int64_t last) {
    const bool half = a.gradient_bf16 != nullptr;
    void* const gradient = half ? a.gradient_bf16 : a.logits;
    const Storage type = half ? Storage::kBf16 : Storage::kF32;
    for (int64_t i = first; i < last; ++i) {
        const float* x = a.logits + i * a.columns;
        const int64_t target = a.targets[i];
        Softmax softmax{};
        a.nll[i] = 0.0f;
        if (target >= 0) {
            softmax = softmax_of(x, a.vocab_size);
            a.nll[i] = static_cast<float>(std::log(softmax.sum) + softmax.shift -
                                          static_cast<double>(x[target]));
        }
        if (!a.with_gradient) continue;
        const double share = a.share != nullptr ? static_cast<double>(a.share[i]) : 1.0;
        for (int64_t j = 0; j < a.columns; ++j) {
            double value = 0.0;
            if (target >= 0 && j < a.vocab_size)
                value = share * (softmax.at(x[j]) - (j == target ? 1.0 : 0.0));
            store(gradient, type, i * a.columns + j, static_cast<float>(value));
        }
    }
}

}  // namespace knlp::kernels
