#pragma once

#include "kernels/decode.h"

#include <cstdint>

namespace knlp::kernels {

/// The last q_len of a row's kv_len tokens over its cached keys, their own included: each as
/// decode_attention of the positions up to its own. Keys and values are read once a head. The bits
/// of a query do not depend on which others are in its chunk.
struct ChunkAttentionArgs {
    const float* q = nullptr;  // [q_len, q_stride], head h at h * d_head
    const void* kv = nullptr;  // [cache.row()] of cache.type: of this row alone
    float* y = nullptr;        // [q_len, n_head * d_head]
    CacheLayout cache;
    int64_t q_len = 0, kv_len = 0, q_stride = 0;  // q_len <= kv_len
    float softmax_scale = 1.0f;
};
/// Does heads first .. last - 1, which are independent. workspace:
/// chunk_attention_workspace_bytes(kv_len, d_head), 64-byte aligned, one a thread.
using ChunkAttentionFn = void (*)(const ChunkAttentionArgs& args, int64_t first, int64_t last,
                                  void* workspace);
/// About 16 kv_len d_head, whatever q_len; grows with kv_len.
int64_t chunk_attention_workspace_bytes(int64_t kv_len, int64_t d_head);

void chunk_attention_scalar(const ChunkAttentionArgs&, int64_t, int64_t, void*);
void chunk_attention_avx2(const ChunkAttentionArgs&, int64_t, int64_t, void*);
void chunk_attention_avx512(const ChunkAttentionArgs&, int64_t, int64_t, void*);

}  // namespace knlp::kernels
