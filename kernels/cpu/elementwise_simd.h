#pragma once

// Bodies of elementwise_avx2.cpp and elementwise_avx512.cpp for a vector type V. All of them move
// each value once and do little with it, so memory or the L2 limits them.
// Column sums: 1 add for 4 bytes; 8 rows at a time, so that the sums, in the L1, are read and
// written once for 8 values. Rows are often a multiple of 4 KiB apart and then share one set of the
// L1, which 8 of them leave room in. GELU: 8 bytes (12 with dy) and about 30 operations a value.
// Conversion: 6 bytes. Embedding: 12 bytes forward, 20 backward.

#include "kernels/cpu/simd_math.h"
#include "kernels/elementwise.h"

namespace knlp::kernels {
namespace {

template <class V, class T>
void column_sum(const ColumnSumArgs& a, int64_t first, int64_t last) {
    constexpr int64_t kRows = 8;
    using F = typename V::F;
    if (!a.add)
        each_vector<V>(first, last,
                       [&](int64_t j, auto part) { V::store(a.out + j, part, V::zero()); });
    const T* x = static_cast<const T*>(a.x);
    int64_t i = 0;
    for (; i + kRows <= a.rows; i += kRows, x += kRows * a.stride)
        each_vector<V>(first, last, [&](int64_t j, auto part) {
            F sum = V::load(x + j, part);
            for (int64_t row = 1; row < kRows; ++row)
                sum = V::add(sum, V::load(x + row * a.stride + j, part));
            V::store(a.out + j, part, V::add(V::load(a.out + j, part), sum));
        });
    for (; i < a.rows; ++i, x += a.stride)
        each_vector<V>(first, last, [&](int64_t j, auto part) {
            V::store(a.out + j, part, V::add(V::load(a.out + j, part), V::load(x + j, part)));
        });
}

template <class V>
void gelu(const GeluArgs& a) {
    if (a.dy == nullptr && a.tanh_form)
        each_vector<V>(0, a.n, [&](int64_t i, auto part) {
            V::store(a.out + i, part, gelu_tanh<V>(V::load(a.x + i, part)));
        });
    else if (a.dy == nullptr)
        each_vector<V>(0, a.n, [&](int64_t i, auto part) {
            V::store(a.out + i, part, gelu_erf_and_slope<V>(V::load(a.x + i, part)).value);
        });
    else if (a.tanh_form)
        each_vector<V>(0, a.n, [&](int64_t i, auto part) {
            const typename V::F slope = gelu_tanh_and_slope<V>(V::load(a.x + i, part)).slope;
            V::store(a.out + i, part, V::mul(V::load(a.dy + i, part), slope));
        });
    else
        each_vector<V>(0, a.n, [&](int64_t i, auto part) {
            const typename V::F slope = gelu_erf_and_slope<V>(V::load(a.x + i, part)).slope;
            V::store(a.out + i, part, V::mul(V::load(a.dy + i, part), slope));
        });
}

template <class V, class From, class To>
void convert(const ConvertArgs& a) {
    const From* from = static_cast<const From*>(a.from);
    To* to = static_cast<To*>(a.to);
    each_vector<V>(0, a.n,
                   [&](int64_t i, auto part) { V::store(to + i, part, V::load(from + i, part)); });
}

template <class V>
void embedding_forward(const EmbeddingArgs& a, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
        const float* token = a.wte + a.ids[i] * a.width;
        const float* position = a.wpe + i % a.t * a.width;
        float* x = a.x + i * a.width;
        each_vector<V>(0, a.width, [&](int64_t j, auto part) {
            V::store(x + j, part, V::add(V::load(token + j, part), V::load(position + j, part)));
        });
    }
}

template <class V>
void embedding_backward(const EmbeddingArgs& a, int64_t first, int64_t last) {
    for (int64_t i = 0; i < a.rows; ++i) {
        const float* dx = a.dx + i * a.width;
        float* token = a.dwte + a.ids[i] * a.width;
        float* position = a.dwpe + i % a.t * a.width;
        each_vector<V>(first, last, [&](int64_t j, auto part) {
            const typename V::F d = V::load(dx + j, part);
            V::store(token + j, part, V::add(V::load(token + j, part), d));
            V::store(position + j, part, V::add(V::load(position + j, part), d));
        });
    }
}

}  // namespace
}  // namespace knlp::kernels
