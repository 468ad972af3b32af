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
// the panels stay in their caches (gemm_blocking.h): a tile of R x W values takes R + W loads for
// R W products, so neither loads nor the latency of the sums bind. Packing costs a load and a store
// a value, so operands that lie well are read where they are.

#include "kernels/cpu/gemm_blocking.h"
#include "kernels/cpu/gemm_finish_simd.h"
#include "kernels/cpu/gemm_pack_simd.h"
#include "kernels/cpu/gemm_tile_simd.h"
#include "kernels/gemm.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

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
    int64_t row_tiles = 0, tile_height = 0, higher_tiles = 0;
    bool tiled = false;                             // partial sums lie in `tile`, not in C
    bool a_lies_well = false, b_lies_well = false;  // read in place: packing would cost more

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
        const int64_t longest =
            I::kPerUnit * (args.c_type == Storage::kBf16 ? GemmBlocking::kUnitsWithoutSums
                                                         : GemmBlocking::kUnits);
        stretches = most(1, divide_up(args.k, longest));
        stretch = divide_up(divide_up(args.k, stretches), kGrain) * kGrain;
        if (stretch > 0) stretches = divide_up(args.k, stretch);
        row_tiles = divide_up(share.rows.size(), I::kRows);
        if (row_tiles > 0) {
            tile_height = share.rows.size() / row_tiles;
            higher_tiles = share.rows.size() % row_tiles;
        }
        tiled = args.c_type == Storage::kBf16 && stretches > 1;
        a_lies_well = share.columns.size() <= 24 * kWidth && in_units(a) && spreads(a);
        b_lies_well = row_tiles <= 64 && b.lanes_contiguous && in_units(b) && spreads(b);
    }

    /// Whether the values in memory already are the units that a register tile takes.
    bool in_units(const Operand& op) const {
        if (I::kPerUnit == 1) return op.type == Storage::kF32 && !round;
        return op.type == Storage::kBf16 && !op.lanes_contiguous && op.ld % 2 == 0 &&
               args.k % 2 == 0 && reinterpret_cast<uintptr_t>(op.data) % 4 == 0;
    }
    /// Lines 4096 bytes apart share one set of the first-level cache.
    static bool spreads(const Operand& op) { return op.ld * bytes_of(op.type) % 4096 != 0; }

    /// First row of tile t; heights differ by one at most, the higher tiles come first.
    int64_t tile_row(int64_t t) const {
        return share.rows.first + t * tile_height + least(t, higher_tiles);
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
            const bool in_place = b_lies_well && now == padded;
            if (pack_b && !in_place) pack<I>(b, round, j, now, k_range(s), strip, padded);
            const Strip right{{j, j + now},
                              in_place ? at<float>(b, j, k_range(s).first) : strip,
                              in_place ? b.ld : padded};
            multiply_strip(tiles, right, columns, s, pack_b || in_place);
            if (keep_b) strip += padded * depth;
        }
    }

    void pack_rows(Range tiles, int64_t s) {
        if (a_lies_well) return;
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

    // Fetches are written where they are read: a copy's wide load of fields just stored one by one
    // waits for the stores of the whole tile before it.

    /// What the next strip of B is packed from.
    void fetch_strip(Range strip, Range columns, int64_t s, int64_t turns, Fetch& f) const {
        if (strip.last >= columns.last) return;
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
    }

    /// A tile's rectangle of a matrix laid out as C.
    void fetch_rows(const void* p, Storage type, Range rows, int64_t column, int64_t lines_a_turn,
                    Fetch& f) const {
        const int64_t size = bytes_of(type);
        f.base = static_cast<const char*>(p) + size * (rows.first * args.ldc + column);
        f.stride = size * args.ldc;
        f.rows = rows.size();
        f.lines = kWidth / 16 + (f.stride % 64 != 0 ? 1 : 0);
        f.each = lines_a_turn;
        f.row = f.line = 0;
    }

    /// What the epilogue of the next tile reads and writes: C, the residual, `pre` and `post`.
    void fetch_tile(Range rows, int64_t column, int64_t s, int64_t lines_a_turn,
                    Fetch* fetches) const {
        using enum GemmEpilogue;
        if (!tiled) fetch_rows(args.c, args.c_type, rows, column, lines_a_turn, fetches[0]);
        if (s == 0 && args.epilogue == kResidual && args.residual != args.c)
            fetch_rows(args.residual, Storage::kF32, rows, column, lines_a_turn, fetches[1]);
        if (s < stretches - 1) return;
        const bool gradient = is_gradient(args.epilogue);
        if (gradient) fetch_rows(args.pre, args.aux_type, rows, column, lines_a_turn, fetches[1]);
        const void* written = gradient ? args.post : args.pre;
        if (written != nullptr)
            fetch_rows(written, args.aux_type, rows, column, lines_a_turn, fetches[2]);
    }

    /// A strip of B as the register tile reads it.
    struct Strip {
        Range columns;
        const float* units;
        int64_t stride;  // from one k to the next
    };

    /// All row tiles of a block times one strip of B. `fetch`: the next strip is not packed yet.
    void multiply_strip(Range tiles, const Strip& strip, Range columns, int64_t s, bool fetch) {
        const int64_t depth = units(k_range(s)), turns = most(1, divide_up(depth, kTurn));
        Fetch fetches[kFetches];
        if (fetch) fetch_strip(strip.columns, columns, s, tiles.size() * turns, fetches[0]);
        const int64_t lines = kWidth / 16 + (args.ldc % 16 != 0 ? 1 : 0);
        const int64_t lines_a_turn = divide_up(I::kRows * lines, turns);
        for (int64_t t = tiles.first; t < tiles.last; ++t) {
            const bool last = t + 1 == tiles.last;
            const int64_t next = last ? tiles.first : t + 1;
            if (!last || strip.columns.last < columns.last)
                fetch_tile({tile_row(next), tile_row(next + 1)},
                           last ? strip.columns.last : strip.columns.first, s, lines_a_turn,
                           fetches + 1);
            TileArgs tile_args{
                .b = strip.units, .stride_b = strip.stride, .units = depth, .fetches = fetches};
            if (a_lies_well) {
                tile_args.a = in_place_a(tile_row(t), k_range(s).first);
                tile_args.stride_a = a.ld / I::kPerUnit;
            } else {
                tile_args.a = panel_a + (t - tiles.first) * depth * I::kStride;
                tile_args.stride_a = I::kStride;
            }
            multiply_and_finish(tile_args, {tile_row(t), tile_row(t + 1)}, strip.columns,
                                partial_at(tiles, columns, tile_row(t), strip.columns.first), s);
        }
    }

    const float* in_place_a(int64_t row, int64_t k) const {
        if (I::kPerUnit == 1) return at<float>(a, row, k);
        return reinterpret_cast<const float*>(at<uint16_t>(a, row, k));
    }

    void multiply_and_finish(TileArgs& tile_args, Range rows, Range columns, float* partial,
                             int64_t s) {
        using enum GemmEpilogue;
        const int64_t vectors = divide_up(columns.size(), V::kLanes);
        const bool row_major = a_lies_well && !a.lanes_contiguous;
        const MultiplyTile multiply = tile_of<I>(rows.size(), vectors, row_major);
        const int64_t partial_ld = tiled ? GemmBlocking::kTileColumns : args.ldc;
        const bool first = s == 0, last = s == stretches - 1, f32 = args.c_type == Storage::kF32;
        const bool starts_plain = !first || (args.accumulate ? f32 : args.epilogue != kResidual);
        const bool ends_plain = !last || (f32 && args.bias == nullptr &&
                                          (args.epilogue == kNone || args.epilogue == kResidual));
        if (starts_plain && ends_plain && columns.size() == vectors * V::kLanes) {
            tile_args.out = partial;
            tile_args.ld = partial_ld;
            tile_args.add = !first || args.accumulate;
            multiply(tile_args);
            return;
        }
        static_assert(I::kRows <= Finished::kMaxRows);
        alignas(64) float sums[I::kRows * Finished::kStride];
        tile_args.out = sums;
        tile_args.ld = Finished::kStride;
        multiply(tile_args);
        finish<V>(args, {rows.first, columns.first, rows.size(), columns.size(), sums, partial,
                         partial_ld, first, last});
    }
};

}  // namespace
}  // namespace knlp::kernels
