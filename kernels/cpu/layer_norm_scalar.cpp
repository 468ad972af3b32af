#include "kernels/layer_norm.h"

#include "kernels/cpu/scalar.h"

#include <cmath>

namespace knlp::kernels {

namespace {

void statistics(const LayerNormArgs& a, int64_t row) {
    const float* x = a.x + row * a.width;
    double sum = 0.0, squares = 0.0;
    for (int64_t j = 0; j < a.width; ++j) sum += static_cast<double>(x[j]);
    const double mean = sum / static_cast<double>(a.width);
    for (int64_t j = 0; j < a.width; ++j) {
        const double d = static_cast<double>(x[j]) - mean;
        squares += d * d;
    }
    const double variance = squares / static_cast<double>(a.width);
    a.mean[row] = static_cast<float>(mean);
    a.rstd[row] = static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(a.epsilon)));
}

double normal_value(const LayerNormArgs& a, int64_t row, int64_t j) {
    const double deviation =
        static_cast<double>(a.x[row * a.width + j]) - static_cast<double>(a.mean[row]);
    return deviation * static_cast<double>(a.rstd[row]);
}

void write_y(const LayerNormArgs& a, int64_t row) {
    for (int64_t j = 0; j < a.width; ++j) {
        const double shift = a.bias != nullptr ? static_cast<double>(a.bias[j]) : 0.0;
        const double y = normal_value(a, row, j) * static_cast<double>(a.weight[j]) + shift;
        store(a.y, a.y_type, row * a.width + j, static_cast<float>(y));
    }
}

double incoming(const LayerNormArgs& a, int64_t row, int64_t j) {
    return static_cast<double>(load(a.dy, a.dy_type, row * a.width + j));
}

}  // namespace

void layer_norm_forward_scalar(const LayerNormArgs& a, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
        if (!a.from_statistics) statistics(a, row);
        if (a.y != nullptr) write_y(a, row);
    }
}

void layer_norm_backward_scalar(const LayerNormArgs& a, int64_t first, int64_t last) {
    for (int64_t j = 0; j < a.width; ++j) {
        double weight = 0.0, bias = 0.0;
        for (int64_t row = first; row < last; ++row) {
            weight += incoming(a, row, j) * normal_value(a, row, j);
            bias += incoming(a, row, j);
        }
        a.dweight[j] = static_cast<float>(static_cast<double>(a.dweight[j]) + weight);
        if (a.dbias != nullptr)
            a.dbias[j] = static_cast<float>(static_cast<double>(a.dbias[j]) + bias);
    }
    const double width = static_cast<double>(a.width);
    for (int64_t row = first; row < last; ++row) {
        if (a.y != nullptr) write_y(a, row);
        double sum = 0.0, product = 0.0;
        for (int64_t j = 0; j < a.width; ++j) {
            const double g = incoming(a, row, j) * static_cast<double>(a.weight[j]);
            sum += g;
            product += g * normal_value(a, row, j);
        }
        for (int64_t j = 0; j < a.width; ++j) {
            const int64_t at = row * a.width + j;
            const double add = a.add != nullptr ? static_cast<double>(a.add[at]) : 0.0;
            const double g = incoming(a, row, j) * static_cast<double>(a.weight[j]);
            const double value = static_cast<double>(a.rstd[row]) *
                                 (g - sum / width - normal_value(a, row, j) * product / width);
            a.dx[at] = static_cast<float>(add + value);
        }
    }
}

}  // namespace knlp::kernels
