#pragma once

#include "kernels/gemm.h"

#include <cstdint>

namespace knlp::kernels {

/// out[j] (=, or += with add) sum over rows of x[i, j], columns first..last-1, rows in ascending
/// order: the gradient of a bias. Column ranges are independent.
struct ColumnSumArgs {
    const void* x = nullptr;  // [rows, stride] of type
    float* out = nullptr;     // [width]
    int64_t rows = 0, stride = 0;
    Storage type = Storage::kF32;
    bool add = false;
};
using ColumnSumFn = void (*)(const ColumnSumArgs& args, int64_t first, int64_t last);
void column_sum_scalar(const ColumnSumArgs& args, int64_t first, int64_t last);
void column_sum_avx2(const ColumnSumArgs& args, int64_t first, int64_t last);
void column_sum_avx512(const ColumnSumArgs& args, int64_t first, int64_t last);

/// GELU of n values, or its gradient: dx = dy * gelu'(x). tanh form (Hendrycks & Gimpel, 2016) or
/// erf. Relative error of the vector forms against double: at most 4 units in the last place of
/// max(|gelu(x)|, 1e-6); the gradient is off by at most 8 * 2^-24 * 1.13 |dy|. `out` may be x or
/// dy.
struct GeluArgs {
    const float* x = nullptr;
    const float* dy = nullptr;  // null: forward
    float* out = nullptr;
    int64_t n = 0;
    bool tanh_form = true;
};
using GeluFn = void (*)(const GeluArgs& args);
void gelu_scalar(const GeluArgs& args);
void gelu_avx2(const GeluArgs& args);
void gelu_avx512(const GeluArgs& args);

/// Float32 to bfloat16 (nearest even, NaN stays NaN) and back.
struct ConvertArgs {
    const void* from = nullptr;
    void* to = nullptr;
    int64_t n = 0;
    bool to_bf16 = true;
};
using ConvertFn = void (*)(const ConvertArgs& args);
void convert_scalar(const ConvertArgs& args);
void convert_avx2(const ConvertArgs& args);
void convert_avx512(const ConvertArgs& args);

/// x [rows, width] = wte[id] + wpe[position of row]; and its gradient, added to the rows of dwte
/// and dwpe that occur: no dense buffer. Forward does rows first..last-1. Backward does the columns
/// first..last-1 of all rows, rows in ascending order, so that its sum has one order.
struct EmbeddingArgs {
    const int64_t* ids = nullptr;        // [rows]
    const float* wte = nullptr;          // [vocab, width]
    const float* wpe = nullptr;          // [n_ctx, width]
    float* x = nullptr;                  // [rows, width]
    const float* dx = nullptr;           // [rows, width]
    float* dwte = nullptr;               // [vocab, width]
    float* dwpe = nullptr;               // [n_ctx, width]
    int64_t rows = 0, width = 0, t = 0;  // row i has position i mod t
};
using EmbeddingFn = void (*)(const EmbeddingArgs& args, int64_t first, int64_t last);
void embedding_forward_scalar(const EmbeddingArgs& args, int64_t first, int64_t last);
void embedding_forward_avx2(const EmbeddingArgs& args, int64_t first, int64_t last);
void embedding_forward_avx512(const EmbeddingArgs& args, int64_t first, int64_t last);
void embedding_backward_scalar(const EmbeddingArgs& args, int64_t first, int64_t last);
void embedding_backward_avx2(const EmbeddingArgs& args, int64_t first, int64_t last);
void embedding_backward_avx512(const EmbeddingArgs& args, int64_t first, int64_t last);

}  // namespace knlp::kernels
