#pragma once

// Bodies of dropout_mask_avx2.cpp and dropout_mask_avx512.cpp for a vector type V with
// V::keep_128(stream, line, first, bits): the bits of elements first .. first + 127 of a line; and
// with what philox_10 takes: V::Words of 32 bits each, all(), multiply() and xor3() of them.
// Internal linkage, as V.

#include "kernels/cpu/simd_math.h"
#include "kernels/dropout_mask.h"

namespace knlp::kernels {
namespace {

/// Philox4x32-10 (Salmon et al., 2011) of the counters in the lanes of c, in place.
template <class V>
[[gnu::always_inline]] inline void philox_10(typename V::Words (&c)[4], const uint32_t (&key)[2]) {
    using Words = typename V::Words;
    const Words m0 = V::all(0xD2511F53u), m1 = V::all(0xCD9E8D57u);
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
        Words high0, low0, high1, low1;
        V::multiply(c[0], m0, high0, low0);
        V::multiply(c[2], m1, high1, low1);
        c[0] = V::xor3(high1, c[1], V::all(k0));
        c[2] = V::xor3(high0, c[3], V::all(k1));
        c[1] = low1;
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

template <class V, bool kAdd, class To>
void mask_lines(const DropoutMaskArgs& a, To* y) {
    const typename V::F scale = V::set1(a.scale);
    uint64_t bits[2];
    for (int64_t i = 0; i < a.lines; ++i)
        for (int64_t first = 0; first < a.width; first += 64) {
            if (first % 128 == 0)
                V::keep_128(a, a.first_line + static_cast<uint64_t>(i), first, bits);
            const uint64_t word = bits[first / 64 % 2];
            const int64_t at = i * a.width + first, left = a.width - first;
            each_vector<V>(0, left < 64 ? left : 64, [&](int64_t e, auto part) {
                const typename V::F kept = V::keep_bits(V::load(a.x + at + e, part), word >> e);
                V::store(y + at + e, part,
                         kAdd ? V::fma(kept, scale, V::load(a.add + at + e, part))
                              : V::mul(kept, scale));
            });
        }
}

template <class V, class To>
void mask_to(const DropoutMaskArgs& a, To* y) {
    if (a.add != nullptr)
        mask_lines<V, true>(a, y);
    else
        mask_lines<V, false>(a, y);
}

template <class V>
void dropout_mask(const DropoutMaskArgs& a) {
    if (a.low != nullptr)
        mask_to<V>(a, a.low);
    else
        mask_to<V>(a, a.y);
}

template <class V>
void dropout_bits(const DropoutBitsArgs& a) {
    uint64_t bits[2];
    for (int64_t i = 0; i < a.lines; ++i)
        for (int64_t word = 0; word < a.words; word += 2) {
            V::keep_128(a, a.first_line + static_cast<uint64_t>(i), 64 * word, bits);
            uint64_t* to = a.keep + i * a.words + word;
            to[0] = bits[0];
            if (word + 1 < a.words) to[1] = bits[1];
        }
}

}  // namespace
}  // namespace knlp::kernels
