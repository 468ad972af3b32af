#pragma once

// What the blocks of causal_attention_simd.h are made of: register tiles of products, powers and
// logarithms of vectors, rows in and out. V has internal linkage, hence these too.

#include <cstdint>

namespace knlp::kernels {
namespace {

constexpr int64_t kBlock = 64;  // queries, and keys, of a block
constexpr float kLog2e = 1.44269504f, kLn2 = 0.693147181f;

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

/// Sums of kRows rows by kVectors vectors of a product, in registers.
template <class V, int kRows, int kVectors>
struct Tile {
    static constexpr int rows = kRows, vectors = kVectors;
    typename V::F sum[kRows][kVectors];

    [[gnu::always_inline]] void clear() {
        for (int r = 0; r < kRows; ++r)
            for (int v = 0; v < kVectors; ++v) sum[r][v] = V::zero();
    }
    /// += A B, A [rows, depth] with word (r, k) at a[r * lda + k], or at a[k * lda + r] with
    /// by_column; B [depth, vectors] with rows ldb apart. A word is what V::multiply_add takes:
    /// one float32, or two bfloat16 that are neighbours along the depth.
    template <bool by_column>
    [[gnu::always_inline]] void multiply(const float* a, int64_t lda, const float* b, int64_t ldb,
                                         int64_t depth) {
        for (int64_t k = 0; k < depth; ++k) {
            typename V::F right[kVectors];
            for (int v = 0; v < kVectors; ++v) right[v] = V::load_aligned(b + v * V::kLanes);
            for (int r = 0; r < kRows; ++r) {
                const typename V::F left = V::set1(by_column ? a[r] : a[r * lda]);
                for (int v = 0; v < kVectors; ++v)
                    sum[r][v] = V::multiply_add(sum[r][v], left, right[v]);
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

/// One meeting of a block of queries with a block of keys: query i sees the keys up to i + ahead.
struct Meeting {
    int64_t n_queries, n_keys;
    int64_t ahead;  // of the first key the first query is
    /// Not every query sees all keys, of which there may be fewer than a block only then.
    bool masked() const { return ahead < kBlock - 1; }
    /// The first query that sees key j.
    int64_t first_query(int64_t j) const { return masked() && j > ahead ? j - ahead : 0; }
    /// Number of keys that one of the queries before `end` sees.
    int64_t keys_before(int64_t end) const {
        const int64_t keys = end + ahead > 0 ? end + ahead : 0;
        return masked() && keys < n_keys ? keys : n_keys;
    }
    int64_t query_rows() const { return (n_queries + 7) / 8 * 8; }
    int64_t key_rows() const { return (n_keys + 7) / 8 * 8; }
};

/// finish(key row, vector of queries, tile) for every tile of left . right_columns over `depth`
/// words: scores, or the products of dy with values. Tiles of queries that see none of their keys
/// are left out.
template <class V, class Finish>
[[gnu::always_inline]] inline void key_query_products(const Meeting& m, const float* left,
                                                      int64_t lda, const float* right_columns,
                                                      int64_t depth, Finish finish) {
    const int64_t vectors = (m.n_queries + V::kLanes - 1) / V::kLanes;
    for (int64_t band = 0; band < m.key_rows(); band += 8)
        each_tile_column<V>(
            m.first_query(band) / V::kLanes, vectors, [&](int64_t first, auto tile) {
                for (int64_t j = band; j < band + 8; j += tile.rows) {
                    tile.clear();
                    tile.template multiply<false>(left + j * lda, lda,
                                                  right_columns + first * V::kLanes, kBlock, depth);
                    finish(j, first, tile);
                }
            });
}

/// Lanes of `x` whose query sees key j, `other` elsewhere; first_query is that of lane 0.
template <class V>
[[gnu::always_inline]] inline typename V::F where_seen(const Meeting& m, int64_t j,
                                                       int64_t first_query, typename V::F x,
                                                       typename V::F other) {
    const typename V::F after =
        V::add(V::lane_numbers(), V::set1(static_cast<float>(first_query + m.ahead - j) + 0.5f));
    return V::select_positive(after, x, other);
}

/// out [rows, width] (start: =, else: row_factor * out +=) A B. by_column: A is weights transposed,
/// rows are queries and the sum is over keys; else rows are keys and the sum is over queries. The
/// words of `weights` and `right` hold V::kPerWord keys (by_column) or queries.
template <class V, bool by_column>
void add_product(const Meeting& m, float* out, const float* weights, const float* right,
                 int64_t width, bool start, const float* row_factor) {
    constexpr int64_t lda = by_column ? kBlock : kBlock / V::kPerWord;
    const int64_t rows = by_column ? m.query_rows() : m.key_rows();
    const int64_t depth = by_column ? m.n_keys : m.n_queries;
    each_tile_column<V>(0, width / V::kLanes, [&](int64_t first, auto tile) {
        float* to = out + first * V::kLanes;
        const float* b = right + first * V::kLanes;
        for (int64_t r = 0; r < rows; r += tile.rows) {
            int64_t from = 0, end = depth;
            if (by_column) end = m.keys_before(r + tile.rows);
            if (!by_column) from = m.first_query(r) < end ? m.first_query(r) : end;
            from /= V::kPerWord;
            end = (end + V::kPerWord - 1) / V::kPerWord;
            for (int i = 0; i < tile.rows; ++i)
                for (int v = 0; v < tile.vectors; ++v) {
                    tile.sum[i][v] = V::zero();
                    if (start) continue;
                    tile.sum[i][v] = V::load_aligned(to + (r + i) * width + v * V::kLanes);
                    if (row_factor != nullptr)
                        tile.sum[i][v] = V::mul(tile.sum[i][v], V::set1(row_factor[r + i]));
                }
            tile.template multiply<by_column>(
                by_column ? weights + from * lda + r : weights + r * lda + from, lda,
                b + from * width, width, end - from);
            for (int i = 0; i < tile.rows; ++i)
                for (int v = 0; v < tile.vectors; ++v)
                    V::store(to + (r + i) * width + v * V::kLanes, typename V::All{},
                             tile.sum[i][v]);
        }
    });
}

/// columns [width, kBlock] = rows [rows, width] transposed; `n` rows, up to a multiple of 16.
template <class V>
void transpose_block(float* columns, const float* rows, int64_t n, int64_t width) {
    for (int64_t i = 0; i < (n + 15) / 16 * 16; i += V::kLanes)
        for (int64_t e = 0; e < width; e += V::kLanes) {
            typename V::F tile[V::kLanes];
            for (int64_t r = 0; r < V::kLanes; ++r)
                tile[r] = V::load_aligned(rows + (i + r) * width + e);
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

}  // namespace
}  // namespace knlp::kernels
