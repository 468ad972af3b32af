#pragma once

// Body of cross_entropy_avx2.cpp and cross_entropy_avx512.cpp for a vector type V. A row of logits
// is read once from memory, by blocks that stay in the L1 between finding the largest logit and
// writing exponentials in its place; a second pass over the row, by then in the L2, scales them to
// the gradient. 16 bytes, of which 8 outside the L2, and about 20 operations a value.

#include "kernels/cpu/simd_math.h"
#include "kernels/cross_entropy.h"

namespace knlp::kernels {
namespace {

constexpr int64_t kMostBlocks = 256;

/// The exponentials of a row: those of block b are relative to shift[b].
struct RowSum {
    int64_t block = 0;         // values in a block
    float shift[kMostBlocks];  // the largest logit up to the end of the block, or 0 for -inf
    float last_shift = 0;
    double sum = 0;  // of exp(logit - last_shift)
};

/// Block sums are float32, their total is double.
template <bool write, class V>
[[gnu::always_inline]] inline void sum_exponentials(float* x, int64_t n, RowSum& row) {
    using F = typename V::F;
    const float lowest = -__builtin_inff();
    const int64_t even = (n + kMostBlocks - 1) / kMostBlocks;
    row.block = even > 1024 ? even : 1024;
    float largest = lowest;
    int64_t b = 0;
    for (int64_t begin = 0; begin < n; begin += row.block, ++b) {
        const int64_t end = begin + row.block < n ? begin + row.block : n;
        F peak = V::set1(lowest);
        each_vector<V>(begin, end, [&](int64_t j, auto part) {
            peak = V::max(V::load_or(V::set1(lowest), x + j, part), peak);
        });
        const float block_largest = V::largest(peak);
        if (block_largest > largest) {
            row.sum *= static_cast<double>(V::first(exp<V>(V::set1(largest - block_largest))));
            largest = row.last_shift = block_largest;
        }
        row.shift[b] = row.last_shift;
        const F shift = V::set1(row.last_shift);
        F sum = V::zero();
        each_vector<V>(begin, end, [&](int64_t j, auto part) {
            const F e = exp<V>(V::sub(V::load_or(V::set1(lowest), x + j, part), shift));
            sum = V::add(sum, e);
            if (write) V::store(x + j, part, e);
        });
        row.sum += static_cast<double>(V::sum(sum));
    }
}

template <class V, class To>
[[gnu::always_inline]] inline void write_zeros(To* to, int64_t first, int64_t last) {
    each_vector<V>(first, last, [&](int64_t j, auto part) { V::store(to + j, part, V::zero()); });
}

/// share * (softmax - one hot) of a row of exponentials, 0 in the padding. `to` may be the row.
template <class V, class To>
[[gnu::always_inline]] inline void write_gradient(const CrossEntropyArgs& a, const float* x, To* to,
                                                  const RowSum& row, int64_t target, float share) {
    using F = typename V::F;
    const float scale = static_cast<float>(static_cast<double>(share) / row.sum);
    const auto factor_of = [&](int64_t b) {
        return V::mul(exp<V>(V::set1(row.shift[b] - row.last_shift)), V::set1(scale));
    };
    const F at_target = V::mul(V::set1(x[target]), factor_of(target / row.block));
    int64_t b = 0;
    for (int64_t begin = 0; begin < a.vocab_size; begin += row.block, ++b) {
        const int64_t end = begin + row.block < a.vocab_size ? begin + row.block : a.vocab_size;
        const F factor = factor_of(b);
        each_vector<V>(begin, end, [&](int64_t j, auto part) {
            V::store(to + j, part, V::mul(V::load(x + j, part), factor));
        });
    }
    V::store(to + target, V::head(1), V::sub(at_target, V::set1(share)));
    write_zeros<V>(to, a.vocab_size, a.columns);
}

template <class V, class To>
void cross_entropy_into(const CrossEntropyArgs& a, To* gradient, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
        float* x = a.logits + i * a.columns;
        To* to = gradient + i * a.columns;
        const int64_t target = a.targets[i];
        if (target < 0) {
            a.nll[i] = 0.0f;
            if (a.with_gradient) write_zeros<V>(to, 0, a.columns);
            continue;
        }
        const float logit = x[target];
        RowSum row;
        if (a.with_gradient)
            sum_exponentials<true, V>(x, a.vocab_size, row);
        else
            sum_exponentials<false, V>(x, a.vocab_size, row);
        // One logarithm a row: libm's, in double.
        a.nll[i] = static_cast<float>(__builtin_log(row.sum) + static_cast<double>(row.last_shift) -
                                      static_cast<double>(logit));
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
