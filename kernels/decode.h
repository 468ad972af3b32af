#pragma once

#include "kernels/gemm.h"

#include <cstdint>

namespace knlp::kernels {

/// Where weights are asked into ahead of their use. Matters for speed alone, and processors differ.
enum class Fetch : uint8_t { kFirstCache, kSecondCache };

/// y [rows, n] = x [rows, k] W^T + bias for few rows: W [n, k] row-major is read once, and limits
/// the speed (k * n values of w_type). With bfloat16 weights x is rounded to bfloat16 (nearest
/// even) as well, as a matrix product of many rows has it. Does outputs first..last-1. Sums over k
/// are float32 in one fixed order, which does not depend on rows: a row has the same bits whatever
/// shares its batch.
struct GemvArgs {
    const float* x = nullptr;     // [rows, x_stride]
    const void* w = nullptr;      // [n, k] of w_type
    const float* bias = nullptr;  // [n] or null
    float* y = nullptr;           // [rows, y_stride]
    int64_t rows = 0, n = 0, k = 0, x_stride = 0, y_stride = 0;
    Storage w_type = Storage::kF32;
    Fetch fetch = Fetch::kFirstCache;
    bool add = false;  // y += instead
};
/// workspace: for the rounded x, 64-byte aligned, one for each thread
using GemvFn = void (*)(const GemvArgs& args, int64_t first, int64_t last, void* workspace);
void gemv_scalar(const GemvArgs&, int64_t first, int64_t last, void* workspace);
void gemv_avx2(const GemvArgs&, int64_t first, int64_t last, void* workspace);
void gemv_avx512(const GemvArgs&, int64_t first, int64_t last, void* workspace);
void gemv_avx512_bf16(const GemvArgs&, int64_t first, int64_t last, void* workspace);
inline constexpr int64_t kMostGemvRows = 16;  // that meet the weights together
constexpr int64_t gemv_workspace_bytes(int64_t rows, int64_t k) {
    return (rows < kMostGemvRows ? rows : kMostGemvRows) * (k * 4 + 64);
}

/// Where keys and values lie in a cache: [rows, n_head / group, blocks, group, key or value,
/// positions of the block, d_head]. The last block has what is left of the capacity. A thread's
/// heads of a row are read front to back when they are whole groups; `group` divides n_head.
struct CacheLayout {
    int64_t capacity = 0, n_head = 0, d_head = 0, group = 1;  // capacity: positions of a row
    Storage type = Storage::kF32;

    [[gnu::always_inline]] int64_t block() const { return type == Storage::kF32 ? 32 : 64; }
    [[gnu::always_inline]] int64_t row() const { return capacity * 2 * n_head * d_head; }
    /// Values between a key of the block at `first` and the value of the same position.
    [[gnu::always_inline]] int64_t values(int64_t first) const {
        return (capacity - first < block() ? capacity - first : block()) * d_head;
    }
    /// Values from the first key of a row to the head's first one of the block at `first`.
    [[gnu::always_inline]] int64_t keys(int64_t head, int64_t first) const {
        return ((head - head % group) * capacity + first * group) * 2 * d_head +
               head % group * 2 * values(first);
    }
};

/// One query a row and head over its cached keys: y = softmax(softmax_scale q k^T) v over positions
/// 0 .. kv_len - 1. Keys and values are read once. Does the pairs (row, head) first..last-1.
struct DecodeAttentionArgs {
    const float* q = nullptr;  // [batch, q_stride], head h at h * d_head
    const void* kv = nullptr;  // [batch, cache.row()] of cache.type
    float* y = nullptr;        // [batch, n_head * d_head]
    CacheLayout cache;
    int64_t batch = 0, kv_len = 0, q_stride = 0;
    float softmax_scale = 1.0f;
};
/// workspace: (kv_len + 64) floats, 64-byte aligned, one for each thread
using DecodeAttentionFn = void (*)(const DecodeAttentionArgs& args, int64_t first, int64_t last,
                                   float* workspace);
void decode_attention_scalar(const DecodeAttentionArgs&, int64_t, int64_t, float*);
void decode_attention_avx2(const DecodeAttentionArgs&, int64_t, int64_t, float*);
void decode_attention_avx512(const DecodeAttentionArgs&, int64_t, int64_t, float*);

}  // namespace knlp::kernels
