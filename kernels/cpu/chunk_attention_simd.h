#pragma once

// Attention of a chunk of queries over a cache, for a vector type V (internal linkage, as V).
//
// A head moves 2 kv_len d_head values of the cache and 2 q_len d_head of q and y, and takes
// 2 q_len kv_len d_head multiply-adds less what lies above the diagonal: these limit it from some
// ten queries on. So keys and values are copied once to the workspace, as float32 and side by side,
// and meet the queries in the blocks of causal_attention_simd.h. Blocks of keys start at multiples
// of 64 positions whatever the chunk: every query meets its keys in the same order.

#include "kernels/chunk_attention.h"

#include "kernels/cpu/causal_attention_simd.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

/// Keys and values of a head, as rows of b.k and b.v. W is what the cache holds.
template <class V, class W>
void pack_cache(const ChunkAttentionArgs& a, int64_t head, const Blocks<V>& b) {
    const int64_t block = a.cache.block();
    for (int64_t at = 0; at < a.kv_len; at += block) {
        const W* const k = static_cast<const W*>(a.kv) + a.cache.keys(head, at);
        const int64_t n = a.kv_len - at < block ? a.kv_len - at : block;
        copy_rows<V>(b.k.rows + at * b.width, k, b.d, n, b.d, b.width);
        copy_rows<V>(b.v.rows + at * b.width, k + a.cache.values(at), b.d, n, b.d, b.width);
    }
}

template <class V, class W>
void chunk_attention(const ChunkAttentionArgs& a, int64_t first, int64_t last, void* workspace) {
    const int64_t d = a.cache.d_head, y_stride = a.cache.n_head * d, before = a.kv_len - a.q_len;
    const Blocks<V> b(a.kv_len, d, workspace);
    for (int64_t head = first; head < last; ++head) {
        pack_cache<V, W>(a, head, b);
        for (int64_t i = 0; i < a.q_len; i += kBlock) {
            const int64_t n = a.q_len - i < kBlock ? a.q_len - i : kBlock;
            copy_rows<V>(b.q.rows, a.q + i * a.q_stride + head * d, a.q_stride, n, d, b.width);
            transpose_block<V>(b.q_columns, b.q.rows, n, b.words);
            forward_queries<V, false>(b, before + i, n, a.softmax_scale, nullptr);
            finish_queries(b, b.dy_y, n, 1.0f);  // nobody asks for lse
            write_rows<V>(a.y + i * y_stride + head * d, y_stride, b.out, n, d, b.width, 1.0f,
                          b.factor);
        }
    }
}

}  // namespace
}  // namespace knlp::kernels
