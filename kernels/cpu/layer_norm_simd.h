#pragma once

// Bodies of layer_norm_avx2.cpp and layer_norm_avx512.cpp for a vector type V. Y and D are the
// stored forms of y and dy: float or the bits of bfloat16 (uint16_t).
//
// Forward: 4 bytes read and sizeof(Y) written a value, about 6 operations. The row is summed, its
// deviations are squared and it is written, three passes of which only the first leaves the L1.
// Backward: 4 + sizeof(D) bytes read, 4 written (4 more read with add, sizeof(Y) written with
// y), about 14 operations, in two passes over two rows at a time, which stay in the L1 as dweight
// and dbias do. Memory limits both directions.

#include "kernels/cpu/simd_math.h"
#include "kernels/layer_norm.h"

namespace knlp::kernels {
namespace {

/// Sum of term(j, part) over a row, in four sums that hide the latency of an addition.
template <class V, class Term>
[[gnu::always_inline]] inline float sum_over(int64_t width, Term term) {
    using All = typename V::All;
    constexpr int64_t n = V::kLanes;
    typename V::F s0 = V::zero(), s1 = s0, s2 = s0, s3 = s0;
    int64_t j = 0;
    for (; j + 4 * n <= width; j += 4 * n) {
        s0 = V::add(s0, term(j, All{}));
        s1 = V::add(s1, term(j + n, All{}));
        s2 = V::add(s2, term(j + 2 * n, All{}));
        s3 = V::add(s3, term(j + 3 * n, All{}));
    }
    each_vector<V>(j, width, [&](int64_t i, auto part) { s0 = V::add(s0, term(i, part)); });
    return V::sum(V::add(V::add(s0, s1), V::add(s2, s3)));
}

struct Statistics {
    float mean, rstd;
};

template <class V>
[[gnu::always_inline]] inline Statistics statistics(const LayerNormArgs& a, const float* x) {
    const float width = static_cast<float>(a.width);
    const float mean =
        sum_over<V>(a.width, [&](int64_t j, auto part) { return V::load(x + j, part); }) / width;
    const typename V::F m = V::set1(mean);
    const float squares = sum_over<V>(a.width, [&](int64_t j, auto part) {
        const typename V::F d = V::keep(V::sub(V::load(x + j, part), m), part);
        return V::mul(d, d);
    });
    return {mean, 1.0f / V::sqrt(squares / width + a.epsilon)};
}

template <class V, class Y>
void layer_norm_forward(const LayerNormArgs& args, int64_t first, int64_t last) {
    using F = typename V::F;
    const LayerNormArgs a = args;  // a copy, which no store can change
    for (int64_t row = first; row < last; ++row) {
        const float* x = a.x + row * a.width;
        const Statistics found =
            a.from_statistics ? Statistics{a.mean[row], a.rstd[row]} : statistics<V>(a, x);
        if (!a.from_statistics) {
            a.mean[row] = found.mean;
            a.rstd[row] = found.rstd;
        }
        if (a.y == nullptr) continue;
        Y* y = static_cast<Y*>(a.y) + row * a.width;
        const F m = V::set1(found.mean), r = V::set1(found.rstd);
        each_vector<V>(0, a.width, [&](int64_t j, auto part) {
            const F normal = V::mul(V::sub(V::load(x + j, part), m), r);
            const F shift = a.bias != nullptr ? V::load(a.bias + j, part) : V::zero();
            V::store(y + j, part, V::fma(normal, V::load(a.weight + j, part), shift));
        });
    }
}

/// One row of the backward pass.
template <class V, class Y, class D>
struct BackwardRow {
    using F = typename V::F;
    const float* x;
    const D* dy;
    Y* y;
    float* dx;
    const float* add;
    F m, r;
    float sum = 0, product = 0;
    BackwardRow(const LayerNormArgs& a, int64_t row)
        : x(a.x + row * a.width),
          dy(static_cast<const D*>(a.dy) + row * a.width),
          y(static_cast<Y*>(a.y) + (a.y != nullptr ? row * a.width : 0)),
          dx(a.dx + row * a.width),
          add(a.add != nullptr ? a.add + row * a.width : nullptr),
          m(V::set1(a.mean[row])),
          r(V::set1(a.rstd[row])) {}
};

/// Adds up what dx needs of `count` rows together: dweight and dbias are read and written once for
/// all of them.
template <int count, bool with_y, class V, class Row>
[[gnu::always_inline]] inline void sum_rows(const LayerNormArgs& args, Row (&rows)[count]) {
    using F = typename V::F;
    const LayerNormArgs a = args;  // a copy, which no store can change
    F sum[count], product[count];
    for (int i = 0; i < count; ++i) sum[i] = product[i] = V::zero();
    each_vector<V>(0, a.width, [&](int64_t j, auto part) {
        const F w = V::load(a.weight + j, part);
        F dweight = V::load(a.dweight + j, part);
        F dbias = a.dbias != nullptr ? V::load(a.dbias + j, part) : V::zero();
#pragma GCC unroll 2
        for (int i = 0; i < count; ++i) {
            const F normal = V::mul(V::sub(V::load(rows[i].x + j, part), rows[i].m), rows[i].r);
            const F d = V::load(rows[i].dy + j, part), g = V::mul(d, w);
            sum[i] = V::add(sum[i], g);
            // Past the row's end g is 0 and normal finite, so the rest of a vector adds nothing.
            product[i] = V::fma(g, normal, product[i]);
            dweight = V::fma(d, normal, dweight);
            dbias = V::add(dbias, d);
            if (!with_y) continue;
            const F shift = a.bias != nullptr ? V::load(a.bias + j, part) : V::zero();
            V::store(rows[i].y + j, part, V::fma(normal, w, shift));
        }
        V::store(a.dweight + j, part, dweight);
        if (a.dbias != nullptr) V::store(a.dbias + j, part, dbias);
    });
    for (int i = 0; i < count; ++i) {
        rows[i].sum = V::sum(sum[i]);
        rows[i].product = V::sum(product[i]);
    }
}

template <bool add, class V, class Row>
[[gnu::always_inline]] inline void write_dx(const LayerNormArgs& a, const Row row) {
    using F = typename V::F;
    const float* weight = a.weight;
    const int64_t width = a.width;
    const float share = 1.0f / static_cast<float>(width);
    const F mean_g = V::set1(row.sum * share);
    const F mean_product = V::set1(row.product * share);
    each_vector<V>(0, width, [&](int64_t j, auto part) {
        const F normal = V::mul(V::sub(V::load(row.x + j, part), row.m), row.r);
        const F g = V::mul(V::load(row.dy + j, part), V::load(weight + j, part));
        const F rest = V::fnma(normal, mean_product, V::sub(g, mean_g));
        V::store(row.dx + j, part,
                 add ? V::fma(row.r, rest, V::load(row.add + j, part)) : V::mul(row.r, rest));
    });
}

template <int count, class V, class Y, class D>
[[gnu::always_inline]] inline void backward_rows(const LayerNormArgs& a,
                                                 BackwardRow<V, Y, D> (&rows)[count]) {
    if (a.y != nullptr)
        sum_rows<count, true, V>(a, rows);
    else
        sum_rows<count, false, V>(a, rows);
    for (const BackwardRow<V, Y, D>& row : rows) {
        if (a.add != nullptr)
            write_dx<true, V>(a, row);
        else
            write_dx<false, V>(a, row);
    }
}

template <class V, class Y, class D>
void layer_norm_backward(const LayerNormArgs& a, int64_t first, int64_t last) {
    using Row = BackwardRow<V, Y, D>;
    int64_t row = first;
    for (; row + 2 <= last; row += 2) {
        Row pair[2] = {Row(a, row), Row(a, row + 1)};
        backward_rows<2, V, Y, D>(a, pair);
    }
    if (row < last) {
        Row single[1] = {Row(a, row)};
        backward_rows<1, V, Y, D>(a, single);
    }
}

}  // namespace
}  // namespace knlp::kernels
