#pragma once

// One register tile of the blocked product; I as in gemm_simd.h. Internal linkage.

#include "kernels/cpu/gemm_pack_simd.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

/// Lines of a rectangle in memory, fetched a few at a time.
struct Fetch {
    const char* base = nullptr;
    int64_t stride = 0, rows = 0, lines = 0, each = 0;  // `each` lines a turn
    int64_t row = 0, line = 0;

    void turn() {
        for (int64_t n = each; n > 0 && row < rows; --n) {
            __builtin_prefetch(base + row * stride + line * 64, 0, 3);
            if (++line == lines) {
                line = 0;
                ++row;
            }
        }
    }
};

struct TileArgs {
    const float* a = nullptr;  // unit u of row i at u * stride_a + i; row-major: i * stride_a + u
    int64_t stride_a = 0;
    const float* b = nullptr;  // unit u of column j at u * stride_b + j
    int64_t stride_b = 0;
    int64_t units = 0;
    float* out = nullptr;
    int64_t ld = 0;
    bool add = false;
    Fetch* fetches = nullptr;  // kFetches of them
};
constexpr int kFetches = 4;
constexpr int64_t kTurn = 16;  // units between two turns of fetching

/// out [kHeight, kWide vectors] (=, or += with add) a times b.
template <class I, int kHeight, int kWide, bool kRowMajor>
void multiply_tile(const TileArgs& t) {
    using V = typename I::V;
    using F = typename V::F;
    constexpr int64_t kLanes = V::kLanes;
    constexpr typename V::All kAll{};
    const float *a = t.a, *b = t.b;
    F sum[kHeight][kWide];
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < kWide; ++v) sum[i][v] = V::zero();
    for (int64_t done = 0; done < t.units; done += kTurn) {
        for (int i = 0; i < kFetches; ++i) t.fetches[i].turn();
        const int64_t now = least(kTurn, t.units - done);
        const auto step = [&](auto left_of) {
            F right[kWide];
#pragma GCC unroll 4
            for (int v = 0; v < kWide; ++v) right[v] = V::load(b + v * kLanes, kAll);
#pragma GCC unroll 16
            for (int i = 0; i < kHeight; ++i) {
                const F left = V::set1(left_of(i));
#pragma GCC unroll 4
                for (int v = 0; v < kWide; ++v)
                    sum[i][v] = I::multiply_add(sum[i][v], left, right[v]);
            }
            b += t.stride_b;
        };
        if constexpr (kRowMajor) {
            // Five pointers and an index reach 14 rows; 14 pointers would not fit the registers.
            const float* group[5];
            for (int g = 0; g < 5; ++g) group[g] = a + 3 * g * t.stride_a;
#pragma GCC unroll 2
            for (int64_t u = 0; u < now; ++u)
                step([&](int i) { return group[i / 3][i % 3 * t.stride_a + u]; });
            a += now;
        } else {
#pragma GCC unroll 2
            for (int64_t u = 0; u < now; ++u, a += t.stride_a) step([&](int i) { return a[i]; });
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < kWide; ++v) {
            float* to = t.out + i * t.ld + v * kLanes;
            V::store(to, kAll, t.add ? V::add(V::load(to, kAll), sum[i][v]) : sum[i][v]);
        }
}

using MultiplyTile = void (*)(const TileArgs&);

/// The register tile of `height` rows and `vectors` vectors of columns, which all exist.
template <class I, int kHeight = I::kRows>
MultiplyTile tile_of(int64_t height, int64_t vectors, bool row_major) {
    if (height == kHeight) {
        if (vectors == 1)
            return row_major ? multiply_tile<I, kHeight, 1, true>
                             : multiply_tile<I, kHeight, 1, false>;
        return row_major ? multiply_tile<I, kHeight, I::kVectors, true>
                         : multiply_tile<I, kHeight, I::kVectors, false>;
    }
    if constexpr (kHeight > 1) return tile_of<I, kHeight - 1>(height, vectors, row_major);
    return nullptr;
}

}  // namespace
}  // namespace knlp::kernels
