#pragma once

#include "kernels/gemm.h"

#include <cstdint>

namespace knlp::kernels {

/// Layer norm over rows of `width`: y = (x - mean) * rstd * weight + bias, rstd = 1 / sqrt(variance
/// + epsilon), variance without Bessel's correction (Ba et al., 2016).
///
/// Forward, rows first..last-1: reads x once, writes y (y_type), mean and rstd. y null: statistics
/// only. from_statistics: mean and rstd are read instead of found.
/// Backward, the same rows: dx (with add: add + it) from dy, x and the statistics; sums of
/// dweight and dbias over these rows are added to dweight and dbias, which are the caller's own for
/// each part (he adds the parts up in a fixed order). y null, or receives the forward's y again,
/// which the product for the weight gradient of the next layer reads: no pass of its own. dx may be
/// dy (float32).
struct LayerNormArgs {
    const float* x = nullptr;       // [rows, width]
    const float* weight = nullptr;  // [width]
    const float* bias = nullptr;    // [width] or null
    void* y = nullptr;              // [rows, width] of y_type
    float* mean = nullptr;          // [rows]
    float* rstd = nullptr;          // [rows]
    const void* dy = nullptr;       // [rows, width] of dy_type
    float* dx = nullptr;            // [rows, width]
    const float* add = nullptr;     // [rows, width] or null; may be dx
    float* dweight = nullptr;       // [width]
    float* dbias = nullptr;         // [width] or null
    int64_t width = 0;
    float epsilon = 1e-5f;
    bool from_statistics = false;
    Storage y_type = Storage::kF32, dy_type = Storage::kF32;
};
using LayerNormFn = void (*)(const LayerNormArgs& args, int64_t first, int64_t last);

void layer_norm_forward_scalar(const LayerNormArgs& args, int64_t first, int64_t last);
void layer_norm_forward_avx2(const LayerNormArgs& args, int64_t first, int64_t last);
void layer_norm_forward_avx512(const LayerNormArgs& args, int64_t first, int64_t last);
void layer_norm_backward_scalar(const LayerNormArgs& args, int64_t first, int64_t last);
void layer_norm_backward_avx2(const LayerNormArgs& args, int64_t first, int64_t last);
void layer_norm_backward_avx512(const LayerNormArgs& args, int64_t first, int64_t last);

}  // namespace knlp::kernels
