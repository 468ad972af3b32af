#pragma once

// Body of cross_entropy_avx2.cpp and cross_entropy_avx512.cpp for a vector type V. Reads a row of
// logits twice and writes it once: 12 bytes and about 35 operations a value. A row of a vocabulary
// of 50k fits the L2, so only the first pass waits for memory. That pass goes by blocks of 1024
// values, kept in the L1 between finding the largest and adding up the exponentials.

#include "kernels/cpu/simd_math.h"
#include "kernels/cross_entropy.h"

namespace knlp::kernels {
namespace {

struct RowSum {
    float shift = 0;  // what is subtracted from logits
    double sum = 0;   // of exp(logit - shift)
};

template <class V>
[[gnu::always_inline]] inline RowSum sum_of_exponentials(const float* x, int64_t n) {
    using F = typename V::F;
    constexpr int64_t kBlock = 1024;
    const float lowest = -__builtin_inff();
    float largest = lowest;
    RowSum row;
    for (int64_t begin = 0; begin < n; begin += kBlock) {
        const int64_t end = begin + kBlock < n ? begin + kBlock : n;
        F peak = V::set1(lowest);
        each_vector<V>(begin, end, [&](int64_t j, auto part) {
            peak = V::max(V::load_or(V::set1(lowest), x + j, part), peak);
        });
        const float block_largest = V::largest(peak);
        if (block_largest > largest) {
            row.sum *= static_cast<double>(V::first(exp<V>(V::set1(largest - block_largest))));
            largest = row.shift = block_largest;
        }
        const F shift = V::set1(row.shift);
        F sum = V::zero();
        each_vector<V>(begin, end, [&](int64_t j, auto part) {
            sum = V::add(sum, exp<V>(V::sub(V::load_or(V::set1(lowest), x + j, part), shift)));
        });
        row.sum += static_cast<double>(V::sum(sum));
    }
    return row;
}

template <class V, class To>
[[gnu::always_inline]] inline void write_zeros(To* to, int64_t first, int64_t last) {
    each_vector<V>(first, last, [&](int64_t j, auto part) { V::store(to + j, part, V::zero()); });
}

/// share * (softmax - one hot) of a row, 0 in the padding. `to` may be the row of logits itself.
template <class V, class To>
[[gnu::always_inline]] inline void write_gradient(const CrossEntropyArgs& a, const float* x, To* to,
                                                  const RowSum& row, int64_t target, float share) {
    using F = typename V::F;
    const F shift = V::set1(row.shift);
    const F factor = V::set1(static_cast<float>(static_cast<double>(share) / row.sum));
    const F at_target = V::mul(exp<V>(V::sub(V::set1(x[target]), shift)), factor);
    each_vector<V>(0, a.vocab_size, [&](int64_t j, auto part) {
        V::store(to + j, part, V::mul(exp<V>(V::sub(V::load(x + j, part), shift)), factor));
    });
    V::store(to + target, V::head(1), V::sub(at_target, V::set1(share)));
    write_zeros<V>(to, a.vocab_size, a.columns);
}

template <class V, class To>
void cross_entropy_into(const CrossEntropyArgs& a, To* gradient, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
        const float* x = a.logits + i * a.columns;
        To* to = gradient + i * a.columns;
        const int64_t target = a.targets[i];
        if (target < 0) {
            a.nll[i] = 0.0f;
            if (a.with_gradient) write_zeros<V>(to, 0, a.columns);
            continue;
        }
        const RowSum row = sum_of_exponentials<V>(x, a.vocab_size);
        // One logarithm a row: libm's, in double.
        a.nll[i] = static_cast<float>(__builtin_log(row.sum) + static_cast<double>(row.shift) -
                                      static_cast<double>(x[target]));
        const float share = a.share != nullptr ? a.share[i] : 1.0f;
        if (a.with_gradient) write_gradient<V>(a, x, to, row, target, share);
    }
}

template <class V>
void cross_entropy(const CrossEntropyArgs& args, int64_t first, int64_t last) {
    if (args.gradient_bf16 != nullptr)
        cross_entropy_into<V>(args, static_cast<uint16_t*>(args.gradient_bf16), first, last);
    else
        cross_entropy_into<V>(args, args.logits, first, last);
}

}  // namespace
}  // namespace knlp::kernels
