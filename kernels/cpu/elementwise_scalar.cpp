#include "kernels/elementwise.h"

#include "kernels/cpu/scalar.h"

#include <cmath>

namespace knlp::kernels {

void column_sum_scalar(const ColumnSumArgs& a, int64_t first, int64_t last) {
    for (int64_t j = first; j < last; ++j) {
        double sum = a.add ? static_cast<double>(a.out[j]) : 0.0;
        for (int64_t i = 0; i < a.rows; ++i)
            sum += static_cast<double>(load(a.x, a.type, i * a.stride + j));
        a.out[j] = static_cast<float>(sum);
    }
}

namespace {

constexpr double kRootTwoOverPi = 0.79788456080286535588, kCubic = 0.044715;
constexpr double kRootHalf = 0.70710678118654752440, kRootTwoPi = 2.50662827463100050242;

double gelu(double x, bool tanh_form) {
    // 0.5 (1 + tanh u) = 1 / (1 + exp(-2 u)), which does not cancel where x is far below 0.
    if (tanh_form) return x / (1.0 + std::exp(-2.0 * kRootTwoOverPi * (x + kCubic * x * x * x)));
    return 0.5 * x * std::erfc(-x * kRootHalf);
}

double gelu_slope(double x, bool tanh_form) {
    if (!tanh_form)
        return 0.5 * std::erfc(-x * kRootHalf) + x * std::exp(-0.5 * x * x) / kRootTwoPi;
    const double t = std::tanh(kRootTwoOverPi * (x + kCubic * x * x * x));
    const double du = kRootTwoOverPi * (1.0 + 3.0 * kCubic * x * x);
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * du;
}

}  // namespace

void gelu_scalar(const GeluArgs& a) {
    for (int64_t i = 0; i < a.n; ++i) {
        const double x = static_cast<double>(a.x[i]);
        const double value = a.dy == nullptr
                                 ? gelu(x, a.tanh_form)
                                 : static_cast<double>(a.dy[i]) * gelu_slope(x, a.tanh_form);
        a.out[i] = static_cast<float>(value);
    }
}

void convert_scalar(const ConvertArgs& a) {
    const Storage from = a.to_bf16 ? Storage::kF32 : Storage::kBf16;
    const Storage to = a.to_bf16 ? Storage::kBf16 : Storage::kF32;
    for (int64_t i = 0; i < a.n; ++i) store(a.to, to, i, load(a.from, from, i));
}

void embedding_forward_scalar(const EmbeddingArgs& a, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
        for (int64_t j = 0; j < a.width; ++j)
            a.x[i * a.width + j] = a.wte[a.ids[i] * a.width + j] + a.wpe[i % a.t * a.width + j];
}

void embedding_backward_scalar(const EmbeddingArgs& a, int64_t first, int64_t last) {
    for (int64_t i = 0; i < a.rows; ++i)
        for (int64_t j = first; j < last; ++j) {
            a.dwte[a.ids[i] * a.width + j] += a.dx[i * a.width + j];
            a.dwpe[i % a.t * a.width + j] += a.dx[i * a.width + j];
        }
}

}  // namespace knlp::kernels
