#pragma once

// Causal attention in blocks of 64 queries by 64 keys, for a vector type V (internal linkage, as
// V).
//
// A pair moves (4 + 4 d_head) t floats forward, twice that backward, and takes 2 t^2 d_head
// multiply-adds forward and 5 t^2 d_head backward, half of it saved above the diagonal: the
// multiply-adds limit it. So every product runs as register tiles of V::kRows rows by up to
// V::kVectors vectors (enough independent sums to hide the latency, few enough loads to keep both
// FMA units fed) on copies in the workspace: float32 whatever the storage, rows padded with zeros
// to whole vectors, and queries and dy also transposed. Scores are kept as [key, query]: then
// maxima, sums, lse and D are vectors over queries, and no reduction crosses lanes. The blocks of
// 16 KiB of a step (two operands, scores, sums) live in L1 and L2.

#include "kernels/causal_attention.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

constexpr int64_t kBlock = 64;
constexpr float kLog2e = 1.44269504f, kLn2 = 0.693147181f;
constexpr float kMasked = -1e30f;  // 2^kMasked is 0

/// 2^x for x <= 120, 0 far below; the polynomial is off by at most 1.9e-9.
template <class V>
[[gnu::always_inline]] inline typename V::F exp2(typename V::F x) {
    if constexpr (!V::kScaleTakesAnything) x = V::max(V::set1(-250.0f), x);
    const typename V::F n = V::round(x), f = V::sub(x, n);
    typename V::F p = V::set1(0.000153458153f);
    p = V::fma(p, f, V::set1(0.00133999309f));
    p = V::fma(p, f, V::set1(0.00961848907f));
    p = V::fma(p, f, V::set1(0.0555032864f));
    p = V::fma(p, f, V::set1(0.240226462f));
    p = V::fma(p, f, V::set1(0.693147182f));
    p = V::fma(p, f, V::set1(1.0f));
    return V::scale(p, n);
}

template <class V, int kRows, int kVectors>
struct Tile {
    static constexpr int rows = kRows, vectors = kVectors;
    typename V::F sum[kRows][kVectors];

    [[gnu::always_inline]] void clear() {
        for (int r = 0; r < kRows; ++r)
            for (int v = 0; v < kVectors; ++v) sum[r][v] = V::zero();
    }
    /// += A B, A [rows, depth] with element (r, k) at a[r * lda + k], or at a[k * lda + r] with
    /// by_column; B [depth, vectors] with rows ldb apart.
    template <bool by_column>
    [[gnu::always_inline]] void multiply(const float* a, int64_t lda, const float* b, int64_t ldb,
                                         int64_t depth) {
        for (int64_t k = 0; k < depth; ++k) {
            typename V::F right[kVectors];
            for (int v = 0; v < kVectors; ++v) right[v] = V::load_aligned(b + v * V::kLanes);
            for (int r = 0; r < kRows; ++r) {
                const typename V::F left = V::set1(by_column ? a[r] : a[r * lda]);
                for (int v = 0; v < kVectors; ++v) sum[r][v] = V::fma(left, right[v], sum[r][v]);
            }
            a += by_column ? lda : 1;
            b += ldb;
        }
    }
};

/// body(first vector, tile) over vectors first .. last - 1 in tiles of nearly equal width.
template <class V, class Body>
[[gnu::always_inline]] inline void each_tile_column(int64_t first, int64_t last, Body body) {
    while (first < last) {
        const int64_t left = last - first, parts = (left + V::kVectors - 1) / V::kVectors;
        const int64_t width = (left + parts - 1) / parts;
        if (width == 1)
            body(first, Tile<V, V::kNarrowRows, 1>());
        else if (width == 2)
            body(first, Tile<V, V::kNarrowRows, 2>());
        else if (width == 3)
            body(first, Tile<V, V::kNarrowRows, 3>());
        else if constexpr (V::kVectors == 4)
            body(first, Tile<V, 4, 4>());
        first += width;
    }
}

/// One pair's sizes and the blocks of its workspace, 64-byte aligned, rows of `width` or kBlock.
struct Blocks {
    int64_t t, d, width, padded;  // tokens, d_head, d_head in whole vectors, tokens in whole blocks
    float *k, *v, *dk, *dv;       // [padded, width]
    float *q_columns, *dy_columns;            // [d, kBlock]
    float *q, *dy, *out;                      // [kBlock, width]; out is y or dq
    float *p, *ds;                            // [kBlock keys, kBlock queries]
    float *peak, *sum, *factor, *lse, *dy_y;  // [kBlock]

    Blocks(const CausalAttentionArgs& a, void* workspace) : t(a.t), d(a.d_head) {
        width = (d + 15) / 16 * 16;
        padded = (t + kBlock - 1) / kBlock * kBlock;
        float* at = static_cast<float*>(workspace);
        const auto take = [&](int64_t n) {
            float* block = at;
            at += n;
            return block;
        };
        k = take(padded * width);
        v = take(padded * width);
        dk = take(padded * width);
        dv = take(padded * width);
        q_columns = take(kBlock * width);
        dy_columns = take(kBlock * width);
        q = take(kBlock * width);
        dy = take(kBlock * width);
        out = take(kBlock * width);
        p = take(kBlock * kBlock);
        ds = take(kBlock * kBlock);
        peak = take(kBlock);
        sum = take(kBlock);
        factor = take(kBlock);
        lse = take(kBlock);
        dy_y = take(kBlock);
    }
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

/// columns [width, kBlock] = factor * rows [rows, width] transposed; `rows` counts multiples of 16.
template <class V>
void transpose_block(float* columns, const float* rows, int64_t n, int64_t width, float factor) {
    const typename V::F by = V::set1(factor);
    for (int64_t i = 0; i < (n + 15) / 16 * 16; i += V::kLanes)
        for (int64_t e = 0; e < width; e += V::kLanes) {
            typename V::F tile[V::kLanes];
            for (int64_t r = 0; r < V::kLanes; ++r)
                tile[r] = V::mul(by, V::load_aligned(rows + (i + r) * width + e));
            V::transpose(tile);
            for (int64_t r = 0; r < V::kLanes; ++r)
                V::store(columns + (e + r) * kBlock + i, typename V::All{}, tile[r]);
        }
}

/// Writes rows of d values, each multiplied by `factor` and, if given, by its own of row_factor.
template <class V, class T>
void write_rows(T* to, int64_t stride, const float* from, int64_t rows, int64_t d, int64_t width,
                float factor, const float* row_factor) {
    const int64_t whole = d / V::kLanes * V::kLanes;
    const typename V::Head rest = V::head(d - whole);
    for (int64_t i = 0; i < rows; ++i, to += stride, from += width) {
        const typename V::F by = V::set1(row_factor != nullptr ? row_factor[i] : factor);
        for (int64_t e = 0; e < whole; e += V::kLanes)
            V::store(to + e, typename V::All{}, V::mul(by, V::load_aligned(from + e)));
        if (whole < d) V::store(to + whole, rest, V::mul(by, V::load_aligned(from + whole)));
    }
}

/// One meeting of a block of queries with a block of keys.
struct Meeting {
    int64_t n_queries, n_keys;
    bool diagonal;  // both blocks start at the same token: key j sees no query before j
    int64_t query_rows() const { return (n_queries + 7) / 8 * 8; }
    int64_t key_rows() const { return (n_keys + 7) / 8 * 8; }
};

/// finish(key row, vector of queries, tile) for every tile of left . right_columns: scores, or the
/// products of dy with values. Tiles wholly above the diagonal are left out.
template <class V, class Finish>
[[gnu::always_inline]] inline void key_query_products(const Meeting& m, const float* left,
                                                      int64_t width, const float* right_columns,
                                                      int64_t d, Finish finish) {
    const int64_t vectors = (m.n_queries + V::kLanes - 1) / V::kLanes;
    for (int64_t band = 0; band < m.key_rows(); band += 8)
        each_tile_column<V>(
            m.diagonal ? band / V::kLanes : 0, vectors, [&](int64_t first, auto tile) {
                for (int64_t j = band; j < band + 8; j += tile.rows) {
                    tile.clear();
                    tile.template multiply<false>(left + j * width, width,
                                                  right_columns + first * V::kLanes, kBlock, d);
                    finish(j, first, tile);
                }
            });
}

/// Lanes of `x` whose query sees key j, `other` elsewhere; first_query is that of lane 0.
template <class V>
[[gnu::always_inline]] inline typename V::F where_seen(int64_t j, int64_t first_query,
                                                       typename V::F x, typename V::F other) {
    const typename V::F ahead =
        V::add(V::lane_numbers(), V::set1(static_cast<float>(first_query - j) + 0.5f));
    return V::select_positive(ahead, x, other);
}

/// out [rows, width] (start: =, else: row_factor * out +=) A B. by_column: A is weights transposed,
/// rows are queries and the sum is over keys; else rows are keys and the sum is over queries.
template <class V, bool by_column>
void add_product(const Meeting& m, float* out, const float* weights, const float* right,
                 int64_t width, bool start, const float* row_factor) {
    const int64_t rows = by_column ? m.query_rows() : m.key_rows();
    const int64_t depth = by_column ? m.n_keys : m.n_queries;
    each_tile_column<V>(0, width / V::kLanes, [&](int64_t first, auto tile) {
        float* to = out + first * V::kLanes;
        const float* b = right + first * V::kLanes;
        for (int64_t r = 0; r < rows; r += tile.rows) {
            // On the diagonal query r + rows - 1 sees keys up to itself, key r is seen from r on.
            int64_t from = 0, end = depth;
            if (m.diagonal && by_column && r + tile.rows < end) end = r + tile.rows;
            if (m.diagonal && !by_column) from = r < end ? r : end;
            for (int i = 0; i < tile.rows; ++i)
                for (int v = 0; v < tile.vectors; ++v) {
                    tile.sum[i][v] = V::zero();
                    if (start) continue;
                    tile.sum[i][v] = V::load_aligned(to + (r + i) * width + v * V::kLanes);
                    if (row_factor != nullptr)
                        tile.sum[i][v] = V::mul(tile.sum[i][v], V::set1(row_factor[r + i]));
                }
            tile.template multiply<by_column>(
                by_column ? weights + from * kBlock + r : weights + r * kBlock + from, kBlock,
                b + from * width, width, end - from);
            for (int i = 0; i < tile.rows; ++i)
                for (int v = 0; v < tile.vectors; ++v)
                    V::store(to + (r + i) * width + v * V::kLanes, typename V::All{},
                             tile.sum[i][v]);
        }
    });
}

/// Number of key rows whose scores with vector v of the queries were computed.
template <class V>
int64_t seen_rows(const Meeting& m, int64_t v) {
    const int64_t end = (v + 1) * V::kLanes;
    return m.diagonal && end < m.n_keys ? end : m.n_keys;
}

/// Scores of a block, in units of log 2, to p; m's maxima over keys to b.lse.
template <class V>
void block_scores(const Meeting& m, const Blocks& b, const float* k) {
    const int64_t vectors = (m.n_queries + V::kLanes - 1) / V::kLanes;
    for (int64_t v = 0; v < vectors; ++v)
        V::store(b.lse + v * V::kLanes, typename V::All{}, V::set1(kMasked));
    key_query_products<V>(
        m, k, b.width, b.q_columns, b.d, [&](int64_t j, int64_t first, auto& tile) {
            for (int v = 0; v < tile.vectors; ++v) {
                const int64_t query = (first + v) * V::kLanes;
                typename V::F peak = V::load_aligned(b.lse + query);
                for (int r = 0; r < tile.rows; ++r) {
                    typename V::F s = tile.sum[r][v];
                    if (m.diagonal) s = where_seen<V>(j + r, query, s, V::set1(kMasked));
                    peak = V::max(peak, s);
                    V::store(b.p + (j + r) * kBlock + query, typename V::All{}, s);
                }
                V::store(b.lse + query, typename V::All{}, peak);
            }
        });
}

/// Turns the scores in p into weights 2^(score - peak), with the running peak and sum of each query
/// (Milakov and Gimelshein, 2018); factor is what earlier sums have to be multiplied by.
template <class V>
void block_weights(const Meeting& m, const Blocks& b, bool start) {
    using F = typename V::F;
    constexpr typename V::All all{};
    for (int64_t v = 0; v < (m.n_queries + V::kLanes - 1) / V::kLanes; ++v) {
        const int64_t query = v * V::kLanes;
        F peak = V::load_aligned(b.lse + query), sum = V::zero(), other = V::zero();
        if (!start) {
            const F before = V::load_aligned(b.peak + query);
            peak = V::max(peak, before);
            const F factor = exp2<V>(V::sub(before, peak));
            V::store(b.factor + query, all, factor);
            sum = V::mul(V::load_aligned(b.sum + query), factor);
        }
        V::store(b.peak + query, all, peak);
        const int64_t rows = seen_rows<V>(m, v);
        float* p = b.p + query;
        int64_t j = 0;
        for (; j + 4 <= rows; j += 4, p += 4 * kBlock) {
            F weight[4];
            for (int r = 0; r < 4; ++r)
                weight[r] = exp2<V>(V::sub(V::load_aligned(p + r * kBlock), peak));
            for (int r = 0; r < 4; ++r) V::store(p + r * kBlock, all, weight[r]);
            sum = V::add(sum, V::add(weight[0], weight[1]));
            other = V::add(other, V::add(weight[2], weight[3]));
        }
        for (; j < rows; ++j, p += kBlock) {
            const F weight = exp2<V>(V::sub(V::load_aligned(p), peak));
            V::store(p, all, weight);
            sum = V::add(sum, weight);
        }
        V::store(b.sum + query, all, V::add(sum, other));
    }
}

/// log2 of x >= 2^-126: exponent and, with s = (m - 1) / (m + 1), 2 / ln 2 atanh(s) of the rest m
/// of [0.75, 1.5), to 2e-9.
template <class V>
[[gnu::always_inline]] inline typename V::F log2(typename V::F x) {
    using F = typename V::F;
    F m;
    const F exponent = V::split(x, m);
    const F one = V::set1(1.0f), s = V::div(V::sub(m, one), V::add(m, one)), s2 = V::mul(s, s);
    F p = V::set1(0.320598898f);
    p = V::fma(p, s2, V::set1(0.412198583f));
    p = V::fma(p, s2, V::set1(0.577078016f));
    p = V::fma(p, s2, V::set1(0.961796694f));
    p = V::fma(p, s2, V::set1(2.88539008f));
    return V::fma(s, p, exponent);
}

/// lse of n queries from their running peak and sum; factor = 1 / sum.
template <class V>
void finish_queries(const Blocks& b, float* lse, int64_t n) {
    for (int64_t i = 0; i < n; i += V::kLanes) {
        const typename V::F sum = V::load_aligned(b.sum + i);
        V::store(b.factor + i, typename V::All{}, V::div(V::set1(1.0f), sum));
        const typename V::F all =
            V::mul(V::add(V::load_aligned(b.peak + i), log2<V>(sum)), V::set1(kLn2));
        if (n - i >= V::kLanes)
            V::store(lse + i, typename V::All{}, all);
        else
            V::store(lse + i, V::head(n - i), all);
    }
}

template <class V, class T>
void forward_pair(const CausalAttentionArgs& a, int64_t pair, void* workspace) {
    const Blocks b(a, workspace);
    const int64_t row = pair / a.n_head * a.t, head = pair % a.n_head * a.d_head;
    const int64_t at = row * a.qkv_stride + head;
    copy_rows<V>(b.k, static_cast<const T*>(a.k) + at, a.qkv_stride, a.t, b.d, b.width);
    copy_rows<V>(b.v, static_cast<const T*>(a.v) + at, a.qkv_stride, a.t, b.d, b.width);
    for (int64_t i = 0; i < a.t; i += kBlock) {
        const int64_t n = a.t - i < kBlock ? a.t - i : kBlock;
        copy_rows<V>(b.q, static_cast<const T*>(a.q) + at + i * a.qkv_stride, a.qkv_stride, n, b.d,
                     b.width);
        transpose_block<V>(b.q_columns, b.q, n, b.width, a.softmax_scale * kLog2e);
        for (int64_t j = 0; j <= i; j += kBlock) {
            const Meeting m = {n, i == j ? n : kBlock, i == j};
            block_scores<V>(m, b, b.k + j * b.width);
            block_weights<V>(m, b, j == 0);
            add_product<V, true>(m, b.out, b.p, b.v + j * b.width, b.width, j == 0, b.factor);
        }
        finish_queries<V>(b, a.lse + pair * a.t + i, n);
        write_rows<V>(static_cast<T*>(a.y) + (row + i) * a.y_stride + head, a.y_stride, b.out, n,
                      b.d, b.width, 1.0f, b.factor);
    }
}

/// D [queries] = rowsum(dy * y) to b.dy_y, lse in units of log 2 to b.lse; 0 for queries past n.
template <class V, class T>
void query_sums(const Blocks& b, const T* y, int64_t y_stride, const float* lse, int64_t n) {
    using F = typename V::F;
    const int64_t whole = b.d / V::kLanes * V::kLanes;
    const typename V::Head rest = V::head(b.d - whole);
    for (int64_t i = 0; i < kBlock; i += V::kLanes) {
        F tile[V::kLanes];
        for (int64_t r = 0; r < V::kLanes; ++r) {
            tile[r] = V::zero();
            if (i + r >= n) continue;
            const T* row = y + (i + r) * y_stride;
            const float* dy = b.dy + (i + r) * b.width;
            for (int64_t e = 0; e < whole; e += V::kLanes)
                tile[r] =
                    V::fma(V::load(row + e, typename V::All{}), V::load_aligned(dy + e), tile[r]);
            if (whole < b.d)
                tile[r] = V::fma(V::load(row + whole, rest), V::load_aligned(dy + whole), tile[r]);
        }
        V::transpose(tile);
        for (int64_t r = 1; r < V::kLanes; ++r) tile[0] = V::add(tile[0], tile[r]);
        V::store(b.dy_y + i, typename V::All{}, tile[0]);
    }
    for (int64_t i = 0; i < kBlock; ++i) b.lse[i] = i < n ? lse[i] * kLog2e : 0.0f;
}

/// p = weights of a block, ds = p (dy . v - D).
template <class V>
void block_gradients(const Meeting& m, const Blocks& b, const float* k, const float* v) {
    constexpr typename V::All all{};
    key_query_products<V>(m, k, b.width, b.q_columns, b.d,
                          [&](int64_t j, int64_t first, auto& tile) {
                              for (int c = 0; c < tile.vectors; ++c) {
                                  const int64_t query = (first + c) * V::kLanes;
                                  const typename V::F lse = V::load_aligned(b.lse + query);
                                  for (int r = 0; r < tile.rows; ++r) {
                                      typename V::F p = exp2<V>(V::sub(tile.sum[r][c], lse));
                                      if (m.diagonal) p = where_seen<V>(j + r, query, p, V::zero());
                                      V::store(b.p + (j + r) * kBlock + query, all, p);
                                  }
                              }
                          });
    key_query_products<V>(
        m, v, b.width, b.dy_columns, b.d, [&](int64_t j, int64_t first, auto& tile) {
            for (int c = 0; c < tile.vectors; ++c) {
                const int64_t query = (first + c) * V::kLanes;
                const typename V::F dy_y = V::load_aligned(b.dy_y + query);
                for (int r = 0; r < tile.rows; ++r) {
                    const int64_t place = (j + r) * kBlock + query;
                    const typename V::F p = V::load_aligned(b.p + place);
                    V::store(b.ds + place, all, V::mul(p, V::sub(tile.sum[r][c], dy_y)));
                }
            }
        });
}

template <class V, class T>
void backward_pair(const CausalAttentionArgs& a, int64_t pair, void* workspace) {
    const Blocks b(a, workspace);
    const int64_t row = pair / a.n_head * a.t, head = pair % a.n_head * a.d_head;
    const int64_t at = row * a.qkv_stride + head, w = b.width;
    copy_rows<V>(b.k, static_cast<const T*>(a.k) + at, a.qkv_stride, a.t, b.d, w);
    copy_rows<V>(b.v, static_cast<const T*>(a.v) + at, a.qkv_stride, a.t, b.d, w);
    for (int64_t i = 0; i < a.t; i += kBlock) {
        const int64_t n = a.t - i < kBlock ? a.t - i : kBlock;
        const int64_t y_at = (row + i) * a.y_stride + head, q_at = at + i * a.qkv_stride;
        copy_rows<V>(b.q, static_cast<const T*>(a.q) + q_at, a.qkv_stride, n, b.d, w);
        copy_rows<V>(b.dy, static_cast<const T*>(a.dy) + y_at, a.y_stride, n, b.d, w);
        transpose_block<V>(b.q_columns, b.q, n, w, a.softmax_scale * kLog2e);
        transpose_block<V>(b.dy_columns, b.dy, n, w, 1.0f);
        query_sums<V>(b, static_cast<const T*>(a.y) + y_at, a.y_stride, a.lse + pair * a.t + i, n);
        for (int64_t j = 0; j <= i; j += kBlock) {
            const Meeting m = {n, i == j ? n : kBlock, i == j};
            block_gradients<V>(m, b, b.k + j * w, b.v + j * w);
            // Block i is the first to touch the keys of its own diagonal.
            add_product<V, false>(m, b.dv + j * w, b.p, b.dy, w, i == j, nullptr);
            add_product<V, false>(m, b.dk + j * w, b.ds, b.q, w, i == j, nullptr);
            add_product<V, true>(m, b.out, b.ds, b.k + j * w, w, j == 0, nullptr);
        }
        write_rows<V>(static_cast<T*>(a.dq) + q_at, a.qkv_stride, b.out, n, b.d, w, a.softmax_scale,
                      nullptr);
    }
    write_rows<V>(static_cast<T*>(a.dk) + at, a.qkv_stride, b.dk, a.t, b.d, w, a.softmax_scale,
                  nullptr);
    write_rows<V>(static_cast<T*>(a.dv) + at, a.qkv_stride, b.dv, a.t, b.d, w, 1.0f, nullptr);
}

template <class V>
void forward_pairs(const CausalAttentionArgs& a, int64_t first, int64_t last, void* workspace) {
    for (int64_t pair = first; pair < last; ++pair) {
        if (a.type == Storage::kF32)
            forward_pair<V, float>(a, pair, workspace);
        else
            forward_pair<V, uint16_t>(a, pair, workspace);
    }
}

template <class V>
void backward_pairs(const CausalAttentionArgs& a, int64_t first, int64_t last, void* workspace) {
    for (int64_t pair = first; pair < last; ++pair) {
        if (a.type == Storage::kF32)
            backward_pair<V, float>(a, pair, workspace);
        else
            backward_pair<V, uint16_t>(a, pair, workspace);
    }
}

}  // namespace
}  // namespace knlp::kernels
