#pragma once

// Kernels of decoding for a vector type V (internal linkage, as V).
//
// gemv reads n k weights once and does `rows` multiply-adds with each: memory limits it for few
// rows, the multiply-adds for many. One row takes the weights as one stream. Several rows take
// tiles of 2 outputs by up to 8 rows (4 in AVX2): as many sums as make one vector when they are
// added across lanes, a load for every second multiply-add, and every weight is loaded once. The
// tile asks for weights a few KiB ahead in the order of memory, which the hardware's own reading
// ahead follows; longer rows go in pieces of k, so that those of x stay in the first cache beside
// the weights. Every sum is a chain of a vector of lanes over a piece, added across lanes, piece
// after piece, whatever the tile: hence a row's bits do not depend on what shares its batch.
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

constexpr int64_t kPiece = 768;         // values of k whose products are one chain of sums
constexpr int64_t kMostRows = 16;       // at once
constexpr int kGroup = 2;               // outputs whose weights meet several rows together
constexpr int64_t kGroupAhead = 8192;   // bytes of weights asked for before their use, about
constexpr int64_t kStreamAhead = 4096;  // the same for one row
constexpr int64_t kPiecesAtOnce = 8;    // of one row, before sums are added across lanes

template <class V>
constexpr int kTileRows = static_cast<int>(V::kLanes) / kGroup;

/// Sums of a piece of kRows rows of x and of two rows of weights; totals [kGroup, kTileRows] = them
/// at the start, += afterwards. Meanwhile asks for two rows of `next`, one after the other.
template <class V, class W, int kRows>
void gemv_tile(const GemvArgs& a, const W* first, const W* second, const W* next, const float* x,
               int64_t k, bool start, float* totals) {
    using F = typename V::F;
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(W)), step = kGroup * V::kLanes;
    const float* row[kRows];
    F left[kRows], right[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
        row[r] = x + r * a.x_stride;
        left[r] = right[r] = V::zero();
    }
    const auto range = [&](int64_t from, int64_t to) {
        each_vector<V>(from, to, [&](int64_t i, auto part) {
            const W* ask = next + kGroup * (i - from);
#pragma GCC unroll 4
            for (int64_t at = 0; at < step; at += line)
                if (step >= line || kGroup * (i - from) % line == 0)
                    __builtin_prefetch(ask + at, 0, 3);
            const F w0 = in_register(V::load(first + i, part));
            const F w1 = in_register(V::load(second + i, part));
#pragma GCC unroll 8
            for (int r = 0; r < kRows; ++r) {
                const F value = in_register(V::load(row[r] + i, part));
                left[r] = V::fma(w0, value, left[r]);
                right[r] = V::fma(w1, value, right[r]);
            }
        });
    };
    const int64_t half = k / 2 / V::kLanes * V::kLanes;
    for (int64_t from = 0, to = half; from < k; from = to, to = k, next += a.k) range(from, to);
    F each[V::kLanes];
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows<V>; ++r) {
        each[r] = r < kRows ? left[r < kRows ? r : 0] : V::zero();
        each[kTileRows<V> + r] = r < kRows ? right[r < kRows ? r : 0] : V::zero();
    }
    const F total = V::sum_each(each);
    V::store(totals, typename V::All{}, start ? total : V::add(V::load_aligned(totals), total));
}

/// The same with the number of rows, at most kRows, known only now.
template <class V, class W, int kRows = kTileRows<V>>
void gemv_group(const GemvArgs& a, const W* first, const W* second, const W* next, const float* x,
                int64_t k, bool start, int64_t rows, float* totals) {
    if constexpr (kRows > 1)
        if (rows < kRows)
            return gemv_group<V, W, kRows - 1>(a, first, second, next, x, k, start, rows, totals);
    gemv_tile<V, W, kRows>(a, first, second, next, x, k, start, totals);
}

/// Outputs j .. j + n - 1, at most a vector of them, of several rows, at most kMostRows.
template <class V, class W>
void gemv_rows(const GemvArgs& a, int64_t j, int64_t n) {
    constexpr int64_t most = kTileRows<V>;
    alignas(64) float totals[kMostRows / most][V::kLanes / kGroup][V::kLanes];
    const W* w = static_cast<const W*>(a.w) + j * a.k;
    const int64_t piece = kPiece < a.k ? kPiece : a.k;
    const int64_t group_bytes = kGroup * piece * static_cast<int64_t>(sizeof(W));
    const int64_t groups = a.k > 0 ? (kGroupAhead + group_bytes / 2) / group_bytes : 1;
    const int64_t ahead = kGroup * (groups > 0 ? groups : 1);
    const int64_t passes = (a.rows + most - 1) / most, each = (a.rows + passes - 1) / passes;
    for (int64_t pass = 0; pass < passes; ++pass) {
        const int64_t row = pass * each, rows = a.rows - row < each ? a.rows - row : each;
        for (int64_t i = 0; i < a.k; i += piece) {
            const bool last = a.k - i <= piece;
            for (int64_t o = 0; o < n; o += kGroup) {
                const W* first = w + o * a.k + i;
                // After the last output comes the next piece; after the last piece, other outputs.
                const int64_t later = o + ahead;
                const W* next = first + ahead * a.k;
                if (later >= n) next = w + (last ? later * a.k : (later - n) % n * a.k + i + piece);
                gemv_group<V, W>(a, first, o + 1 < n ? first + a.k : first, next,
                                 a.x + row * a.x_stride + i, last ? a.k - i : piece, i == 0, rows,
                                 totals[pass][o / kGroup]);
            }
        }
    }
    for (int64_t r = 0; r < a.rows; ++r) {
        float* y = a.y + r * a.y_stride + j;
        for (int64_t o = 0; o < n; ++o) {
            const float* group = totals[r / each][o / kGroup];
            float total = a.k > 0 ? group[o % kGroup * most + r % each] : 0.0f;
            total += a.bias != nullptr ? a.bias[j + o] : 0.0f;
            y[o] = a.add ? y[o] + total : total;
        }
    }
}

/// Outputs j .. j + n - 1, at most a vector of them, of one row: the weights are a single stream.
template <class V, class W>
void gemv_row(const GemvArgs& a, int64_t j, int64_t n) {
    using F = typename V::F;
    constexpr int64_t ahead = kStreamAhead / static_cast<int64_t>(sizeof(W));
    const W* const w = static_cast<const W*>(a.w) + j * a.k;
    F total = V::zero();
    for (int64_t begin = 0; begin < a.k; begin += kPiecesAtOnce * kPiece) {
        F sums[kPiecesAtOnce][V::kLanes];
        const int64_t rest = a.k - begin, most = kPiecesAtOnce * kPiece;
        const int64_t end = begin + (rest < most ? rest : most);
        for (int64_t o = 0; o < n; ++o)
            for (int64_t from = begin; from < end; from += kPiece) {
                F sum = V::zero();
                each_vector<V>(from, end - from < kPiece ? end : from + kPiece,
                               [&](int64_t i, auto part) {
                                   const W* at = w + o * a.k;
                                   fetch<V>(at + ahead, i);
                                   sum = V::fma(V::load(at + i, part), V::load(a.x + i, part), sum);
                               });
                sums[(from - begin) / kPiece][o] = sum;
            }
        for (int64_t from = begin; from < end; from += kPiece) {
            F(&each)[V::kLanes] = sums[(from - begin) / kPiece];
            for (int64_t o = n; o < V::kLanes; ++o) each[o] = V::zero();
            const F sum = V::sum_each(each);
            total = from == 0 ? sum : V::add(total, sum);
        }
    }
    const auto finish = [&](auto part) {
        const F bias = a.bias != nullptr ? V::load(a.bias + j, part) : V::zero();
        const F result = V::add(total, bias);
        V::store(a.y + j, part, a.add ? V::add(V::load(a.y + j, part), result) : result);
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
        for (int64_t j = first; j < last; j += V::kLanes) {
            const int64_t n = last - j < V::kLanes ? last - j : V::kLanes;
            if (a.rows == 1)
                gemv_row<V, W>(a, j, n);
            else
                gemv_rows<V, W>(a, j, n);
        }
    }
}

constexpr int64_t kChunk = 64;      // slots between two corrections of the running sums
constexpr int64_t kHeadGroup = 16;  // heads that share a pass over the slots
// Slots that meet a loaded piece of q or y, while the next ones are asked for.
constexpr int64_t kTogether = 4;
constexpr int64_t kSlotsAhead = 8192;  // bytes of keys or values asked for before use, at least

/// Asks, while kSlots slots are worked on, for as many that come later: in the order of memory,
/// which the hardware's own reading ahead follows.
template <class W, int kSlots>
struct Ahead {
    const W* next;            // slot that is asked for
    int64_t run, stride, at;  // values of a slot that are read, and between slots; next's part

    Ahead(const W* rows, int64_t read, int64_t distance)
        : next(rows), run(read), stride(distance), at(0) {
        const int64_t least = kSlotsAhead / static_cast<int64_t>(sizeof(W));
        const int64_t slots = (least + run - 1) / run;
        next += (slots > kSlots ? slots : kSlots) * stride;
    }
    /// A vector of the slots being worked on, i values into their present heads.
    template <class V>
    [[gnu::always_inline]] void ask(int64_t i) const {
        constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(W)), step = kSlots * V::kLanes;
        const int64_t from = at + kSlots * i;
        const W* values = next + from + (from >= run ? stride - run : 0);
#pragma GCC unroll 8
        for (int64_t j = 0; j < step; j += line)
            if (step >= line || kSlots * i % line == 0) __builtin_prefetch(values + j, 0, 3);
    }
    /// So many values of each of the slots have been worked on.
    void advance(int64_t n) {
        for (at += kSlots * n; at >= run; at -= run) next += stride;
    }
};

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
    Ahead<W, kSlots> ahead(k, g.n * g.d, stride);
    for (int64_t h = 0; h < g.n; ++h, q += g.d, k += g.d, ahead.advance(g.d)) {
        F sum[kSlots];
#pragma GCC unroll 4
        for (int s = 0; s < kSlots; ++s) sum[s] = V::zero();
        each_vector<V>(0, g.d, [&](int64_t e, auto part) {
            ahead.template ask<V>(e);
            const F left = V::load(q + e, part);
#pragma GCC unroll 4
            for (int s = 0; s < kSlots; ++s) {
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
    Ahead<W, kSlots> ahead(v, g.n * g.d, stride);
    for (int64_t h = 0; h < g.n; ++h, y += g.d, v += g.d, ahead.advance(g.d)) {
        F weight[kSlots];
#pragma GCC unroll 4
        for (int s = 0; s < kSlots; ++s) weight[s] = V::set1(g.score[h][slot + s]);
        each_vector<V>(0, g.d, [&](int64_t e, auto part) {
            ahead.template ask<V>(e);
            F sum = V::load(y + e, part);
#pragma GCC unroll 4
            for (int s = 0; s < kSlots; ++s) {
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
