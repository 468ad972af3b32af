#pragma once

// Operands of the blocked product and their packing; I as in gemm_simd.h. Internal linkage.

#include "kernels/gemm.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

inline int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}
inline int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}
inline int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

inline int64_t bytes_of(Storage type) {
    return type == Storage::kBf16 ? 2 : 4;
}

struct Range {
    int64_t first, last;
    int64_t size() const { return last - first; }
};

/// One operand as lanes (rows of A, columns of B) of k values each.
struct Operand {
    const void* data;
    int64_t ld;
    Storage type;
    bool lanes_contiguous;  // lane l of k at k * ld + l; else at l * ld + k
};

template <class T>
const T* at(const Operand& op, int64_t lane, int64_t k) {
    return static_cast<const T*>(op.data) +
           (op.lanes_contiguous ? k * op.ld + lane : lane * op.ld + k);
}

/// Packs `lanes` (at most a vector) lanes of k.first .. k.last as units: to[unit * stride + lane],
/// in whole vectors.
template <class I, class T, bool kRound>
void pack_vector(const Operand& op, int64_t lane, int64_t lanes, Range k, float* to,
                 int64_t stride) {
    using V = typename I::V;
    using F = typename V::F;
    constexpr int64_t kLanes = V::kLanes, kStep = I::kPerUnit;
    if (op.lanes_contiguous) {
        constexpr int64_t kAhead = 16;  // units: rows lie far apart, no hardware foresees them
        const T* from = at<T>(op, lane, k.first);
        const auto copy = [&](auto part) {
            int64_t p = k.first;
            for (; p + kStep <= k.last; p += kStep, from += kStep * op.ld, to += stride) {
                for (int64_t i = 0; i < kStep; ++i)
                    __builtin_prefetch(from + (kAhead * kStep + i) * op.ld);
                V::store(to, typename V::All{},
                         I::template load_lanes<T, kRound>(from, op.ld, kStep, part));
            }
            if (p < k.last)
                V::store(to, typename V::All{},
                         I::template load_lanes<T, kRound>(from, op.ld, 1, part));
        };
        if (lanes == kLanes)
            copy(typename V::All{});
        else
            copy(V::head(lanes));
        return;
    }
    // Lanes that are not there repeat the first: nothing reads them.
    const T* from[kLanes];
    for (int64_t l = 0; l < kLanes; ++l) from[l] = at<T>(op, lane + (l < lanes ? l : 0), k.first);
    const int64_t whole = k.size() / (kLanes * kStep) * (kLanes * kStep);
    for (int64_t p = 0; p < whole; p += kLanes * kStep) {
        F row[kLanes];
#pragma GCC unroll 16
        for (int64_t l = 0; l < kLanes; ++l) {
            __builtin_prefetch(from[l] + p + 4 * kLanes * kStep);
            row[l] = I::template load_units<T, kRound>(from[l] + p, kLanes * kStep);
        }
        I::transpose(row);
#pragma GCC unroll 16
        for (int64_t u = 0; u < kLanes; ++u) V::store(to + u * stride, typename V::All{}, row[u]);
        to += kLanes * stride;
    }
    const int64_t rest = k.size() - whole;
    if (rest == 0) return;
    F row[kLanes];
    for (int64_t l = 0; l < kLanes; ++l)
        row[l] = I::template load_units<T, kRound>(from[l] + whole, rest);
    I::transpose(row);
    for (int64_t u = 0; u < divide_up(rest, kStep); ++u)
        V::store(to + u * stride, typename V::All{}, row[u]);
}

template <class I>
void pack(const Operand& op, bool round, int64_t lane, int64_t lanes, Range k, float* to,
          int64_t stride) {
    constexpr int64_t kLanes = I::V::kLanes;
    for (int64_t l = 0; l < lanes; l += kLanes, to += kLanes) {
        const int64_t now = least(kLanes, lanes - l);
        if (op.type == Storage::kBf16)
            pack_vector<I, uint16_t, false>(op, lane + l, now, k, to, stride);
        else if (round)
            pack_vector<I, float, true>(op, lane + l, now, k, to, stride);
        else
            pack_vector<I, float, false>(op, lane + l, now, k, to, stride);
    }
}

}  // namespace
}  // namespace knlp::kernels
