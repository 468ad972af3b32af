#pragma once

// Kernels of decoding for a vector type V (internal linkage, as V).
//
// gemv reads n k weights once and does `rows` multiply-adds with each: memory limits it for few
// rows, the multiply-adds for many. One row takes the weights as one stream. Several rows take
// tiles of 2 outputs by up to 8 rows (4 in AVX2): as many sums as make one vector when they are
// added across lanes, a load for every second multiply-add, and every weight is loaded once. The
// tile asks for weights a few KiB ahead in the order of memory, which the hardware's own reading
// ahead follows: into the first cache, or where that is too small for them beside x, the second.
// Longer rows go in pieces of k, so that those of x stay in the first cache. Every sum is a chain
// of a vector of lanes over a piece, added across lanes, piece after piece, whatever the tile:
// hence a row's bits do not depend on what shares its batch.
//
// decode_attention reads kv_len d_head keys and values of each pair, 2 operations a value: memory.
// The heads of a group go together through the blocks of the cache with running maxima (Milakov and
// Gimelshein, 2018), so that memory is read front to back: a head's keys of a block, its values,
// those of the next head; what lies a few KiB ahead is asked for meanwhile. A block is 8 KiB of
// keys and as much of values for heads of 64: few jumps of a row that ends within one, and y, which
// it takes through registers, is loaded and stored seldom.

#include "kernels/decode.h"

#include "kernels/cpu/simd_math.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

template <Fetch kFetch>
[[gnu::always_inline]] inline void ask(const void* line) {
    __builtin_prefetch(line, 0, kFetch == Fetch::kFirstCache ? 3 : 2);
}

/// x, loaded once: the compiler would repeat the load as an operand of every use.
template <class F>
[[gnu::always_inline]] inline F in_register(F x) {
    asm("" : "+v"(x));
    return x;
}

template <class V>
constexpr int64_t kPiece = 768;       // values of k whose products are one chain of sums
constexpr int kGroup = 2;             // outputs whose weights meet several rows together
constexpr int64_t kPiecesAtOnce = 8;  // of one row, before sums are added across lanes

/// Bytes of weights that are asked for before their use: of several rows, about, and of one.
constexpr int64_t group_ahead(Fetch fetch) {
    return fetch == Fetch::kFirstCache ? 8192 : 16384;
}
constexpr int64_t stream_ahead(Fetch fetch) {
    return fetch == Fetch::kFirstCache ? 4096 : 2048;
}

template <class V>
constexpr int kTileRows = static_cast<int>(V::kLanes) / kGroup;

/// Sums of a piece of kRows rows of x and of two rows of weights; totals [kGroup, kTileRows] = them
/// at the start, += afterwards. Meanwhile asks for two rows of `next`, one after the other.
template <class V, class W, Fetch kFetch, int kRows>
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
            const int64_t done = kGroup * (i - from);
#pragma GCC unroll 4
            for (int64_t at = 0; at < step; at += line)
                if (step >= line || done % line == 0) ask<kFetch>(next + done + at);
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
template <class V, class W, Fetch kFetch, int kRows = kTileRows<V>>
void gemv_group(const GemvArgs& a, const W* first, const W* second, const W* next, const float* x,
                int64_t k, bool start, int64_t rows, float* totals) {
    if constexpr (kRows > 1)
        if (rows < kRows)
            return gemv_group<V, W, kFetch, kRows - 1>(a, first, second, next, x, k, start, rows,
                                                       totals);
    gemv_tile<V, W, kFetch, kRows>(a, first, second, next, x, k, start, totals);
}

/// Outputs j .. j + n - 1, at most a vector of them, of several rows, at most kMostGemvRows.
template <class V, class W, Fetch kFetch>
void gemv_rows(const GemvArgs& a, int64_t j, int64_t n) {
    constexpr int64_t most = kTileRows<V>;
    alignas(64) float totals[kMostGemvRows / most][V::kLanes / kGroup][V::kLanes];
    const W* w = static_cast<const W*>(a.w) + j * a.k;
    const int64_t piece = kPiece<V> < a.k ? kPiece<V> : a.k;
    const int64_t group_bytes = kGroup * piece * static_cast<int64_t>(sizeof(W));
    const int64_t groups = a.k > 0 ? (group_ahead(kFetch) + group_bytes / 2) / group_bytes : 1;
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
                gemv_group<V, W, kFetch>(a, first, o + 1 < n ? first + a.k : first, next,
                                         a.x + row * a.x_stride + i, last ? a.k - i : piece, i == 0,
                                         rows, totals[pass][o / kGroup]);
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
template <class V, class W, Fetch kFetch>
void gemv_row(const GemvArgs& a, int64_t j, int64_t n) {
    using F = typename V::F;
    constexpr int64_t size = static_cast<int64_t>(sizeof(W)), line = 64 / size;
    constexpr int64_t ahead = stream_ahead(kFetch) / size;
    const W* const w = static_cast<const W*>(a.w) + j * a.k;
    F total = V::zero();
    for (int64_t begin = 0; begin < a.k; begin += kPiecesAtOnce * kPiece<V>) {
        F sums[kPiecesAtOnce][V::kLanes];
        const int64_t rest = a.k - begin, most = kPiecesAtOnce * kPiece<V>;
        const int64_t end = begin + (rest < most ? rest : most);
        for (int64_t o = 0; o < n; ++o)
            for (int64_t from = begin; from < end; from += kPiece<V>) {
                F sum = V::zero();
                each_vector<V>(from, end - from < kPiece<V> ? end : from + kPiece<V>,
                               [&](int64_t i, auto part) {
                                   const W* at = w + o * a.k;
                                   if (V::kLanes >= line || i % line == 0)
                                       ask<kFetch>(at + ahead + i);
                                   sum = V::fma(V::load(at + i, part), V::load(a.x + i, part), sum);
                               });
                sums[(from - begin) / kPiece<V>][o] = sum;
            }
        for (int64_t from = begin; from < end; from += kPiece<V>) {
            F(&each)[V::kLanes] = sums[(from - begin) / kPiece<V>];
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

/// rows x k of x, rounded to bfloat16, as floats in `to` [rows, stride].
template <class V>
void round_rows(const GemvArgs& a, float* to, int64_t stride) {
    for (int64_t r = 0; r < a.rows; ++r)
        each_vector<V>(0, a.k, [&](int64_t i, auto part) {
            const auto x = V::load(a.x + r * a.x_stride + i, part);
            V::store(to + r * stride + i, part, V::widen(V::narrow(x)));
        });
}

/// `prepare` has the last word on a batch of rows: it may put other values in the place of x.
template <class V, class W, Fetch kFetch>
void gemv_batches(const GemvArgs& all, int64_t first, int64_t last, auto prepare) {
    for (int64_t row = 0; row < all.rows; row += kMostGemvRows) {
        GemvArgs a = all;
        a.x += row * a.x_stride;
        a.y += row * a.y_stride;
        a.rows = all.rows - row < kMostGemvRows ? all.rows - row : kMostGemvRows;
        prepare(a);
        for (int64_t j = first; j < last; j += V::kLanes) {
            const int64_t n = last - j < V::kLanes ? last - j : V::kLanes;
            if (a.rows == 1)
                gemv_row<V, W, kFetch>(a, j, n);
            else
                gemv_rows<V, W, kFetch>(a, j, n);
        }
    }
}

template <class V, class W>
void gemv(const GemvArgs& args, int64_t first, int64_t last, auto prepare) {
    if (args.fetch == Fetch::kFirstCache)
        gemv_batches<V, W, Fetch::kFirstCache>(args, first, last, prepare);
    else
        gemv_batches<V, W, Fetch::kSecondCache>(args, first, last, prepare);
}

template <class V>
void gemv(const GemvArgs& args, int64_t first, int64_t last, void* workspace) {
    if (args.w_type == Storage::kF32) return gemv<V, float>(args, first, last, [](GemvArgs&) {});
    gemv<V, uint16_t>(args, first, last, [&](GemvArgs& a) {
        const int64_t stride = (a.k + 15) / 16 * 16;
        auto* const rounded = static_cast<float*>(workspace);
        round_rows<V>(a, rounded, stride);
        a.x = rounded;
        a.x_stride = stride;
    });
}

constexpr int64_t kHeadsAtOnce = 16;    // that go through the blocks together
constexpr int64_t kMostPositions = 64;  // of a block
constexpr int kTogether = 4;            // keys that meet a loaded piece of q
constexpr int kPieces = 4;  // vectors of y held in registers while a block's values go by

constexpr int64_t kBlockAhead = 8192;  // bytes of keys and values asked for before their use

constexpr float kLog2e = 1.44269504f;
constexpr float kUnseen = -1e30f;  // 2^kUnseen is 0

/// Asks for as much as the n values from here on, some KiB further.
template <class W>
[[gnu::always_inline]] inline void ask_ahead(const W* values, int64_t n) {
    values += kBlockAhead / static_cast<int64_t>(sizeof(W));
    for (int64_t i = 0; i < n; i += 64 / static_cast<int64_t>(sizeof(W)))
        __builtin_prefetch(values + i, 0, 3);
}

/// 2^x for x <= 0.
template <class V>
[[gnu::always_inline]] inline typename V::F weight_of(typename V::F x) {
    return exp2_sum<V>(V::max(V::set1(-250.0f), x), V::zero());
}

/// A head on its way through the blocks.
struct HeadSums {
    const float* q;
    float* y;
    float peak, sum;  // of the scores in units of log 2, and of their weights
};

/// Keys and values of a head in a block.
template <class W>
struct BlockOfHead {
    const W *k, *v;
    int64_t n, d;  // positions that are read, d_head
};

/// Products by lane of q and kKeys keys.
template <class V, class W, int kKeys>
[[gnu::always_inline]] inline void key_products(const float* q, const W* k, int64_t d,
                                                typename V::F* products) {
    using F = typename V::F;
    F sum[kKeys];
#pragma GCC unroll 4
    for (int s = 0; s < kKeys; ++s) sum[s] = V::zero();
    each_vector<V>(0, d, [&](int64_t e, auto part) {
        const F left = V::load(q + e, part);
#pragma GCC unroll 4
        for (int s = 0; s < kKeys; ++s) sum[s] = V::fma(left, V::load(k + s * d + e, part), sum[s]);
    });
#pragma GCC unroll 4
    for (int s = 0; s < kKeys; ++s) products[s] = sum[s];
}

/// Scores of a block's keys; the largest of each lane.
template <class V, class W>
[[gnu::always_inline]] inline typename V::F block_scores(const BlockOfHead<W>& b, const float* q,
                                                         float scale, float* scores) {
    using F = typename V::F;
    F highest = V::set1(kUnseen);
    for (int64_t first = 0; first < b.n; first += V::kLanes) {
        const W* const k = b.k + first * b.d;
        const int64_t left = b.n - first;
        F each[V::kLanes];
        if (left >= V::kLanes) {
#pragma GCC unroll 4
            for (int s = 0; s < V::kLanes; s += kTogether) {
                key_products<V, W, kTogether>(q, k + s * b.d, b.d, each + s);
                ask_ahead(k + s * b.d, kTogether * b.d);
            }
        } else {
            for (int s = 0; s < V::kLanes; ++s) each[s] = V::zero();
            for (int64_t s = 0; s < left; ++s) key_products<V, W, 1>(q, k + s * b.d, b.d, each + s);
            ask_ahead(k, left * b.d);
        }
        F score = V::mul(V::sum_each(each), V::set1(scale));
        if (left < V::kLanes) {
            const F seen = V::sub(V::set1(static_cast<float>(left) - 0.5f), V::lane_numbers());
            score = V::select_positive(seen, score, V::set1(kUnseen));
        }
        V::store(scores + first, typename V::All{}, score);
        highest = V::max(highest, score);
    }
    return highest;
}

/// Turns n scores into weights 2^(score - peak); the factor that corrects y, the sum so far, to the
/// new peak.
template <class V>
[[gnu::always_inline]] inline typename V::F block_weights(HeadSums& h, int64_t n,
                                                          typename V::F highest, float* scores) {
    using F = typename V::F;
    const float block_peak = V::largest(highest);
    const float peak = block_peak > h.peak ? block_peak : h.peak;
    const F factor = weight_of<V>(V::set1(h.peak - peak));
    F sum = V::zero();
    for (int64_t s = 0; s < n; s += V::kLanes) {
        const F weight = weight_of<V>(V::sub(V::load_aligned(scores + s), V::set1(peak)));
        V::store(scores + s, typename V::All{}, weight);
        sum = V::add(sum, weight);
    }
    h.peak = peak;
    h.sum = h.sum * V::first(factor) + V::sum(sum);
    return factor;
}

/// kVectors vectors of y from e on, the last one `part`: y factor + weights times a block's values,
/// those of even and of odd positions in a chain each.
template <class V, class W, int kVectors, class Part>
[[gnu::always_inline]] inline void add_values(const BlockOfHead<W>& b, int64_t e, Part part,
                                              const float* weights, typename V::F factor,
                                              float* y) {
    using F = typename V::F;
    F even[kVectors], odd[kVectors];
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
        even[i] = V::mul(V::load(y + e + i * V::kLanes, part), factor);
        odd[i] = V::zero();
    }
    const auto add = [&](int64_t s, F(&sum)[kVectors]) {
        const F weight = V::set1(weights[s]);
        const int64_t at = s * b.d + e;
#pragma GCC unroll 4
        for (int i = 0; i < kVectors; ++i)
            sum[i] = V::fma(weight, V::load(b.v + at + i * V::kLanes, part), sum[i]);
        ask_ahead(b.v + at, kVectors * V::kLanes);
    };
    int64_t s = 0;
    for (; s + 2 <= b.n; s += 2) {
        add(s, even);
        add(s + 1, odd);
    }
    if (s < b.n) add(s, even);
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i)
        V::store(y + e + i * V::kLanes, part, V::add(even[i], odd[i]));
}

template <class V, class W>
void attend_block(HeadSums& h, const BlockOfHead<W>& b, float scale) {
    using F = typename V::F;
    alignas(64) float scores[kMostPositions];
    const F highest = block_scores<V, W>(b, h.q, scale, scores);
    const F factor = block_weights<V>(h, b.n, highest, scores);
    int64_t e = 0;
    for (; e + kPieces * V::kLanes <= b.d; e += kPieces * V::kLanes)
        add_values<V, W, kPieces>(b, e, typename V::All{}, scores, factor, h.y);
    each_vector<V>(e, b.d, [&](int64_t at, auto part) {
        add_values<V, W, 1>(b, at, part, scores, factor, h.y);
    });
}

/// Heads first .. last - 1 of one row and one group of the cache, at most kHeadsAtOnce.
template <class V, class W>
void attend_heads(const DecodeAttentionArgs& a, int64_t row, int64_t first, int64_t last) {
    const CacheLayout& cache = a.cache;
    const int64_t d = cache.d_head, block = cache.block();
    HeadSums heads[kHeadsAtOnce];
    for (int64_t h = first; h < last; ++h) {
        float* const y = a.y + (row * cache.n_head + h) * d;
        heads[h - first] = {a.q + row * a.q_stride + h * d, y, kUnseen, 0.0f};
        for (int64_t e = 0; e < d; ++e) y[e] = 0.0f;
    }
    const W* const kv = static_cast<const W*>(a.kv) + row * cache.row();
    for (int64_t at = 0; at < a.kv_len; at += block)
        for (int64_t h = first; h < last; ++h) {
            const W* const k = kv + cache.keys(h, at);
            const int64_t n = a.kv_len - at < block ? a.kv_len - at : block;
            attend_block<V, W>(heads[h - first], {k, k + cache.values(at), n, d},
                               a.softmax_scale * kLog2e);
        }
    if (a.kv_len == 0) return;
    for (int64_t h = 0; h < last - first; ++h)
        for (int64_t e = 0; e < d; ++e) heads[h].y[e] /= heads[h].sum;
}

template <class V, class W>
void decode_attention(const DecodeAttentionArgs& a, int64_t first, int64_t last) {
    while (first < last) {
        const int64_t head = first % a.cache.n_head, left = a.cache.group - head % a.cache.group;
        int64_t n = left < last - first ? left : last - first;
        if (n > kHeadsAtOnce) n = kHeadsAtOnce;
        attend_heads<V, W>(a, first / a.cache.n_head, head, head + n);
        first += n;
    }
}

}  // namespace
}  // namespace knlp::kernels
