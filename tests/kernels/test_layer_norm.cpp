#include "kernels/layer_norm.h"

#include "guarded.h"

namespace knlp::kernels {
namespace {

struct Backend {
    const char* name;
    Isa needs;
    LayerNormFn forward, backward;
};
constexpr Backend kScalar = {"scalar", Isa::kScalar, layer_norm_forward_scalar,
                             layer_norm_backward_scalar};
constexpr Backend kBackends[] = {
    {"avx2", Isa::kAvx2, layer_norm_forward_avx2, layer_norm_backward_avx2},
    {"avx512", Isa::kAvx512, layer_norm_forward_avx512, layer_norm_backward_avx512}};

struct Case {
    int64_t rows = 3, width = 16, offset = 0;
    Storage y_type = Storage::kF32, dy_type = Storage::kF32;
    bool bias = true, with_y = true;
    enum { kNothing, kOther, kItself } add = kNothing;  // what dx is added to
    std::string text() const {
        return std::to_string(rows) + "x" + std::to_string(width) + " offset " +
               std::to_string(offset) + (y_type == Storage::kBf16 ? " y bf16" : "") +
               (dy_type == Storage::kBf16 ? " dy bf16" : "") + (bias ? " bias" : "") +
               (add == kOther    ? " add"
                : add == kItself ? " add to itself"
                                 : "") +
               (with_y ? " y" : "");
    }
};

/// Everything one call reads and writes. Rows 0 and rows - 1 are left out of the range: their
/// outputs must stay as they are.
struct Call {
    Case c;
    Guarded x, weight, bias, y, mean, rstd, dy, dx, dweight, dbias, other;
    explicit Call(const Case& k)
        : c(k),
          x(Guarded::normal(Storage::kF32, k.rows * k.width, k.offset, 1, 2.0f, 3.0f)),
          weight(Guarded::normal(Storage::kF32, k.width, k.offset, 2)),
          bias(Guarded::normal(Storage::kF32, k.width, k.offset, 3)),
          y(k.y_type, k.rows * k.width, k.offset, 7.0f),
          mean(Storage::kF32, k.rows, k.offset),
          rstd(Storage::kF32, k.rows, k.offset),
          dy(Guarded::normal(k.dy_type, k.rows * k.width, k.offset, 4)),
          dx(Guarded::normal(Storage::kF32, k.rows * k.width, k.offset, 5)),
          dweight(Guarded::normal(Storage::kF32, k.width, k.offset, 6)),
          dbias(Guarded::normal(Storage::kF32, k.width, k.offset, 7)),
          other(Guarded::normal(Storage::kF32, k.rows * k.width, k.offset, 8)) {}

    LayerNormArgs args() {
        LayerNormArgs a;
        a.x = x.f32();
        a.weight = weight.f32();
        a.bias = c.bias ? bias.f32() : nullptr;
        a.y = c.with_y ? y.data() : nullptr;
        a.mean = mean.f32();
        a.rstd = rstd.f32();
        a.dy = dy.data();
        a.dx = dx.f32();
        a.dweight = dweight.f32();
        a.dbias = c.bias ? dbias.f32() : nullptr;
        a.width = c.width;
        if (c.add != Case::kNothing) a.add = c.add == Case::kItself ? a.dx : other.f32();
        a.y_type = c.y_type;
        a.dy_type = c.dy_type;
        return a;
    }
};

/// A bfloat16 has 8 bits: two roundings of nearly equal values differ by at most one unit, 2^-7.
double rounding(Storage type) {
    return type == Storage::kBf16 ? 0x1p-7 : 0.0;
}

constexpr int64_t kWidths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 129, 768, 1001};

TEST(LayerNorm, EveryBackendForwardIsNearScalar) {
    for (const Backend& backend : kBackends)
        for (const int64_t width : kWidths)
            for (const int64_t rows : {2, 5})
                for (const Storage type : {Storage::kF32, Storage::kBf16})
                    for (const bool bias : {true, false}) {
                        if (!runs(backend.needs)) continue;
                        const Case c{.rows = rows,
                                     .width = width,
                                     .offset = width % 4,
                                     .y_type = type,
                                     .bias = bias};
                        Call wanted(c), got(c);
                        kScalar.forward(wanted.args(), 1, rows - 1);
                        backend.forward(got.args(), 1, rows - 1);
                        const std::string where = backend.name + (" " + c.text());
                        // Sums of 1001 float32 values of size 3 in any order: well below 1e-5 each.
                        got.mean.expect_near(wanted.mean, 2e-6, 2e-6, where + " mean");
                        got.rstd.expect_near(wanted.rstd, 1e-5, 0, where + " rstd");
                        got.y.expect_near(wanted.y, 2e-5 + rounding(type), 5e-5, where + " y");
                    }
}

TEST(LayerNorm, EveryBackendBackwardIsNearScalar) {
    const Case flavours[] = {{},
                             {.with_y = false, .add = Case::kItself},
                             {.add = Case::kOther},
                             {.bias = false},
                             {.y_type = Storage::kBf16, .add = Case::kItself},
                             {.dy_type = Storage::kBf16},
                             {.y_type = Storage::kBf16, .dy_type = Storage::kBf16}};
    for (const Backend& backend : kBackends)
        for (const int64_t width : kWidths)
            for (const int64_t rows : {2, 3, 4, 7})
                for (Case c : flavours) {
                    if (!runs(backend.needs)) continue;
                    c.rows = rows;
                    c.width = width;
                    c.offset = width % 4;
                    Call wanted(c), got(c);
                    // The same statistics for both, as the backward pass is what is compared.
                    kScalar.forward(wanted.args(), 0, rows);
                    got.mean = wanted.mean;
                    got.rstd = wanted.rstd;
                    wanted.y = got.y;
                    kScalar.backward(wanted.args(), 1, rows - 1);
                    backend.backward(got.args(), 1, rows - 1);
                    const std::string where = backend.name + (" " + c.text());
                    // dx sums terms as large as rstd |dy|, and rstd is near 316 for a width of 1.
                    const double scale = width < 8 ? 1e-2 : 2e-5;
                    got.dx.expect_near(wanted.dx, 2e-5, scale, where + " dx");
                    got.dweight.expect_near(wanted.dweight, 2e-5, 2e-5, where + " dweight");
                    got.dbias.expect_near(wanted.dbias, 2e-5, 2e-5, where + " dbias");
                    got.y.expect_near(wanted.y, 2e-5 + rounding(c.y_type), 5e-5, where + " y");
                }
}

TEST(LayerNorm, ScalarGradientIsTheFiniteDifference) {
    const Case c{.rows = 1, .width = 6, .with_y = false};
    Call run(c);
    // The loss is sum(y dy), in double, of the formula as it stands in the paper.
    const auto loss = [&](int64_t moved, double by, char what) {
        double x[6], mean = 0, variance = 0, sum = 0;
        for (int64_t j = 0; j < 6; ++j)
            x[j] = static_cast<double>(run.x.at(j)) + (what == 'x' && j == moved ? by : 0.0);
        for (const double v : x) mean += v / 6;
        for (const double v : x) variance += (v - mean) * (v - mean) / 6;
        for (int64_t j = 0; j < 6; ++j) {
            const double w =
                static_cast<double>(run.weight.at(j)) + (what == 'w' && j == moved ? by : 0.0);
            const double b =
                static_cast<double>(run.bias.at(j)) + (what == 'b' && j == moved ? by : 0.0);
            sum += static_cast<double>(run.dy.at(j)) *
                   ((x[j] - mean) / std::sqrt(variance + 1e-5) * w + b);
        }
        return sum;
    };
    for (int64_t j = 0; j < 6; ++j) {
        run.dweight.set(j, 0.0f);
        run.dbias.set(j, 0.0f);
    }
    kScalar.forward(run.args(), 0, 1);
    kScalar.backward(run.args(), 0, 1);
    for (int64_t j = 0; j < 6; ++j) {
        const auto slope = [&](char what) {
            return (loss(j, 1e-4, what) - loss(j, -1e-4, what)) / 2e-4;
        };
        EXPECT_NEAR(static_cast<double>(run.dx.at(j)), slope('x'), 1e-6) << j;
        EXPECT_NEAR(static_cast<double>(run.dweight.at(j)), slope('w'), 1e-6) << j;
        EXPECT_NEAR(static_cast<double>(run.dbias.at(j)), slope('b'), 1e-6) << j;
    }
}

TEST(LayerNorm, FromStatisticsAndBackwardGiveTheBitsOfYAgain) {
    for (const Backend& backend : {kScalar, kBackends[0], kBackends[1]})
        for (const Storage type : {Storage::kF32, Storage::kBf16}) {
            if (!runs(backend.needs)) continue;
            Call run({.rows = 4, .width = 37, .y_type = type});
            backend.forward(run.args(), 0, 4);
            const Guarded y = run.y;
            for (int64_t i = 0; i < y.size(); ++i) run.y.set(i, 0.0f);
            LayerNormArgs again = run.args();
            again.from_statistics = true;
            backend.forward(again, 0, 4);
            EXPECT_TRUE(run.y.same_bits(y)) << backend.name << " forward";
            for (int64_t i = 0; i < y.size(); ++i) run.y.set(i, 0.0f);
            backend.backward(run.args(), 0, 4);
            EXPECT_TRUE(run.y.same_bits(y)) << backend.name << " backward";
        }
}

TEST(LayerNorm, GradientMayTakeThePlaceOfTheIncomingOne) {
    for (const Backend& backend : {kScalar, kBackends[0], kBackends[1]}) {
        if (!runs(backend.needs)) continue;
        Call apart({.rows = 3, .width = 50}), inside({.rows = 3, .width = 50});
        for (Call* run : {&apart, &inside}) backend.forward(run->args(), 0, 3);
        backend.backward(apart.args(), 0, 3);
        LayerNormArgs args = inside.args();
        args.dx = inside.dy.f32();
        backend.backward(args, 0, 3);
        EXPECT_TRUE(inside.dy.same_bits(apart.dx)) << backend.name;
    }
}

TEST(LayerNorm, StatisticsAloneNeedNoOutput) {
    for (const Backend& backend : {kScalar, kBackends[0], kBackends[1]}) {
        if (!runs(backend.needs)) continue;
        Call with({.rows = 3, .width = 20}), without({.rows = 3, .width = 20, .with_y = false});
        backend.forward(with.args(), 0, 3);
        backend.forward(without.args(), 0, 3);
        EXPECT_TRUE(with.mean.same_bits(without.mean)) << backend.name;
        EXPECT_TRUE(with.rstd.same_bits(without.rstd)) << backend.name;
    }
}

TEST(LayerNorm, NotANumberStaysInItsRow) {
    for (const Backend& backend : {kScalar, kBackends[0], kBackends[1]}) {
        if (!runs(backend.needs)) continue;
        Call run({.rows = 3, .width = 21});
        run.x.set(21 + 20, std::nanf(""));
        backend.forward(run.args(), 0, 3);
        for (int64_t j = 0; j < 21; ++j) {
            EXPECT_TRUE(std::isfinite(run.y.at(j))) << backend.name;
            EXPECT_TRUE(std::isnan(run.y.at(21 + j))) << backend.name;
            EXPECT_TRUE(std::isfinite(run.y.at(42 + j))) << backend.name;
        }
    }
}

}  // namespace
}  // namespace knlp::kernels
