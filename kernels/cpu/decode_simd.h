#pragma once

// Kernels of decoding for a vector type V (internal linkage, as V).
//
// gemv reads n k weights once and does `rows` multiply-adds with each: memory limits it for few
// rows. One row takes the weights as one stream. Several rows take tiles of 4 outputs by up to 4
// rows (2 in AVX2: as many sums as registers), the further rows finding the weights in the cache.
// Every sum over k is one chain of a vector of lanes, added across lanes at the end in one order,
// whatever the tile: hence a row's bits do not depend on what shares its batch.
//
// decode_attention reads kv_len d_head keys and values of each pair, 2 operations a value: memory.
// A token's heads lie side by side in the cache, so the heads of a row go together through chunks
// of kChunk slots, with running maxima (Milakov and Gimelshein, 2018), while the same head's lines
// of the next chunk are asked for.

#include "kernels/decode.h"

#include "kernels/cpu/simd_math.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

[[gnu::always_inline]] inline void fetch(const void* line) {
    __builtin_prefetch(line, 0, 3);
}

/// x, loaded once: the compiler would repeat the load as an operand of every use.
template <class F>
[[gnu::always_inline]] inline F in_register(F x) {
    asm("" : "+v"(x));
    return x;
}

/// sums[row][output], a vector of lanes each, = (start) or += k products of kRows rows of x and
/// kOutputs rows of w. Meanwhile asks for kFetch rows of `next`.
template <class V, class W, int kOutputs, int kRows, int kFetch>
[[gnu::always_inline]] inline void gemv_tile(const GemvArgs& a, const W* w, const W* next,
                                             const float* x, int64_t k, bool start, float* sums) {
    using F = typename V::F;
    F sum[kOutputs][kRows];
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o)
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r)
            sum[o][r] = start ? V::zero() : V::load_aligned(sums + (r * V::kLanes + o) * V::kLanes);
    each_vector<V>(0, k, [&](int64_t i, auto part) {
        F weight[kOutputs];
#pragma GCC unroll 4
        for (int f = 0; f < kFetch; ++f) fetch(next + f * a.k + i);
#pragma GCC unroll 4
        for (int o = 0; o < kOutputs; ++o) weight[o] = in_register(V::load(w + o * a.k + i, part));
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
            const F left = in_register(V::load(x + r * a.x_stride + i, part));
#pragma GCC unroll 4
            for (int o = 0; o < kOutputs; ++o) sum[o][r] = V::fma(weight[o], left, sum[o][r]);
        }
    });
#pragma GCC unroll 4
    for (int o = 0; o < kOutputs; ++o)
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r)
            V::store(sums + (r * V::kLanes + o) * V::kLanes, typename V::All{}, sum[o][r]);
}

constexpr int kGroup = 4;            // outputs whose weights are read together for several rows
constexpr int64_t kPiece = 3 << 10;  // bytes of a row of weights read at a time

/// All rows by kGroup outputs from weight row w on: a piece of these weights meets the rows in
/// passes of nearly equal size, each asking for a share of the next piece: fewer requests are open
/// at once then, and requests beyond what the core can keep open are dropped.
template <class V, class W>
void gemv_group(const GemvArgs& a, const W* w, float* sums) {
    constexpr int64_t most = V::kLanes / 4, piece = kPiece / static_cast<int64_t>(sizeof(W));
    const int64_t passes = (a.rows + most - 1) / most;
    for (int64_t i = 0; i < a.k; i += piece) {
        const bool last = a.k - i <= piece;
        const int64_t k = last ? a.k - i : piece;
        const W* next = last ? w + kGroup * a.k : w + i + piece;
        int64_t row = 0;
        for (int64_t pass = 0; pass < passes; ++pass) {
            const int64_t rows = (a.rows - row + passes - pass - 1) / (passes - pass);
            const float* x = a.x + row * a.x_stride + i;
            float* to = sums + row * V::kLanes * V::kLanes;
            const W* share = next + pass % 2 * 2 * a.k;
            const auto tile = [&]<int kRows>() {
                if (passes == 1)
                    gemv_tile<V, W, kGroup, kRows, kGroup>(a, w + i, next, x, k, i == 0, to);
                else
                    gemv_tile<V, W, kGroup, kRows, 2>(a, w + i, share, x, k, i == 0, to);
            };
            if (rows == 1)
                tile.template operator()<1>();
            else if (rows == 2)
                tile.template operator()<2>();
            else if constexpr (most > 2) {
                if (rows == 3)
                    tile.template operator()<3>();
                else
                    tile.template operator()<4>();
            }
            row += rows;
        }
    }
}

/// All rows by one output: one row reads the weights as a single stream.
template <class V, class W>
void gemv_output(const GemvArgs& a, const W* w, float* sums) {
    constexpr int64_t ahead = 4096 / static_cast<int64_t>(sizeof(W));
    for (int64_t row = 0; row < a.rows; ++row)
        gemv_tile<V, W, 1, 1, 1>(a, w, w + ahead, a.x + row * a.x_stride, a.k, true,
                                 sums + row * V::kLanes * V::kLanes);
}

/// Outputs j .. j + n - 1, at most a vector of them, of all rows (at most 16).
template <class V, class W>
void gemv_span(const GemvArgs& a, int64_t j, int64_t n) {
    using F = typename V::F;
    alignas(64) float sums[16 * V::kLanes * V::kLanes];
    const W* w = static_cast<const W*>(a.w) + j * a.k;
    float* y = a.y + j;
    for (int64_t r = 0; r < a.rows; ++r) __builtin_prefetch(y + r * a.y_stride, 1, 3);
    int64_t o = 0;
    if (a.rows > 1 && a.k > 0)
        for (; o + kGroup <= n; o += kGroup) gemv_group<V, W>(a, w + o * a.k, sums + o * V::kLanes);
    for (; o < n; ++o) gemv_output<V, W>(a, w + o * a.k, sums + o * V::kLanes);
    const auto finish = [&](auto part) {
        const F bias = a.bias != nullptr ? V::load(a.bias + j, part) : V::zero();
        for (int64_t r = 0; r < a.rows; ++r, y += a.y_stride) {
            F each[V::kLanes];
            for (int64_t i = 0; i < V::kLanes; ++i)
                each[i] =
                    i < n ? V::load_aligned(sums + (r * V::kLanes + i) * V::kLanes) : V::zero();
            const F total = V::add(V::sum_each(each), bias);
            V::store(y, part, a.add ? V::add(V::load(y, part), total) : total);
        }
    };
    if (n == V::kLanes)
        finish(typename V::All{});
    else
        finish(V::head(n));
}

template <class V, class W>
void gemv(const GemvArgs& a, int64_t first, int64_t last) {
    for (int64_t j = first; j < last; j += V::kLanes)
        gemv_span<V, W>(a, j, last - j < V::kLanes ? last - j : V::kLanes);
}

constexpr int64_t kChunk = 32;      // slots between two corrections of the running sums
constexpr int64_t kHeadGroup = 16;  // heads that share a pass over the slots
constexpr float kLog2e = 1.44269504f;
constexpr float kUnseen = -1e30f;  // 2^kUnseen is 0

/// 2^x for x <= 0.
template <class V>
[[gnu::always_inline]] inline typename V::F weight_of(typename V::F x) {
    return exp2_sum<V>(V::max(V::set1(-250.0f), x), V::zero());
}

struct Running {
    float peak, sum;  // of the scores in units of log 2
};

/// Scores of n <= kChunk slots, rows of k `stride` values apart, to score [kChunk].
template <class V, class W>
[[gnu::always_inline]] inline void chunk_scores(float* score, const float* q, const W* k,
                                                int64_t stride, int64_t n, int64_t d, float scale) {
    using F = typename V::F;
    for (int64_t s = 0; s < kChunk; s += V::kLanes, k += V::kLanes * stride) {
        F dot[V::kLanes];
        for (int i = 0; i < V::kLanes; ++i) dot[i] = V::zero();
        if (n - s >= V::kLanes) {
            each_vector<V>(0, d, [&](int64_t e, auto part) {
                const F left = V::load(q + e, part);
                for (int i = 0; i < V::kLanes; ++i)
                    dot[i] = V::fma(left, V::load(k + i * stride + e, part), dot[i]);
            });
        } else {
            for (int64_t i = 0; i < n - s; ++i)
                each_vector<V>(0, d, [&](int64_t e, auto part) {
                    dot[i] =
                        V::fma(V::load(q + e, part), V::load(k + i * stride + e, part), dot[i]);
                });
        }
        const F seen = V::sub(V::set1(static_cast<float>(n - s) - 0.5f), V::lane_numbers());
        const F value = V::mul(V::sum_each(dot), V::set1(scale));
        V::store(score + s, typename V::All{}, V::select_positive(seen, value, V::set1(kUnseen)));
    }
}

/// score = weights 2^(score - peak); returns what earlier sums have to be multiplied by.
template <class V>
[[gnu::always_inline]] inline float chunk_weights(float* score, Running& running) {
    using F = typename V::F;
    F peak = V::load_aligned(score);
    for (int64_t s = V::kLanes; s < kChunk; s += V::kLanes)
        peak = V::max(peak, V::load_aligned(score + s));
    const float chunk_peak = V::largest(peak);
    const float all_peak = chunk_peak > running.peak ? chunk_peak : running.peak;
    const float factor = V::first(weight_of<V>(V::set1(running.peak - all_peak)));
    F sum = V::zero();
    for (int64_t s = 0; s < kChunk; s += V::kLanes) {
        const F weight = weight_of<V>(V::sub(V::load_aligned(score + s), V::set1(all_peak)));
        V::store(score + s, typename V::All{}, weight);
        sum = V::add(sum, weight);
    }
    running.peak = all_peak;
    running.sum = running.sum * factor + V::sum(sum);
    return factor;
}

/// y = factor y + sum of weight times the rows of v, kWidth vectors of a row at a time.
template <class V, class W, int kWidth, class Part>
[[gnu::always_inline]] inline void add_values(float* y, const float* weight, const W* v,
                                              int64_t stride, int64_t n, float factor, Part part) {
    using F = typename V::F;
    F even[kWidth], odd[kWidth];
    for (int c = 0; c < kWidth; ++c) {
        even[c] = V::mul(V::load(y + c * V::kLanes, part), V::set1(factor));
        odd[c] = V::zero();
    }
    int64_t s = 0;
    for (; s + 2 <= n; s += 2, v += 2 * stride) {
        const F first = V::set1(weight[s]), second = V::set1(weight[s + 1]);
        for (int c = 0; c < kWidth; ++c) {
            even[c] = V::fma(first, V::load(v + c * V::kLanes, part), even[c]);
            odd[c] = V::fma(second, V::load(v + stride + c * V::kLanes, part), odd[c]);
        }
    }
    for (int c = 0; c < kWidth; ++c) {
        if (s < n) even[c] = V::fma(V::set1(weight[s]), V::load(v + c * V::kLanes, part), even[c]);
        V::store(y + c * V::kLanes, part, V::add(even[c], odd[c]));
    }
}

/// Asks for n rows of d values, `stride` apart.
template <class W>
[[gnu::always_inline]] inline void fetch_rows(const W* rows, int64_t stride, int64_t n, int64_t d) {
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(W));
    for (int64_t s = 0; s < n; ++s)
        for (int64_t e = 0; e < d; e += line) fetch(rows + s * stride + e);
}

/// Heads first .. last - 1 of one row, at most kHeadGroup.
template <class V, class W>
void attend_row(const DecodeAttentionArgs& a, int64_t row, int64_t first, int64_t last) {
    const int64_t width = a.n_head * a.d_head, d = a.d_head;
    const int64_t start = a.start != nullptr ? a.start[row] : 0;
    Running running[kHeadGroup];
    float* y = a.y + row * width;
    for (int64_t e = first * d; e < last * d; ++e) y[e] = 0.0f;
    for (int64_t h = 0; h < last - first; ++h) running[h] = {kUnseen, 0.0f};
    for (int64_t s = start; s < a.kv_len; s += kChunk) {
        const int64_t n = a.kv_len - s < kChunk ? a.kv_len - s : kChunk;
        const int64_t left = a.kv_len - s - n, next = left < kChunk ? left : kChunk;
        for (int64_t h = first; h < last; ++h) {
            const int64_t at = (row * a.capacity + s) * width + h * d;
            const W* k = static_cast<const W*>(a.k) + at;
            const W* v = static_cast<const W*>(a.v) + at;
            fetch_rows(k + kChunk * width, width, next, d);
            alignas(64) float score[kChunk];
            chunk_scores<V>(score, a.q + row * a.q_stride + h * d, k, width, n, d,
                            a.softmax_scale * kLog2e);
            fetch_rows(v + kChunk * width, width, next, d);
            const float factor = chunk_weights<V>(score, running[h - first]);
            int64_t e = 0;
            const typename V::All all{};
            for (; e + 4 * V::kLanes <= d; e += 4 * V::kLanes)
                add_values<V, W, 4>(y + h * d + e, score, v + e, width, n, factor, all);
            for (; e + V::kLanes <= d; e += V::kLanes)
                add_values<V, W, 1>(y + h * d + e, score, v + e, width, n, factor, all);
            if (e < d)
                add_values<V, W, 1>(y + h * d + e, score, v + e, width, n, factor, V::head(d - e));
        }
    }
    if (start >= a.kv_len) return;
    for (int64_t h = first; h < last; ++h)
        for (int64_t e = h * d; e < (h + 1) * d; ++e) y[e] /= running[h - first].sum;
}

template <class V, class W>
void decode_attention(const DecodeAttentionArgs& a, int64_t first, int64_t last) {
    while (first < last) {
        const int64_t row = first / a.n_head, h = first % a.n_head;
        int64_t count = a.n_head - h < last - first ? a.n_head - h : last - first;
        if (count > kHeadGroup) count = kHeadGroup;
        attend_row<V, W>(a, row, h, h + count);
        first += count;
    }
}

}  // namespace
}  // namespace knlp::kernels
