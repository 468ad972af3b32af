#pragma once

// Bodies of layer_norm_avx2.cpp and layer_norm_avx512.cpp for a vector type V. Y and D are the
// stored forms of y and dy: float or the bits of bfloat16 (uint16_t).
//
// Forward: 4 bytes read and sizeof(Y) written a value, about 6 operations. The row is summed, its
// deviations are squared and it is written, three passes of which only the first leaves the L1.
// Backward: 4 + sizeof(D) bytes read, 4 written (4 more read with add_dx, sizeof(Y) written with
// y), about 14 operations, in two passes. Memory limits both; dweight and dbias stay in the L1.

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

template <class V>
[[gnu::always_inline]] inline void statistics(const LayerNormArgs& a, int64_t row) {
    const float* x = a.x + row * a.width;
    const float width = static_cast<float>(a.width);
    const float mean =
        sum_over<V>(a.width, [&](int64_t j, auto part) { return V::load(x + j, part); }) / width;
    const typename V::F m = V::set1(mean);
    const float squares = sum_over<V>(a.width, [&](int64_t j, auto part) {
        const typename V::F d = V::keep(V::sub(V::load(x + j, part), m), part);
        return V::mul(d, d);
    });
    a.mean[row] = mean;
    a.rstd[row] = 1.0f / V::sqrt(squares / width + a.epsilon);
}

template <class V, class Y>
void layer_norm_forward(const LayerNormArgs& a, int64_t first, int64_t last) {
    using F = typename V::F;
    for (int64_t row = first; row < last; ++row) {
        if (!a.from_statistics) statistics<V>(a, row);
        if (a.y == nullptr) continue;
        const float* x = a.x + row * a.width;
        Y* y = static_cast<Y*>(a.y) + row * a.width;
        const F m = V::set1(a.mean[row]), r = V::set1(a.rstd[row]);
        each_vector<V>(0, a.width, [&](int64_t j, auto part) {
            const F normal = V::mul(V::sub(V::load(x + j, part), m), r);
            const F shift = a.bias != nullptr ? V::load(a.bias + j, part) : V::zero();
            V::store(y + j, part, V::fma(normal, V::load(a.weight + j, part), shift));
        });
    }
}

template <class V, class Y, class D>
void layer_norm_backward(const LayerNormArgs& a, int64_t first, int64_t last) {
    using F = typename V::F;
    const float share = 1.0f / static_cast<float>(a.width);
    for (int64_t row = first; row < last; ++row) {
        const float* x = a.x + row * a.width;
        const D* dy = static_cast<const D*>(a.dy) + row * a.width;
        Y* y = a.y != nullptr ? static_cast<Y*>(a.y) + row * a.width : nullptr;
        float* dx = a.dx + row * a.width;
        const F m = V::set1(a.mean[row]), r = V::set1(a.rstd[row]);
        F sum = V::zero(), product = V::zero();
        each_vector<V>(0, a.width, [&](int64_t j, auto part) {
            const F normal = V::mul(V::sub(V::load(x + j, part), m), r);
            const F d = V::load(dy + j, part), w = V::load(a.weight + j, part);
            const F g = V::mul(d, w);
            sum = V::add(sum, g);
            // Past the row's end g is 0 and normal finite, so the rest of a vector adds nothing.
            product = V::fma(g, normal, product);
            V::store(a.dweight + j, part, V::fma(d, normal, V::load(a.dweight + j, part)));
            if (a.dbias != nullptr)
                V::store(a.dbias + j, part, V::add(V::load(a.dbias + j, part), d));
            if (y == nullptr) return;
            const F shift = a.bias != nullptr ? V::load(a.bias + j, part) : V::zero();
            V::store(y + j, part, V::fma(normal, w, shift));
        });
        const F mean_g = V::set1(V::sum(sum) * share);
        const F mean_product = V::set1(V::sum(product) * share);
        each_vector<V>(0, a.width, [&](int64_t j, auto part) {
            const F normal = V::mul(V::sub(V::load(x + j, part), m), r);
            const F g = V::mul(V::load(dy + j, part), V::load(a.weight + j, part));
            const F rest = V::fnma(normal, mean_product, V::sub(g, mean_g));
            const F before = a.add_dx ? V::load(dx + j, part) : V::zero();
            V::store(dx + j, part, V::fma(r, rest, before));
        });
    }
}

}  // namespace
}  // namespace knlp::kernels
