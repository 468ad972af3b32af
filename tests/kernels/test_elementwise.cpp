#include "kernels/elementwise.h"

#include "gelu_reference.h"
#include "guarded.h"

#include <limits>

namespace knlp::kernels {
namespace {

struct Backend {
    const char* name;
    Isa needs;
    ColumnSumFn column_sum;
    GeluFn gelu;
    ConvertFn convert;
    EmbeddingFn embedding_forward, embedding_backward;
};
constexpr Backend kBackends[] = {
    {"scalar", Isa::kScalar, column_sum_scalar, gelu_scalar, convert_scalar,
     embedding_forward_scalar, embedding_backward_scalar},
    {"avx2", Isa::kAvx2, column_sum_avx2, gelu_avx2, convert_avx2, embedding_forward_avx2,
     embedding_backward_avx2},
    {"avx512", Isa::kAvx512, column_sum_avx512, gelu_avx512, convert_avx512,
     embedding_forward_avx512, embedding_backward_avx512}};

std::vector<Backend> runnable() {
    std::vector<Backend> found;
    for (const Backend& backend : kBackends)
        if (runs(backend.needs)) found.push_back(backend);
    return found;
}

constexpr int64_t kLengths[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 257, 1000};

TEST(ColumnSum, EveryBackendIsNearScalar) {
    for (const Backend& backend : runnable())
        for (const int64_t width : kLengths)
            for (const int64_t rows : {0, 1, 2, 15, 16, 17, 50})
                for (const Storage type : {Storage::kF32, Storage::kBf16})
                    for (const bool add : {false, true}) {
                        const int64_t offset = width % 3, stride = width + 5;
                        Guarded x = Guarded::normal(type, rows * stride, offset, 1);
                        Guarded got = Guarded::normal(Storage::kF32, width, offset, 2);
                        Guarded wanted = got;
                        ColumnSumArgs args;
                        args.x = x.data();
                        args.rows = rows;
                        args.stride = stride;
                        args.type = type;
                        args.add = add;
                        args.out = wanted.f32();
                        column_sum_scalar(args, width / 3, width);
                        args.out = got.f32();
                        backend.column_sum(args, width / 3, width);
                        // 50 additions of values of size 7 at most.
                        got.expect_near(wanted, 0, 50 * 7 * 0x1p-24,
                                        backend.name + (" width " + std::to_string(width)) +
                                            " rows " + std::to_string(rows));
                    }
}

TEST(ColumnSum, ColumnsDoNotDependOnTheRangeTheyAreIn) {
    for (const Backend& backend : runnable()) {
        Guarded x = Guarded::normal(Storage::kF32, 40 * 100, 0, 1);
        Guarded whole(Storage::kF32, 100, 0), parts(Storage::kF32, 100, 0);
        ColumnSumArgs args;
        args.x = x.data();
        args.rows = 40;
        args.stride = 100;
        args.out = whole.f32();
        backend.column_sum(args, 0, 100);
        args.out = parts.f32();
        for (const int64_t first : {0, 33, 66}) backend.column_sum(args, first, first + 34);
        EXPECT_TRUE(whole.same_bits(parts)) << backend.name;
    }
}

/// Units of float32's last place at y; values below `floor` are measured by its unit.
double ulps(float got, double wanted, double floor) {
    const double size = std::max(std::abs(wanted), floor);
    const double unit = std::ldexp(1.0, std::ilogb(size) - 23);
    return std::abs(static_cast<double>(got) - wanted) / unit;
}

std::vector<float> gelu_points() {
    std::vector<float> points;
    for (int i = -160000; i <= 160000; ++i) points.push_back(static_cast<float>(i) * 1.0009e-4f);
    for (const float x : {0.0f, -0.0f, 1e-30f, -1e-30f, 1e-40f, 30.0f, -30.0f, 1e20f, 3e38f})
        points.push_back(x);
    return points;
}

TEST(Gelu, StaysWithinTheUnitsOfItsHeader) {
    std::vector<float> x = gelu_points(), y(x.size());
    for (const Backend& backend : runnable())
        for (const bool tanh_form : {true, false}) {
            GeluArgs args;
            args.x = x.data();
            args.out = y.data();
            args.n = static_cast<int64_t>(x.size());
            args.tanh_form = tanh_form;
            backend.gelu(args);
            double worst = 0.0;
            for (size_t i = 0; i < x.size(); ++i) {
                const double wanted = gelu_of(static_cast<double>(x[i]), tanh_form);
                const double error = ulps(y[i], wanted, 1e-6);
                ASSERT_LE(error, 4.0) << backend.name << (tanh_form ? " tanh" : " erf") << " at "
                                      << x[i] << ": " << y[i] << ", wanted " << wanted;
                worst = std::max(worst, error);
            }
            RecordProperty(std::string(backend.name) + (tanh_form ? "_tanh" : "_erf"),
                           std::to_string(worst));
        }
}

TEST(Gelu, SlopeIsTheDerivativeOfTheValue) {
    std::vector<float> x = gelu_points(), dx(x.size()), dy(x.size(), 1.0f);
    x.resize(x.size() - 2);  // a difference of values near 1e20 has no digits
    for (const Backend& backend : runnable())
        for (const bool tanh_form : {true, false}) {
            GeluArgs args;
            args.x = x.data();
            args.dy = dy.data();
            args.out = dx.data();
            args.n = static_cast<int64_t>(x.size());
            args.tanh_form = tanh_form;
            backend.gelu(args);
            for (size_t i = 0; i < x.size(); ++i) {
                const double at = static_cast<double>(x[i]), h = 1e-5;
                const double wanted =
                    (gelu_of(at + h, tanh_form) - gelu_of(at - h, tanh_form)) / (2 * h);
                // 8 roundings of values below 1.13, and 1e-9 of the difference itself.
                ASSERT_NEAR(static_cast<double>(dx[i]), wanted, 8 * 0x1.2p-24 + 1e-9)
                    << backend.name << (tanh_form ? " tanh" : " erf") << " at " << x[i];
            }
        }
}

TEST(Gelu, WritesItsRangeOnlyForEveryLength) {
    for (const Backend& backend : runnable())
        for (const int64_t n : kLengths)
            for (const bool tanh_form : {true, false})
                for (const bool slope : {true, false}) {
                    const int64_t offset = n % 5;
                    Guarded x = Guarded::normal(Storage::kF32, n, offset, 1, 2.0f);
                    Guarded dy = Guarded::normal(Storage::kF32, n, offset, 2);
                    Guarded got(Storage::kF32, n, offset), wanted = got;
                    GeluArgs args;
                    args.x = x.f32();
                    args.dy = slope ? dy.f32() : nullptr;
                    args.n = n;
                    args.tanh_form = tanh_form;
                    args.out = wanted.f32();
                    gelu_scalar(args);
                    args.out = got.f32();
                    backend.gelu(args);
                    got.expect_near(wanted, 1e-6, 3e-6, backend.name);
                }
}

TEST(Gelu, NotANumberStaysOne) {
    const std::vector<float> x(40, std::nanf("")), dy(40, 1.0f);
    std::vector<float> y(40, 0.0f);
    for (const Backend& backend : runnable())
        for (const bool tanh_form : {true, false})
            for (const float* incoming : {static_cast<const float*>(nullptr), dy.data()}) {
                GeluArgs args;
                args.x = x.data();
                args.dy = incoming;
                args.out = y.data();
                args.n = 37;
                args.tanh_form = tanh_form;
                backend.gelu(args);
                for (size_t i = 0; i < 37; ++i) EXPECT_TRUE(std::isnan(y[i])) << backend.name;
            }
}

TEST(Convert, EveryBackendGivesTheBitsOfHalf) {
    std::vector<float> special;
    for (uint32_t high = 0; high < 0x10000; high += 0x35)
        for (const uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
            const uint32_t bits = (high << 16) | low;
            float value = 0.0f;
            std::memcpy(&value, &bits, sizeof value);
            special.push_back(value);
        }
    std::vector<uint16_t> words(special.size());
    std::vector<float> back(special.size());
    for (const Backend& backend : runnable()) {
        const auto n = static_cast<int64_t>(special.size());
        backend.convert({.from = special.data(), .to = words.data(), .n = n});
        backend.convert({.from = words.data(), .to = back.data(), .n = n, .to_bf16 = false});
        for (size_t i = 0; i < special.size(); ++i) {
            ASSERT_EQ(words[i], f32_to_bf16(special[i])) << backend.name << " " << special[i];
            const float wanted = bf16_to_f32(words[i]);
            ASSERT_EQ(std::memcmp(&back[i], &wanted, sizeof wanted), 0) << backend.name;
        }
    }
}

TEST(Convert, WritesItsRangeOnlyForEveryLength) {
    for (const Backend& backend : runnable())
        for (const int64_t n : kLengths) {
            const int64_t offset = n % 5;
            Guarded x = Guarded::normal(Storage::kF32, n, offset, 1);
            Guarded words(Storage::kBf16, n, offset), back(Storage::kF32, n, offset);
            backend.convert({.from = x.data(), .to = words.data(), .n = n});
            backend.convert({.from = words.data(), .to = back.data(), .n = n, .to_bf16 = false});
            words.expect_near(x, 0x1p-8, 0, backend.name);
            back.expect_near(words, 0, 0, backend.name);
        }
}

struct Embedding {
    std::vector<int64_t> ids;
    Guarded wte, wpe, x, dx, dwte, dwpe;
    int64_t rows, width, t;
    Embedding(int64_t rows_, int64_t width_, int64_t t_)
        : wte(Guarded::normal(Storage::kF32, 9 * width_, 1, 1)),
          wpe(Guarded::normal(Storage::kF32, t_ * width_, 1, 2)),
          x(Storage::kF32, rows_ * width_, 1, 5.0f),
          dx(Guarded::normal(Storage::kF32, rows_ * width_, 1, 3)),
          dwte(Guarded::normal(Storage::kF32, 9 * width_, 1, 4)),
          dwpe(Guarded::normal(Storage::kF32, t_ * width_, 1, 5)),
          rows(rows_),
          width(width_),
          t(t_) {
        for (int64_t i = 0; i < rows; ++i) ids.push_back(i * i % 9);
    }
    EmbeddingArgs args() {
        return {.ids = ids.data(),
                .wte = wte.f32(),
                .wpe = wpe.f32(),
                .x = x.f32(),
                .dx = dx.f32(),
                .dwte = dwte.f32(),
                .dwpe = dwpe.f32(),
                .rows = rows,
                .width = width,
                .t = t};
    }
};

TEST(Embedding, EveryBackendGivesTheBitsOfScalar) {
    for (const Backend& backend : runnable())
        for (const int64_t width : {1, 7, 8, 9, 15, 16, 17, 33, 100})
            for (const int64_t rows : {0, 4, 12}) {
                Embedding got(rows, width, 4), wanted(rows, width, 4);
                embedding_forward_scalar(wanted.args(), rows / 3, rows);
                backend.embedding_forward(got.args(), rows / 3, rows);
                EXPECT_TRUE(got.x.same_bits(wanted.x)) << backend.name << " " << width;
                embedding_backward_scalar(wanted.args(), width / 3, width);
                backend.embedding_backward(got.args(), width / 3, width);
                EXPECT_TRUE(got.dwte.same_bits(wanted.dwte)) << backend.name << " " << width;
                EXPECT_TRUE(got.dwpe.same_bits(wanted.dwpe)) << backend.name << " " << width;
            }
}

TEST(Embedding, ScalarAddsTheRowsOfTheSameToken) {
    Embedding one(6, 2, 3);
    one.ids = {8, 0, 8, 8, 1, 2};
    embedding_forward_scalar(one.args(), 0, 6);
    EXPECT_EQ(one.x.at(2 * 4 + 1), one.wte.at(2 * 1 + 1) + one.wpe.at(2 * 1 + 1));
    const Guarded before = one.dwte, positions = one.dwpe;
    embedding_backward_scalar(one.args(), 0, 2);
    EXPECT_EQ(one.dwte.at(2 * 8), before.at(2 * 8) + one.dx.at(0) + one.dx.at(4) + one.dx.at(6));
    EXPECT_EQ(one.dwte.at(2 * 5), before.at(2 * 5));  // a token that does not occur
    EXPECT_EQ(one.dwpe.at(2 * 2 + 1), positions.at(2 * 2 + 1) + one.dx.at(5) + one.dx.at(11));
}

}  // namespace
}  // namespace knlp::kernels
