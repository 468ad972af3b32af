#pragma once

#include "kernels/gemm.h"

#include <cstdint>

namespace knlp::kernels {

/// Causal softmax attention over whole sequences, forward and backward, without a T x T matrix in
/// memory. Head h of q, k, v and y are the values h * d_head .. of a token's row, rows lie
/// `*_stride` values apart: q, k, v may be thirds of the rows of c_attn's output.
///
/// Forward: y = softmax(softmax_scale q k^T, query i sees keys 0..i) v and lse [batch, n_head, t],
/// the natural log of the sum of exponentials of each query's scores.
/// Backward: from dy, y and lse to dq, dk, dv, recomputing the probabilities (Dao et al.,
/// FlashAttention, 2022, alg. 4).
///
/// With `keep` the probabilities go through dropout before they meet v: those whose bit is not set
/// are 0, the others are multiplied by keep_scale. lse is that of all.
struct CausalAttentionArgs {
    const void* q = nullptr;  // [batch, t, qkv_stride]
    const void* k = nullptr;
    const void* v = nullptr;
    void* y = nullptr;         // [batch, t, y_stride]; read by the backward pass
    float* lse = nullptr;      // [batch, n_head, t]
    const void* dy = nullptr;  // [batch, t, y_stride]
    void* dq = nullptr;        // [batch, t, qkv_stride]
    void* dk = nullptr;
    void* dv = nullptr;
    int64_t batch = 0, n_head = 0, t = 0, d_head = 0;
    int64_t qkv_stride = 0, y_stride = 0;
    float softmax_scale = 1.0f;
    Storage type = Storage::kF32;  // of everything but lse; sums are float32
    // [blocks, 64 * blocks], blocks = t / 64 rounded up, of the only pair of the call: bit b of
    // word (i, j) is set where query 64 * i + b keeps key j. Words of keys past the block of their
    // query are not read.
    const uint64_t* keep = nullptr;
    float keep_scale = 1.0f;  // 1 without keep
};

/// Does the pairs (row, head) first .. last - 1 of batch * n_head, row-major; pairs are
/// independent. workspace: causal_attention_workspace_bytes(args), 64-byte aligned, one a thread.
using CausalAttentionFn = void (*)(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                   void* workspace);
int64_t causal_attention_workspace_bytes(const CausalAttentionArgs& args);

void causal_attention_forward_scalar(const CausalAttentionArgs&, int64_t, int64_t, void*);
void causal_attention_forward_avx2(const CausalAttentionArgs&, int64_t, int64_t, void*);
void causal_attention_forward_avx512(const CausalAttentionArgs&, int64_t, int64_t, void*);
void causal_attention_backward_scalar(const CausalAttentionArgs&, int64_t, int64_t, void*);
void causal_attention_backward_avx2(const CausalAttentionArgs&, int64_t, int64_t, void*);
void causal_attention_backward_avx512(const CausalAttentionArgs&, int64_t, int64_t, void*);
/// The avx512 ones with vdpbf16ps for type kBf16: the probabilities and their gradients are rounded
/// to bfloat16 before they are multiplied. They need has_avx512_bf16().
void causal_attention_forward_avx512_bf16(const CausalAttentionArgs&, int64_t, int64_t, void*);
void causal_attention_backward_avx512_bf16(const CausalAttentionArgs&, int64_t, int64_t, void*);

}  // namespace knlp::kernels
