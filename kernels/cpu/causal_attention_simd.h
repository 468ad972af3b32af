#pragma once

// Causal attention in blocks of 64 queries by 64 keys, for a vector type V (internal linkage, as
// V).
//
// A pair moves (4 + 4 d_head) t values forward, twice that backward, and takes 2 t^2 d_head
// multiply-adds forward and 5 t^2 d_head backward, half of it saved above the diagonal: the
// multiply-adds limit it. So every product runs as register tiles of V::kNarrowRows rows by up to
// V::kVectors vectors (enough independent sums to hide the latency, few enough loads to keep both
// FMA units fed) on copies in the workspace. Scores are kept as [key, query]: then maxima, sums,
// lse and D are vectors over queries, and no reduction crosses lanes. The blocks of at most 16 KiB
// of a step (two operands, scores, sums) live in L1 and L2.
//
// Products take words: a float32 (V::kPerWord 1, whatever the storage), or two bfloat16 that are
// neighbours along the sum (2). An operand met value by value, the left one, is kept as `rows` of
// words along d; one met vector by vector as `lines`: token pairs for 2, the rows themselves for 1;
// queries and dy also as columns. With words of two the weights and their gradients are rounded to
// bfloat16 before they are multiplied; all sums are float32.

#include "kernels/causal_attention.h"

#include "kernels/cpu/causal_attention_tiles.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

constexpr float kMasked = -1e30f;  // 2^kMasked is 0

/// An operand in the forms that products take.
struct Operand {
    float* rows;   // [tokens, words]
    float* lines;  // [tokens / kPerWord, width]; is `rows` when a word holds one value
};

/// One pair's sizes and the blocks of its workspace, 64-byte aligned.
template <class V>
struct Blocks {
    int64_t t, d, width, words,
        depth;                      // tokens; d_head, in whole vectors, in words (whole vectors)
    Operand k, v;                   // of all tokens, in whole blocks
    float *dk, *dv;                 // [tokens in whole blocks, width]
    Operand q, dy;                  // of a block
    float *q_columns, *dy_columns;  // [words, kBlock]
    float* out;                     // [kBlock, width], y or dq
    float* p;                       // [kBlock keys, kBlock queries]: scores, then weights
    Operand p_words, ds_words;      // rows along queries; lines of keys, [.., kBlock]
    float *peak, *sum, *factor, *lse, *dy_y;  // [kBlock]

    Blocks(int64_t n_tokens, int64_t d_head, void* workspace)
        : t(n_tokens), d(d_head), next_(static_cast<float*>(workspace)) {
        width = (d + 15) / 16 * 16;
        words = (d + 16 * V::kPerWord - 1) / (16 * V::kPerWord) * 16;
        depth = (d + V::kPerWord - 1) / V::kPerWord;
        const int64_t tokens = (t + kBlock - 1) / kBlock * kBlock;
        k = operand(tokens);
        v = operand(tokens);
        dk = take(tokens * width);
        dv = take(tokens * width);
        q = operand(kBlock);
        dy = operand(kBlock);
        q_columns = take(words * kBlock);
        dy_columns = take(words * kBlock);
        out = take(kBlock * width);
        p = take(kBlock * kBlock);
        p_words = V::kPerWord == 1 ? Operand{p, p} : weights();
        ds_words = weights();
        peak = take(kBlock);
        sum = take(kBlock);
        factor = take(kBlock);
        lse = take(kBlock);
        dy_y = take(kBlock);
    }

private:
    float* take(int64_t n) {
        float* block = next_;
        next_ += n;
        return block;
    }
    Operand operand(int64_t tokens) {
        float* rows = take(tokens * words);
        return {rows, V::kPerWord == 1 ? rows : take(tokens / V::kPerWord * width)};
    }
    Operand weights() {
        float* rows = take(kBlock * kBlock / V::kPerWord);
        return {rows, V::kPerWord == 1 ? rows : take(kBlock * kBlock / V::kPerWord)};
    }
    float* next_;
};

/// Copies rows of d values to rows of `width`, the rest and the rows up to a multiple of 16 zero.
template <class V, class T>
void copy_rows(float* to, const T* from, int64_t stride, int64_t rows, int64_t d, int64_t width) {
    const int64_t whole = d / V::kLanes * V::kLanes;
    const typename V::Head rest = V::head(d - whole);
    for (int64_t i = 0; i < (rows + 15) / 16 * 16; ++i, to += width) {
        int64_t e = 0;
        if (i < rows) {
            const T* row = from + i * stride;
            for (; e < whole; e += V::kLanes)
                V::store(to + e, typename V::All{}, V::load(row + e, typename V::All{}));
            if (e < d) {
                V::store(to + e, typename V::All{}, V::load(row + e, rest));
                e += V::kLanes;
            }
        }
        for (; e < width; e += V::kLanes) V::store(to + e, typename V::All{}, V::zero());
    }
}

/// Copies n tokens to the forms asked for.
template <class V, class T>
void pack(const Operand& to, const T* from, int64_t stride, int64_t n, const Blocks<V>& b,
          bool as_rows, bool as_lines) {
    if constexpr (V::kPerWord == 1) {
        copy_rows<V>(to.rows, from, stride, n, b.d, b.width);
    } else {
        if (as_rows) V::copy_rows(to.rows, from, stride, n, b.d, b.words);
        if (as_lines) V::pair_rows(to.lines, from, stride, n, b.d, b.width);
    }
}

/// Number of key rows, in fours, whose scores with vector v of the queries were computed; those of
/// keys past the last are masked.
template <class V>
int64_t seen_rows(const Meeting& m, int64_t v) {
    return (m.keys_before((v + 1) * V::kLanes) + 3) / 4 * 4;
}

/// Scores of a block, in units of log 2, to p; their maxima over keys to lse.
template <class V>
void block_scores(const Meeting& m, const Blocks<V>& b, const float* k, float scale) {
    using F = typename V::F;
    constexpr typename V::All all{};
    const F unit = V::set1(scale);
    const bool masked = m.masked();
    for (int64_t query = 0; query < m.n_queries; query += V::kLanes)
        V::store(b.lse + query, all, V::set1(kMasked));
    key_query_products<V>(m, k, b.words, b.q_columns, b.depth,
                          [&](int64_t j, int64_t first, auto& tile) {
                              for (int v = 0; v < tile.vectors; ++v) {
                                  const int64_t query = (first + v) * V::kLanes;
                                  F peak = V::load_aligned(b.lse + query);
                                  for (int r = 0; r < tile.rows; ++r) {
                                      F s = V::mul(tile.sum[r][v], unit);
                                      if (masked)
                                          s = where_seen<V>(m, j + r, query, s, V::set1(kMasked));
                                      peak = V::max(peak, s);
                                      V::store(b.p + (j + r) * kBlock + query, all, s);
                                  }
                                  V::store(b.lse + query, all, peak);
                              }
                          });
}

/// Turns the scores in p into weights 2^(score - peak), with the running peak and sum of each query
/// (Milakov and Gimelshein, 2018); factor is what earlier sums have to be multiplied by. kDrop:
/// stores those only whose bits in keep [keys of the block] are set; the sum is of all.
template <class V, bool kDrop>
void block_weights(const Meeting& m, const Blocks<V>& b, bool start, const uint64_t* keep) {
    using F = typename V::F;
    constexpr typename V::All all{};
    for (int64_t query = 0; query < m.n_queries; query += V::kLanes) {
        F peak = V::load_aligned(b.lse + query), sum = V::zero(), other = V::zero();
        if (!start) {
            const F before = V::load_aligned(b.peak + query);
            peak = V::max(peak, before);
            const F factor = exp2<V>(V::sub(before, peak));
            V::store(b.factor + query, all, factor);
            sum = V::mul(V::load_aligned(b.sum + query), factor);
        }
        V::store(b.peak + query, all, peak);
        const int64_t rows = seen_rows<V>(m, query / V::kLanes);
        for (int64_t j = 0; j < rows; j += 4) {
            F weight[4];
            for (int r = 0; r < 4; ++r)
                weight[r] = exp2<V>(V::sub(V::load_aligned(b.p + (j + r) * kBlock + query), peak));
            sum = V::add(sum, V::add(weight[0], weight[1]));
            other = V::add(other, V::add(weight[2], weight[3]));
            if constexpr (kDrop)
                for (int r = 0; r < 4; ++r)
                    weight[r] = V::keep_bits(weight[r], keep[j + r] >> query);
            float* line = b.p_words.lines + j / V::kPerWord * kBlock + query;
            for (int r = 0; r < 4; r += V::kPerWord, line += kBlock) {
                if constexpr (V::kPerWord == 1)
                    V::store(line, all, weight[r]);
                else
                    V::store(line, all, V::pair(weight[r], weight[r + 1]));
            }
        }
        V::store(b.sum + query, all, V::add(sum, other));
    }
}

/// lse of n queries from their running peak and sum; factor = unit / sum.
template <class V>
void finish_queries(const Blocks<V>& b, float* lse, int64_t n, float unit) {
    for (int64_t i = 0; i < n; i += V::kLanes) {
        const typename V::F sum = V::load_aligned(b.sum + i);
        V::store(b.factor + i, typename V::All{}, V::div(V::set1(unit), sum));
        const typename V::F all =
            V::mul(V::add(V::load_aligned(b.peak + i), log2<V>(sum)), V::set1(kLn2));
        if (n - i >= V::kLanes)
            V::store(lse + i, typename V::All{}, all);
        else
            V::store(lse + i, V::head(n - i), all);
    }
}

/// The n queries in q_columns, the first of them at `position` among the keys: y / factor to out.
/// keep: words of the meeting with the first block of keys.
template <class V, bool kDrop>
void forward_queries(const Blocks<V>& b, int64_t position, int64_t n, float softmax_scale,
                     const uint64_t* keep) {
    for (int64_t j = 0; j < position + n; j += kBlock) {
        const int64_t left = position + n - j;
        const Meeting m = {n, left < kBlock ? left : kBlock, position - j};
        block_scores(m, b, b.k.rows + j * b.words, softmax_scale * kLog2e);
        block_weights<V, kDrop>(m, b, j == 0, kDrop ? keep + j : nullptr);
        add_product<V, true>(m, b.out, b.p_words.lines, b.v.lines + j / V::kPerWord * b.width,
                             b.width, j == 0, b.factor);
    }
}

/// Words of the meeting of the blocks that start at query i and key j.
inline const uint64_t* keep_at(const CausalAttentionArgs& a, int64_t i, int64_t j) {
    return a.keep + i / kBlock * ((a.t + kBlock - 1) / kBlock * kBlock) + j;
}

template <class V, class T, bool kDrop>
void forward_pair_of(const CausalAttentionArgs& a, int64_t pair, void* workspace) {
    const Blocks<V> b(a.t, a.d_head, workspace);
    const int64_t row = pair / a.n_head * a.t, head = pair % a.n_head * a.d_head;
    const int64_t at = row * a.qkv_stride + head;
    pack(b.k, static_cast<const T*>(a.k) + at, a.qkv_stride, a.t, b, true, false);
    pack(b.v, static_cast<const T*>(a.v) + at, a.qkv_stride, a.t, b, false, true);
    for (int64_t i = 0; i < a.t; i += kBlock) {
        const int64_t n = a.t - i < kBlock ? a.t - i : kBlock;
        pack(b.q, static_cast<const T*>(a.q) + at + i * a.qkv_stride, a.qkv_stride, n, b, true,
             false);
        transpose_block<V>(b.q_columns, b.q.rows, n, b.words);
        forward_queries<V, kDrop>(b, i, n, a.softmax_scale, kDrop ? keep_at(a, i, 0) : nullptr);
        finish_queries(b, a.lse + pair * a.t + i, n, a.keep_scale);
        write_rows<V>(static_cast<T*>(a.y) + (row + i) * a.y_stride + head, a.y_stride, b.out, n,
                      b.d, b.width, 1.0f, b.factor);
    }
}

template <class V, class T>
void forward_pair(const CausalAttentionArgs& a, int64_t pair, void* workspace) {
    if (a.keep != nullptr)
        forward_pair_of<V, T, true>(a, pair, workspace);
    else
        forward_pair_of<V, T, false>(a, pair, workspace);
}

/// D [queries] = rowsum(dy * y) to dy_y, lse in units of log 2 to b.lse; 0 for queries past n.
template <class V, class T>
void query_sums(const Blocks<V>& b, const T* dy, const T* y, int64_t stride, const float* lse,
                int64_t n) {
    using F = typename V::F;
    const int64_t whole = b.d / V::kLanes * V::kLanes;
    const typename V::Head rest = V::head(b.d - whole);
    for (int64_t i = 0; i < kBlock; i += V::kLanes) {
        F tile[V::kLanes];
        for (int64_t r = 0; r < V::kLanes; ++r) {
            tile[r] = V::zero();
            if (i + r >= n) continue;
            const T *left = dy + (i + r) * stride, *right = y + (i + r) * stride;
            for (int64_t e = 0; e < whole; e += V::kLanes)
                tile[r] = V::fma(V::load(left + e, typename V::All{}),
                                 V::load(right + e, typename V::All{}), tile[r]);
            if (whole < b.d)
                tile[r] =
                    V::fma(V::load(left + whole, rest), V::load(right + whole, rest), tile[r]);
        }
        V::transpose(tile);
        for (int64_t r = 1; r < V::kLanes; ++r) tile[0] = V::add(tile[0], tile[r]);
        V::store(b.dy_y + i, typename V::All{}, tile[0]);
    }
    for (int64_t i = 0; i < kBlock; ++i) b.lse[i] = i < n ? lse[i] * kLog2e : 0.0f;
}

/// Dropout of the weights in a meeting.
struct Keep {
    const uint64_t* words;  // [keys of the block]
    float scale;
};

/// Weights of a block to p and p_words, ds = p (dy . v - D) to ds_words. kDrop: of the weights
/// those that are kept, and with M the scaled mask ds = p (M dy . v - D).
template <class V, bool kDrop>
void block_gradients(const Meeting& m, const Blocks<V>& b, const float* k, const float* v,
                     float scale, const Keep& keep) {
    using F = typename V::F;
    constexpr typename V::All all{};
    constexpr int64_t row_words = kBlock / V::kPerWord;
    const F unit = V::set1(scale);
    const bool masked = m.masked();
    key_query_products<V>(
        m, k, b.words, b.q_columns, b.depth, [&](int64_t j, int64_t first, auto& tile) {
            for (int c = 0; c < tile.vectors; ++c) {
                const int64_t query = (first + c) * V::kLanes;
                const F lse = V::load_aligned(b.lse + query);
                for (int r = 0; r < tile.rows; ++r) {
                    F p = exp2<V>(V::fms(tile.sum[r][c], unit, lse));
                    if (masked) p = where_seen<V>(m, j + r, query, p, V::zero());
                    V::store(b.p + (j + r) * kBlock + query, all, p);
                    if constexpr (V::kPerWord == 2) {
                        if constexpr (kDrop) p = V::keep_bits(p, keep.words[j + r] >> query);
                        V::store_half(b.p_words.rows + (j + r) * row_words + query / 2, p);
                    }
                }
            }
        });
    key_query_products<V>(
        m, v, b.words, b.dy_columns, b.depth, [&](int64_t j, int64_t first, auto& tile) {
            for (int c = 0; c < tile.vectors; ++c) {
                const int64_t query = (first + c) * V::kLanes;
                const F dy_y = V::load_aligned(b.dy_y + query);
                for (int r = 0; r < tile.rows; ++r) {
                    const F p = V::load_aligned(b.p + (j + r) * kBlock + query);
                    if constexpr (kDrop) {
                        const uint64_t bits = keep.words[j + r] >> query;
                        tile.sum[r][c] =
                            V::mul(V::keep_bits(tile.sum[r][c], bits), V::set1(keep.scale));
                        // All of them are known now, so those kept may take their place.
                        if constexpr (V::kPerWord == 1)
                            V::store(b.p + (j + r) * kBlock + query, all, V::keep_bits(p, bits));
                    }
                    tile.sum[r][c] = V::mul(p, V::sub(tile.sum[r][c], dy_y));
                    if constexpr (V::kPerWord == 1)
                        V::store(b.ds_words.rows + (j + r) * kBlock + query, all, tile.sum[r][c]);
                    else
                        V::store_half(b.ds_words.rows + (j + r) * row_words + query / 2,
                                      tile.sum[r][c]);
                }
                if constexpr (V::kPerWord == 2)
                    for (int r = 0; r < tile.rows; r += 2)
                        V::store(b.ds_words.lines + (j + r) / 2 * kBlock + query, all,
                                 V::pair(tile.sum[r][c], tile.sum[r + 1][c]));
            }
        });
}

template <class V, class T, bool kDrop>
void backward_pair_of(const CausalAttentionArgs& a, int64_t pair, void* workspace) {
    const Blocks<V> b(a.t, a.d_head, workspace);
    const int64_t row = pair / a.n_head * a.t, head = pair % a.n_head * a.d_head;
    const int64_t at = row * a.qkv_stride + head, w = b.width;
    pack(b.k, static_cast<const T*>(a.k) + at, a.qkv_stride, a.t, b, true, true);
    pack(b.v, static_cast<const T*>(a.v) + at, a.qkv_stride, a.t, b, true, false);
    for (int64_t i = 0; i < a.t; i += kBlock) {
        const int64_t n = a.t - i < kBlock ? a.t - i : kBlock;
        const int64_t y_at = (row + i) * a.y_stride + head, q_at = at + i * a.qkv_stride;
        const T* dy = static_cast<const T*>(a.dy) + y_at;
        pack(b.q, static_cast<const T*>(a.q) + q_at, a.qkv_stride, n, b, true, true);
        pack(b.dy, dy, a.y_stride, n, b, true, true);
        transpose_block<V>(b.q_columns, b.q.rows, n, b.words);
        transpose_block<V>(b.dy_columns, b.dy.rows, n, b.words);
        query_sums(b, dy, static_cast<const T*>(a.y) + y_at, a.y_stride, a.lse + pair * a.t + i, n);
        for (int64_t j = 0; j <= i; j += kBlock) {
            const Meeting m = {n, i == j ? n : kBlock, i - j};
            block_gradients<V, kDrop>(m, b, b.k.rows + j * b.words, b.v.rows + j * b.words,
                                      a.softmax_scale * kLog2e,
                                      {kDrop ? keep_at(a, i, j) : nullptr, a.keep_scale});
            // Block i is the first to touch the keys of its own diagonal.
            add_product<V, false>(m, b.dv + j * w, b.p_words.rows, b.dy.lines, w, i == j, nullptr);
            add_product<V, false>(m, b.dk + j * w, b.ds_words.rows, b.q.lines, w, i == j, nullptr);
            add_product<V, true>(m, b.out, b.ds_words.lines, b.k.lines + j / V::kPerWord * w, w,
                                 j == 0, nullptr);
        }
        write_rows<V>(static_cast<T*>(a.dq) + q_at, a.qkv_stride, b.out, n, b.d, w, a.softmax_scale,
                      nullptr);
    }
    write_rows<V>(static_cast<T*>(a.dk) + at, a.qkv_stride, b.dk, a.t, b.d, w, a.softmax_scale,
                  nullptr);
    write_rows<V>(static_cast<T*>(a.dv) + at, a.qkv_stride, b.dv, a.t, b.d, w, a.keep_scale,
                  nullptr);
}

template <class V, class T>
void backward_pair(const CausalAttentionArgs& a, int64_t pair, void* workspace) {
    if (a.keep != nullptr)
        backward_pair_of<V, T, true>(a, pair, workspace);
    else
        backward_pair_of<V, T, false>(a, pair, workspace);
}

}  // namespace
}  // namespace knlp::kernels
