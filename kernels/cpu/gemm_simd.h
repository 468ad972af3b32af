#pragma once

// The blocked product for one level. Template parameter I of everything here:
//   V                  vector type of simd_*.h; kRows x kVectors vectors are the register tile
//   kStride            floats from one k to the next in a packed row tile: whole aligned vectors
//   kPerUnit           values of k in one 32-bit unit of a packed panel: 1, or 2 for bfloat16 pairs
//   multiply_add(c, a, b)             c + sum of the products of the units
//   load_units<T, round>(p, k)        the units of p[0 .. k), at most one vector of them
//   load_lanes<T, round>(p, ld, k, part)   unit of lanes p[j], p[ld + j] (zero where k < 2)
//   transpose(F[kLanes])
// All of it has internal linkage: no linker can take this copy for the one of another level.
//
// 2 m n k operations; A, B and C move once per block. Limited by the multiply-add rate as long as
// the packed panels stay in their caches (gemm_blocking.h): a tile of R x W values takes R + W
// loads for R W products, so neither loads nor the latency of the sums bind.

#include "kernels/cpu/gemm_blocking.h"
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
    const float* a;
    const float* b;
    int64_t units;
    float* out;
    int64_t ld;
    bool add;
    Fetch* fetches;  // kFetches of them
};
constexpr int kFetches = 3;
constexpr int64_t kTurn = 16;  // units between two turns of fetching

/// out [kHeight, kWide vectors] (=, or += with add) panel a times panel b.
template <class I, int kHeight, int kWide>
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
#pragma GCC unroll 2
        for (int64_t u = 0; u < now; ++u, a += I::kStride, b += kWide * kLanes) {
            F right[kWide];
#pragma GCC unroll 4
            for (int v = 0; v < kWide; ++v) right[v] = V::load(b + v * kLanes, kAll);
#pragma GCC unroll 16
            for (int i = 0; i < kHeight; ++i) {
                const F left = V::set1(a[i]);
#pragma GCC unroll 4
                for (int v = 0; v < kWide; ++v)
                    sum[i][v] = I::multiply_add(sum[i][v], left, right[v]);
            }
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

/// The register tile of `height` rows; I::kRows of them exist.
template <class I, int kWide, int kHeight = I::kRows>
MultiplyTile tile_of(int64_t height) {
    if (height == kHeight) return multiply_tile<I, kHeight, kWide>;
    if constexpr (kHeight > 1) return tile_of<I, kWide, kHeight - 1>(height);
    return nullptr;
}

/// A rectangle of C whose sums over some stretch of k lie in `sums`, rows kStride floats apart.
struct Finished {
    static constexpr int64_t kStride = 64;
    int64_t row, column, rows, columns;
    const float* sums;
    float* partial;  // where sums over less than k go and come from: C itself, or float32 beside it
    int64_t partial_ld;
    bool first, last;  // stretch of k
};

template <class V>
typename V::F load_any(const void* p, Storage type, int64_t i, auto part) {
    if (type == Storage::kF32) return V::load(static_cast<const float*>(p) + i, part);
    return V::load(static_cast<const uint16_t*>(p) + i, part);
}
template <class V>
void store_any(void* p, Storage type, int64_t i, auto part, typename V::F x) {
    if (type == Storage::kF32)
        V::store(static_cast<float*>(p) + i, part, x);
    else
        V::store(static_cast<uint16_t*>(p) + i, part, x);
}

/// One vector of finished values: epilogue, C, pre, post.
template <class V, GemmEpilogue kEpilogue>
void finish_vector(const GemmArgs& args, int64_t i, auto part, typename V::F x) {
    using enum GemmEpilogue;
    if constexpr (kEpilogue == kGeluTanh || kEpilogue == kGeluErf) {
        if (args.pre != nullptr) store_any<V>(args.pre, args.aux_type, i, part, x);
        x = kEpilogue == kGeluTanh ? gelu_tanh<V>(x) : gelu_erf<V>(x);
    }
    if constexpr (kEpilogue == kGeluTanhGrad || kEpilogue == kGeluErfGrad) {
        constexpr bool kTanh = kEpilogue == kGeluTanhGrad;
        const typename V::F pre = load_any<V>(args.pre, args.aux_type, i, part);
        x = V::mul(x, kTanh ? gelu_tanh_slope<V>(pre) : gelu_erf_slope<V>(pre));
        if (args.post != nullptr)
            store_any<V>(args.post, args.aux_type, i, part,
                         kTanh ? gelu_tanh<V>(pre) : gelu_erf<V>(pre));
    }
    store_any<V>(args.c, args.c_type, i, part, x);
}

/// Adds what C starts from (its old value, the residual, the sums so far) and, after the last
/// stretch of k, the bias; then the epilogue. C is read before it is written, so it may be the
/// residual.
template <class V, GemmEpilogue kEpilogue>
void finish_columns(const GemmArgs& args, const Finished& f, int64_t v, auto part) {
    const int64_t column = f.column + v;
    const typename V::F bias = f.last && args.bias != nullptr
                                   ? V::load(args.bias + column, part)
                                   : V::set1(-0.0f);  // x + -0 = x, for -0 too
    for (int64_t r = 0; r < f.rows; ++r) {
        const int64_t i = (f.row + r) * args.ldc + column;
        typename V::F x = V::load(f.sums + r * Finished::kStride + v, typename V::All{});
        float* const partial = f.partial + r * f.partial_ld + v;
        if (!f.first)
            x = V::add(V::load(partial, part), x);
        else if (args.accumulate)
            x = V::add(load_any<V>(args.c, args.c_type, i, part), x);
        else if (kEpilogue == GemmEpilogue::kResidual)
            x = V::add(V::load(args.residual + i, part), x);
        if (f.last)
            finish_vector<V, kEpilogue>(args, i, part, V::add(x, bias));
        else
            V::store(partial, part, x);
    }
}

template <class V, GemmEpilogue kEpilogue>
void finish_as(const GemmArgs& args, const Finished& f) {
    int64_t v = 0;
    for (; v + V::kLanes <= f.columns; v += V::kLanes)
        finish_columns<V, kEpilogue>(args, f, v, typename V::All{});
    if (v < f.columns) finish_columns<V, kEpilogue>(args, f, v, V::head(f.columns - v));
}

template <class V>
void finish(const GemmArgs& args, const Finished& f) {
    switch (args.epilogue) {
        case GemmEpilogue::kNone:
            return finish_as<V, GemmEpilogue::kNone>(args, f);
        case GemmEpilogue::kResidual:
            return finish_as<V, GemmEpilogue::kResidual>(args, f);
        case GemmEpilogue::kGeluTanh:
            return finish_as<V, GemmEpilogue::kGeluTanh>(args, f);
        case GemmEpilogue::kGeluErf:
            return finish_as<V, GemmEpilogue::kGeluErf>(args, f);
        case GemmEpilogue::kGeluTanhGrad:
            return finish_as<V, GemmEpilogue::kGeluTanhGrad>(args, f);
        case GemmEpilogue::kGeluErfGrad:
            return finish_as<V, GemmEpilogue::kGeluErfGrad>(args, f);
    }
}

/// Rectangle of C that part `part` does: a grid over C that costs its largest part least, packing
/// included (kPackCost columns or rows of products). It depends on the shape alone, and no sum
/// does.
struct Share {
    Range rows, columns;
};
template <class I>
Share share_of(int64_t m, int64_t n, int64_t part, int64_t parts) {
    constexpr int64_t kPackCost = 8, kWidth = I::kVectors * I::V::kLanes;
    const int64_t panels = divide_up(n, kWidth);
    int64_t best = 1, best_cost = -1;
    for (int64_t down = 1; down <= parts; ++down) {
        if (parts % down != 0) continue;
        const int64_t rows = divide_up(m, down), columns = divide_up(panels, parts / down) * kWidth;
        const int64_t cost = rows * columns + kPackCost * (rows + columns);
        if (best_cost < 0 || cost < best_cost) {
            best_cost = cost;
            best = down;
        }
    }
    const int64_t across = parts / best, row = part / across, column = part % across;
    return {{m * row / best, m * (row + 1) / best},
            {least(n, panels * column / across * kWidth),
             least(n, panels * (column + 1) / across * kWidth)}};
}

/// The state of one part's work.
template <class I>
struct Product {
    using V = typename I::V;
    static constexpr int64_t kWidth = I::kVectors * V::kLanes;

    const GemmArgs& args;
    Operand a, b;
    bool round;
    float *panel_a, *panel_b, *tile;
    Share share;
    int64_t stretch = 0, stretches = 0;  // of k: length (values) and number
    int64_t row_tiles = 0;
    bool tiled = false;  // partial sums lie in `tile`, not in C

    Product(const GemmArgs& args_, int64_t part, int64_t parts, void* workspace)
        : args(args_),
          a{args_.a, args_.lda, args_.a_type, args_.transpose_a},
          b{args_.b, args_.ldb, args_.b_type, !args_.transpose_b},
          round(args_.compute == Storage::kBf16),
          panel_a(static_cast<float*>(workspace)),
          panel_b(panel_a + GemmBlocking::kPanelA + GemmBlocking::kSlack),
          tile(panel_b + GemmBlocking::kPanelB + GemmBlocking::kSlack),
          share(share_of<I>(args_.m, args_.n, part, parts)) {
        constexpr int64_t kGrain = V::kLanes * I::kPerUnit;
        constexpr int64_t kLongest = GemmBlocking::kUnits * I::kPerUnit;
        stretches = most(1, divide_up(args.k, kLongest));
        stretch = divide_up(divide_up(args.k, stretches), kGrain) * kGrain;
        if (stretch > 0) stretches = divide_up(args.k, stretch);
        row_tiles = divide_up(share.rows.size(), I::kRows);
        tiled = args.c_type == Storage::kBf16 && stretches > 1;
    }

    int64_t tile_row(int64_t t) const {
        return share.rows.first + share.rows.size() * t / row_tiles;
    }
    int64_t units(Range k) const { return divide_up(k.size(), I::kPerUnit); }
    Range k_range(int64_t s) const { return {s * stretch, least(args.k, (s + 1) * stretch)}; }

    void run() {
        if (share.rows.size() <= 0 || share.columns.size() <= 0) return;
        const int64_t longest = most(1, units(k_range(0)));
        int64_t tiles = most(1, GemmBlocking::kPanelA / longest / I::kStride);
        int64_t width = GemmBlocking::kPanelB / longest / kWidth * kWidth;
        if (tiled) {
            tiles = least(tiles, GemmBlocking::kTileRows / I::kRows);
            width = least(width, GemmBlocking::kTileColumns);
        }
        tiles = divide_up(row_tiles, divide_up(row_tiles, tiles));
        for (int64_t j = share.columns.first; j < share.columns.last; j += width) {
            const Range columns{j, least(share.columns.last, j + width)};
            if (tiled)
                run_rows_first(columns, tiles);
            else
                run_stretches_first(columns, tiles);
        }
    }

    /// The panel of B is packed once a stretch of k; partial sums live in C.
    void run_stretches_first(Range columns, int64_t tiles) {
        for (int64_t s = 0; s < stretches; ++s)
            for (int64_t t = 0; t < row_tiles; t += tiles)
                block({t, least(row_tiles, t + tiles)}, columns, s, t == 0);
    }

    /// The partial sums of one block fit beside C; B is packed again for each block of rows.
    void run_rows_first(Range columns, int64_t tiles) {
        for (int64_t t = 0; t < row_tiles; t += tiles)
            for (int64_t s = 0; s < stretches; ++s)
                block({t, least(row_tiles, t + tiles)}, columns, s, true);
    }

    void block(Range tiles, Range columns, int64_t s, bool pack_b) {
        const int64_t depth = units(k_range(s));
        pack_rows(tiles, s);
        const bool keep_b = row_tiles > tiles.size();  // one strip stays nearer than a panel
        float* strip = panel_b;
        for (int64_t j = columns.first; j < columns.last; j += kWidth) {
            const int64_t now = least(kWidth, columns.last - j);
            const int64_t padded = divide_up(now, V::kLanes) * V::kLanes;
            if (pack_b) pack<I>(b, round, j, now, k_range(s), strip, padded);
            multiply_strip(tiles, {j, j + now}, columns, s, strip, pack_b);
            if (keep_b) strip += padded * depth;
        }
    }

    void pack_rows(Range tiles, int64_t s) {
        const Range k = k_range(s);
        const int64_t depth = units(k), first = tiles.first;
        // Rows of A^T are read along, a few at a time: a tile takes less than a line of each.
        const int64_t chunk = a.lanes_contiguous ? 16 * I::kPerUnit : most(1, k.size());
        for (int64_t p = k.first; p < k.last; p += chunk)
            for (int64_t t = first; t < tiles.last; ++t)
                pack<I>(a, round, tile_row(t), tile_row(t + 1) - tile_row(t),
                        {p, least(k.last, p + chunk)},
                        panel_a + ((t - first) * depth + (p - k.first) / I::kPerUnit) * I::kStride,
                        I::kStride);
    }

    /// The rows x columns rectangle of C or beside C where sums go before the last stretch of k.
    float* partial_at(Range tiles, Range columns, int64_t row, int64_t column) const {
        if (!tiled) return static_cast<float*>(args.c) + row * args.ldc + column;
        return tile + (row - tile_row(tiles.first)) * GemmBlocking::kTileColumns +
               (column - columns.first);
    }

    /// What the next strip of B is packed from.
    Fetch fetch_strip(Range strip, Range columns, int64_t s, int64_t turns) const {
        Fetch f;
        if (strip.last >= columns.last) return f;
        const Range k = k_range(s);
        const int64_t size = bytes_of(b.type);
        const int64_t now = least(kWidth, columns.last - strip.last);
        const int64_t first =
            b.lanes_contiguous ? k.first * b.ld + strip.last : strip.last * b.ld + k.first;
        f.base = static_cast<const char*>(b.data) + size * first;
        f.stride = size * b.ld;
        f.rows = b.lanes_contiguous ? k.size() : now;
        f.lines = divide_up(size * (b.lanes_contiguous ? now : k.size()), 64);
        f.each = divide_up(f.rows * f.lines, turns);
        return f;
    }

    Fetch fetch_rows(const void* p, Storage type, int64_t row, int64_t rows, int64_t column,
                     int64_t turns) const {
        const int64_t size = bytes_of(type);
        Fetch f;
        f.base = static_cast<const char*>(p) + size * (row * args.ldc + column);
        f.stride = size * args.ldc;
        f.rows = rows;
        f.lines = divide_up(size * kWidth, 64) + (f.stride % 64 != 0 ? 1 : 0);
        f.each = divide_up(f.rows * f.lines, turns);
        return f;
    }

    /// What the epilogue of the next tile reads and writes: C, and the residual or `pre`.
    void fetch_tile(int64_t row, int64_t rows, int64_t column, int64_t s, int64_t turns,
                    Fetch* fetches) const {
        using enum GemmEpilogue;
        if (!tiled) fetches[0] = fetch_rows(args.c, args.c_type, row, rows, column, turns);
        if (s == 0 && args.epilogue == kResidual && args.residual != args.c)
            fetches[1] = fetch_rows(args.residual, Storage::kF32, row, rows, column, turns);
        if (s == stretches - 1 && (args.epilogue == kGeluTanhGrad || args.epilogue == kGeluErfGrad))
            fetches[1] = fetch_rows(args.pre, args.aux_type, row, rows, column, turns);
    }

    /// All row tiles of a block times one packed strip of B.
    void multiply_strip(Range tiles, Range strip, Range columns, int64_t s, const float* panel,
                        bool pack_b) {
        alignas(64) float sums[I::kRows * Finished::kStride];
        const int64_t depth = units(k_range(s)), vectors = divide_up(strip.size(), V::kLanes);
        const bool first = s == 0, last = s == stretches - 1;
        const bool whole = strip.size() == vectors * V::kLanes;
        const bool starts_empty = !args.accumulate && args.epilogue != GemmEpilogue::kResidual;
        const bool plain =
            !last ||
            (args.c_type == Storage::kF32 && args.bias == nullptr &&
             (args.epilogue == GemmEpilogue::kNone || args.epilogue == GemmEpilogue::kResidual));
        const bool direct =
            whole && plain &&
            (!first || starts_empty || (args.accumulate && args.c_type == Storage::kF32));
        const int64_t turns = most(1, divide_up(depth, kTurn));
        Fetch fetches[kFetches];
        if (pack_b) fetches[0] = fetch_strip(strip, columns, s, tiles.size() * turns);
        for (int64_t t = tiles.first; t < tiles.last; ++t) {
            const int64_t row = tile_row(t), rows = tile_row(t + 1) - row;
            float* partial = partial_at(tiles, columns, row, strip.first);
            const int64_t partial_ld = tiled ? GemmBlocking::kTileColumns : args.ldc;
            if (t + 1 < tiles.last)
                fetch_tile(tile_row(t + 1), rows, strip.first, s, turns, fetches + 1);
            else if (strip.last < columns.last)
                fetch_tile(tile_row(tiles.first), rows, strip.last, s, turns, fetches + 1);
            const MultiplyTile multiply =
                vectors == I::kVectors ? tile_of<I, I::kVectors>(rows) : tile_of<I, 1>(rows);
            const float* left = panel_a + (t - tiles.first) * depth * I::kStride;
            if (direct) {
                multiply(
                    {left, panel, depth, partial, partial_ld, !first || args.accumulate, fetches});
            } else {
                multiply({left, panel, depth, sums, Finished::kStride, false, fetches});
                finish<V>(args, {row, strip.first, rows, strip.size(), sums, partial, partial_ld,
                                 first, last});
            }
        }
    }
};

}  // namespace
}  // namespace knlp::kernels
