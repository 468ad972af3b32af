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
// of kChunk slots, with running maxima (Milakov and Gimelshein, 2018): memory is read front to
// back, with few instructions between two lines, so that many reads are under way at once.

#include "kernels/decode.h"

#include "kernels/cpu/simd_math.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

/// Asks for the line of values[i], once a line as i goes up by vectors.
template <class V, class W>
[[gnu::always_inline]] inline void fetch(const W* values, int64_t i) {
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(W));
    if (V::kLanes >= line || i % line == 0) __builtin_prefetch(values + i, 0, 3);
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
        for (int f = 0; f < kFetch; ++f) fetch<V>(next + f * a.k, i);
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

constexpr int64_t kMostRows = 16;    // whose sums are kept at once
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

/// Outputs j .. j + n - 1, at most a vector of them, of all rows (at most kMostRows).
template <class V, class W>
void gemv_span(const GemvArgs& a, int64_t j, int64_t n) {
    using F = typename V::F;
    alignas(64) float sums[kMostRows * V::kLanes * V::kLanes];
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
void gemv(const GemvArgs& all, int64_t first, int64_t last) {
    for (int64_t row = 0; row < all.rows; row += kMostRows) {
        GemvArgs a = all;
        a.x += row * a.x_stride;
        a.y += row * a.y_stride;
        a.rows = all.rows - row < kMostRows ? all.rows - row : kMostRows;
        for (int64_t j = first; j < last; j += V::kLanes)
            gemv_span<V, W>(a, j, last - j < V::kLanes ? last - j : V::kLanes);
    }
}

constexpr int64_t kChunk = 32;      // slots between two corrections of the running sums
constexpr int64_t kHeadGroup = 16;  // heads that share a pass over the slots
// Slots that meet a loaded piece of q or y, while the next ones are asked for.
constexpr int64_t kTogether = 4;
constexpr float kLog2e = 1.44269504f;
constexpr float kUnseen = -1e30f;  // 2^kUnseen is 0

/// 2^x for x <= 0.
template <class V>
[[gnu::always_inline]] inline typename V::F weight_of(typename V::F x) {
    return exp2_sum<V>(V::max(V::set1(-250.0f), x), V::zero());
}

/// What a pass over the slots knows of its heads.
template <class V>
struct HeadGroup {
    int64_t n, d;  // heads, d_head
    alignas(64) float score[kHeadGroup][kChunk];
    alignas(64) float part[kHeadGroup][V::kLanes][V::kLanes];  // [head, slot]: sums by lane
    float peak[kHeadGroup], sum[kHeadGroup];                   // of the scores in units of log 2
};

/// part of kSlots slots from `slot` on: products of the heads' q and k, rows of k `stride` apart.
template <class V, class W, int kSlots>
[[gnu::always_inline]] inline void slot_products(HeadGroup<V>& g, const float* q, const W* k,
                                                 int64_t stride, int64_t slot) {
    using F = typename V::F;
    for (int64_t h = 0; h < g.n; ++h, q += g.d, k += g.d) {
        F sum[kSlots];
#pragma GCC unroll 4
        for (int s = 0; s < kSlots; ++s) sum[s] = V::zero();
        each_vector<V>(0, g.d, [&](int64_t e, auto part) {
            const F left = V::load(q + e, part);
#pragma GCC unroll 4
            for (int s = 0; s < kSlots; ++s) {
                fetch<V>(k + (s + kSlots) * stride, e);
                sum[s] = V::fma(left, V::load(k + s * stride + e, part), sum[s]);
            }
        });
#pragma GCC unroll 4
        for (int s = 0; s < kSlots; ++s) V::store(g.part[h][slot + s], typename V::All{}, sum[s]);
    }
}

/// Scores of n <= kChunk slots of all heads of the group.
template <class V, class W>
void chunk_scores(HeadGroup<V>& g, const float* q, const W* k, int64_t stride, int64_t n,
                  float scale) {
    using F = typename V::F;
    for (int64_t first = 0; first < kChunk; first += V::kLanes) {
        int64_t slot = 0;
        const int64_t left = n - first < V::kLanes ? n - first : V::kLanes;
        const W* row = k + first * stride;
        for (; slot + kTogether <= left; slot += kTogether)
            slot_products<V, W, kTogether>(g, q, row + slot * stride, stride, slot);
        for (; slot < left; ++slot) slot_products<V, W, 1>(g, q, row + slot * stride, stride, slot);
        const F seen = V::sub(V::set1(static_cast<float>(left) - 0.5f), V::lane_numbers());
        for (int64_t h = 0; h < g.n; ++h) {
            F value = V::set1(kUnseen);
            if (left > 0) {
                F each[V::kLanes];
                for (int i = 0; i < V::kLanes; ++i)
                    each[i] = i < left ? V::load_aligned(g.part[h][i]) : V::zero();
                value = V::select_positive(seen, V::mul(V::sum_each(each), V::set1(scale)), value);
            }
            V::store(g.score[h] + first, typename V::All{}, value);
        }
    }
}

/// Turns a head's scores into weights 2^(score - peak); y, the sum so far, is corrected to the new
/// peak.
template <class V>
void chunk_weights(HeadGroup<V>& g, int64_t h, float* y) {
    using F = typename V::F;
    float* score = g.score[h];
    F peak = V::load_aligned(score);
    for (int64_t s = V::kLanes; s < kChunk; s += V::kLanes)
        peak = V::max(peak, V::load_aligned(score + s));
    const float chunk_peak = V::largest(peak), before = g.peak[h];
    const float highest = chunk_peak > before ? chunk_peak : before;
    const F factor = weight_of<V>(V::set1(before - highest));
    F sum = V::zero();
    for (int64_t s = 0; s < kChunk; s += V::kLanes) {
        const F weight = weight_of<V>(V::sub(V::load_aligned(score + s), V::set1(highest)));
        V::store(score + s, typename V::All{}, weight);
        sum = V::add(sum, weight);
    }
    g.peak[h] = highest;
    g.sum[h] = g.sum[h] * V::first(factor) + V::sum(sum);
    each_vector<V>(0, g.d, [&](int64_t e, auto part) {
        V::store(y + e, part, V::mul(V::load(y + e, part), factor));
    });
}

/// y += weights times values of kSlots slots from `slot` of the chunk on, for all heads.
template <class V, class W, int kSlots>
[[gnu::always_inline]] inline void add_values(const HeadGroup<V>& g, float* y, const W* v,
                                              int64_t stride, int64_t slot) {
    using F = typename V::F;
    for (int64_t h = 0; h < g.n; ++h, y += g.d, v += g.d) {
        F weight[kSlots];
#pragma GCC unroll 4
        for (int s = 0; s < kSlots; ++s) weight[s] = V::set1(g.score[h][slot + s]);
        each_vector<V>(0, g.d, [&](int64_t e, auto part) {
            F sum = V::load(y + e, part);
#pragma GCC unroll 4
            for (int s = 0; s < kSlots; ++s) {
                fetch<V>(v + (s + kSlots) * stride, e);
                sum = V::fma(weight[s], V::load(v + s * stride + e, part), sum);
            }
            V::store(y + e, part, sum);
        });
    }
}

/// Heads first .. last - 1 of one row, at most kHeadGroup.
template <class V, class W>
void attend_row(const DecodeAttentionArgs& a, int64_t row, int64_t first, int64_t last) {
    const int64_t width = a.n_head * a.d_head, d = a.d_head;
    const int64_t start = a.start != nullptr ? a.start[row] : 0;
    const float* q = a.q + row * a.q_stride + first * d;
    float* y = a.y + row * width + first * d;
    HeadGroup<V> g;
    g.n = last - first;
    g.d = d;
    for (int64_t e = 0; e < g.n * d; ++e) y[e] = 0.0f;
    for (int64_t h = 0; h < g.n; ++h) {
        g.peak[h] = kUnseen;
        g.sum[h] = 0.0f;
    }
    for (int64_t s = start; s < a.kv_len; s += kChunk) {
        const int64_t n = a.kv_len - s < kChunk ? a.kv_len - s : kChunk;
        const int64_t at = (row * a.capacity + s) * width + first * d;
        chunk_scores<V>(g, q, static_cast<const W*>(a.k) + at, width, n, a.softmax_scale * kLog2e);
        for (int64_t h = 0; h < g.n; ++h) chunk_weights<V>(g, h, y + h * d);
        const W* v = static_cast<const W*>(a.v) + at;
        int64_t slot = 0;
        for (; slot + kTogether <= n; slot += kTogether)
            add_values<V, W, kTogether>(g, y, v + slot * width, width, slot);
        for (; slot < n; ++slot) add_values<V, W, 1>(g, y, v + slot * width, width, slot);
    }
    if (start >= a.kv_len) return;
    for (int64_t h = 0; h < g.n; ++h)
        for (int64_t e = h * d; e < (h + 1) * d; ++e) y[e] /= g.sum[h];
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
