#pragma once

#include "kernels/gemm.h"

#include <cstdint>

namespace knlp::kernels {

/// y [rows, n] = x [rows, k] W^T + bias for few rows: W [n, k] row-major is read once, and limits
/// the speed (k * n values of w_type). Does outputs first..last-1. Sums over k are float32 in one
/// fixed order, which does not depend on rows: a row has the same bits whatever shares its batch.
struct GemvArgs {
    const float* x = nullptr;     // [rows, x_stride]
    const void* w = nullptr;      // [n, k] of w_type
    const float* bias = nullptr;  // [n] or null
    float* y = nullptr;           // [rows, y_stride]
    int64_t rows = 0, n = 0, k = 0, x_stride = 0, y_stride = 0;
    Storage w_type = Storage::kF32;
    bool add = false;  // y += instead
};
using GemvFn = void (*)(const GemvArgs& args, int64_t first, int64_t last);
void gemv_scalar(const GemvArgs& args, int64_t first, int64_t last);
void gemv_avx2(const GemvArgs& args, int64_t first, int64_t last);
void gemv_avx512(const GemvArgs& args, int64_t first, int64_t last);

/// One query a row and head over its cached keys: y = softmax(softmax_scale q k^T) v over slots
/// start[b] .. kv_len - 1. Keys and values are read once. Does the pairs (row, head) first..last-1.
struct DecodeAttentionArgs {
    const float* q = nullptr;  // [batch, q_stride], head h at h * d_head
    const void* k = nullptr;   // [batch, capacity, n_head * d_head] of kv_type
    const void* v = nullptr;
    float* y = nullptr;              // [batch, n_head * d_head]
    const int64_t* start = nullptr;  // [batch], or null: 0
    int64_t batch = 0, n_head = 0, d_head = 0, kv_len = 0, capacity = 0, q_stride = 0;
    float softmax_scale = 1.0f;
    Storage kv_type = Storage::kF32;
};
/// workspace: (kv_len + 64) floats, 64-byte aligned, one for each thread
using DecodeAttentionFn = void (*)(const DecodeAttentionArgs& args, int64_t first, int64_t last,
                                   float* workspace);
void decode_attention_scalar(const DecodeAttentionArgs&, int64_t, int64_t, float*);
void decode_attention_avx2(const DecodeAttentionArgs&, int64_t, int64_t, float*);
void decode_attention_avx512(const DecodeAttentionArgs&, int64_t, int64_t, float*);

}  // namespace knlp::kernels
