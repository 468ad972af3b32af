#pragma once

// Bodies of dropout_mask_avx2.cpp and dropout_mask_avx512.cpp for a vector type V with
// V::keep_128(stream, line, first, bits): the bits of elements first .. first + 127 of a line.
// Internal linkage, as V.

#include "kernels/cpu/simd_math.h"
#include "kernels/dropout_mask.h"

namespace knlp::kernels {
namespace {

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
