// The matrix product at every level this CPU has, against the scalar definition.

#include "gelu_reference.h"

#include "kernels/gemm.h"
#include "knlp/core/half.h"
#include "knlp/core/host.h"
#include "knlp/core/rng.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace knlp::kernels {
namespace {

struct Backend {
    const char* name;
    GemmFn run;
};

std::vector<Backend> runnable() {
    std::vector<Backend> found;
    if (isa() >= Isa::kAvx2) found.push_back({"avx2", gemm_avx2});
    if (isa() >= Isa::kAvx512) found.push_back({"avx512", gemm_avx512});
    if (isa() >= Isa::kAvx512 && has_avx512_bf16())
        found.push_back({"avx512_bf16", gemm_avx512_bf16});
    return found;
}

size_t bytes_of(Storage type) {
    return type == Storage::kF32 ? 4 : 2;
}

/// Rows of `width` values, `stride` values apart, that end where unmapped memory begins: reading or
/// writing past the last value faults. Gaps between rows hold NaN, which no result may show.
class Matrix {
public:
    Matrix(int64_t rows, int64_t width, int64_t stride, Storage type)
        : rows_(rows), width_(width), stride_(stride), type_(type) {
        const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        const size_t bytes = static_cast<size_t>(values()) * bytes_of(type);
        mapped_ = (bytes + page - 1) / page * page + page;
        base_ = static_cast<char*>(
            mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        EXPECT_NE(base_, MAP_FAILED);
        EXPECT_EQ(mprotect(base_ + mapped_ - page, page, PROT_NONE), 0);
        data_ = base_ + mapped_ - page - bytes;
        for (int64_t i = 0; i < values(); ++i) set(i, NAN);
    }
    Matrix(const Matrix& other) : Matrix(other.rows_, other.width_, other.stride_, other.type_) {
        std::memcpy(data_, other.data_, static_cast<size_t>(values()) * bytes_of(type_));
    }
    Matrix& operator=(const Matrix&) = delete;
    ~Matrix() { munmap(base_, mapped_); }

    Matrix& fill(const char* name, float scale) {
        const Stream stream(11, name);
        for (int64_t i = 0; i < rows_; ++i)
            for (int64_t j = 0; j < width_; ++j)
                set(i * stride_ + j,
                    scale *
                        static_cast<float>(2.0 * stream.uniform(uint64_t(i), uint64_t(j)) - 1.0));
        return *this;
    }
    int64_t values() const { return rows_ == 0 ? 0 : (rows_ - 1) * stride_ + width_; }
    float get(int64_t i) const {
        if (type_ == Storage::kF32) return reinterpret_cast<const float*>(data_)[i];
        return bf16_to_f32(reinterpret_cast<const uint16_t*>(data_)[i]);
    }
    void set(int64_t i, float value) {
        if (type_ == Storage::kF32)
            reinterpret_cast<float*>(data_)[i] = value;
        else
            reinterpret_cast<uint16_t*>(data_)[i] = f32_to_bf16(value);
    }
    template <class T = void>
    T* data() {
        return reinterpret_cast<T*>(data_);
    }
    bool same_bits(const Matrix& other) const {
        return std::memcmp(data_, other.data_, static_cast<size_t>(values()) * bytes_of(type_)) ==
               0;
    }
    bool in_row(int64_t i) const { return i % stride_ < width_; }

private:
    int64_t rows_, width_, stride_;
    Storage type_;
    size_t mapped_ = 0;
    char* base_ = nullptr;
    char* data_ = nullptr;
};

/// A part's workspace, and as many bytes after it.
using Workspace = std::unique_ptr<char, decltype(&std::free)>;
Workspace workspace_and(size_t bytes) {
    const size_t all = static_cast<size_t>(gemm_workspace_bytes()) + bytes;
    return {static_cast<char*>(std::aligned_alloc(64, (all + 63) / 64 * 64)), &std::free};
}

/// What is varied beside the shape.
struct Variant {
    Storage compute, a, b, c;
    bool accumulate = false, bias = false;
    GemmEpilogue epilogue = GemmEpilogue::kNone;
    bool aliased = false;  // the residual is C itself
    bool aux = true;       // pre of a forward GELU, post of a gradient
    Storage aux_type = Storage::kF32;
};

using enum Storage;
using enum GemmEpilogue;
const Variant kVariants[] = {
    {kF32, kF32, kF32, kF32},
    {kF32, kF32, kF32, kF32, true},
    {kF32, kF32, kF32, kF32, false, true},
    {kF32, kF32, kF32, kBf16, false, true},
    {kF32, kF32, kF32, kF32, false, true, kResidual},
    {kF32, kF32, kF32, kF32, false, true, kResidual, true},
    {kF32, kF32, kF32, kF32, false, true, kGeluTanh},
    {kF32, kF32, kF32, kF32, false, true, kGeluErf, false, false},
    {kF32, kF32, kF32, kF32, false, false, kGeluTanhGrad},
    {kF32, kF32, kF32, kF32, false, false, kGeluErfGrad, false, false},
    {kBf16, kF32, kF32, kF32},
    {kBf16, kF32, kBf16, kF32, true},
    {kBf16, kBf16, kF32, kBf16, true},
    {kBf16, kBf16, kBf16, kF32, false, true, kResidual, true},
    {kBf16, kBf16, kBf16, kBf16, false, true, kGeluTanh, false, true, kBf16},
    {kBf16, kF32, kBf16, kBf16, false, true, kGeluErf, false, true, kBf16},
    {kBf16, kF32, kBf16, kBf16, false, false, kGeluTanhGrad, false, true, kBf16},
    {kBf16, kBf16, kBf16, kF32, false, false, kGeluErfGrad, false, true, kBf16},
};

struct Shape {
    int64_t m, n, k;
};

/// Operands and places for results of one product. Strides exceed widths by `gap`.
struct Problem {
    GemmArgs args;
    Matrix a, b, c, bias, residual, pre, post;

    Problem(const Shape& s, const Variant& v, bool transpose_a, bool transpose_b, int64_t gap)
        : a(transpose_a ? s.k : s.m, transpose_a ? s.m : s.k, (transpose_a ? s.m : s.k) + gap, v.a),
          b(transpose_b ? s.n : s.k, transpose_b ? s.k : s.n, (transpose_b ? s.k : s.n) + gap, v.b),
          c(s.m, s.n, s.n + gap, v.c),
          bias(1, s.n, s.n, kF32),
          residual(s.m, s.n, s.n + gap, kF32),
          pre(s.m, s.n, s.n + gap, v.aux_type),
          post(s.m, s.n, s.n + gap, v.aux_type) {
        a.fill("a", 1.0f);
        b.fill("b", 1.0f);
        c.fill("c", 2.0f);
        bias.fill("bias", 1.0f);
        residual.fill("residual", 3.0f);
        pre.fill("pre", 4.0f);
        args.m = s.m;
        args.n = s.n;
        args.k = s.k;
        args.lda = (transpose_a ? s.m : s.k) + gap;
        args.ldb = (transpose_b ? s.k : s.n) + gap;
        args.ldc = s.n + gap;
        args.transpose_a = transpose_a;
        args.transpose_b = transpose_b;
        args.accumulate = v.accumulate;
        args.a_type = v.a;
        args.b_type = v.b;
        args.c_type = v.c;
        args.aux_type = v.aux_type;
        args.compute = v.compute;
        args.epilogue = v.epilogue;
        has_bias_ = v.bias;
        aliased_ = v.aliased;
        aux_ = v.aux;
    }

    void run(GemmFn fn, int64_t parts) {
        const bool forward = args.epilogue == kGeluTanh || args.epilogue == kGeluErf;
        const bool backward = args.epilogue == kGeluTanhGrad || args.epilogue == kGeluErfGrad;
        args.a = a.data();
        args.b = b.data();
        args.c = c.data();
        args.bias = has_bias_ ? bias.data<float>() : nullptr;
        if (args.epilogue == kResidual)
            args.residual = aliased_ ? c.data<float>() : residual.data<float>();
        args.pre = backward || (forward && aux_) ? pre.data() : nullptr;
        args.post = backward && aux_ ? post.data() : nullptr;
        char* const work = workspace();
        const size_t bytes = static_cast<size_t>(gemm_workspace_bytes());
        std::memset(work + bytes, 77, kCanary);
        for (int64_t part = 0; part < parts; ++part) fn(args, part, parts, work);
        for (size_t i = 0; i < kCanary; ++i) ASSERT_EQ(work[bytes + i], 77);
    }

private:
    static constexpr size_t kCanary = 64;
    static char* workspace() {
        static const Workspace memory = workspace_and(kCanary);
        return memory.get();
    }
    bool has_bias_ = false, aliased_ = false, aux_ = false;
};

/// Each of the k roundings of a sum is at most 2^-24 of it, and the partial sums of values in [-1,
/// 1] stay far below k / 4; a bfloat16 result may in addition be rounded to the neighbour.
void expect_near(Matrix& got, Matrix& want, int64_t k, Storage type, const std::string& where) {
    const double sum = std::ldexp(32.0 + static_cast<double>(k), -24);
    const double relative = type == kBf16 ? std::ldexp(1.0, -7) : std::ldexp(1.0, -21);
    for (int64_t i = 0; i < want.values(); ++i) {
        const double w = want.get(i), g = got.get(i);
        if (!want.in_row(i)) {
            ASSERT_TRUE(std::isnan(g)) << where << ": written between rows, at " << i;
            continue;
        }
        ASSERT_NEAR(g, w, sum + relative * std::abs(w)) << where << " value " << i;
    }
}

/// Every backend and number of parts against scalar, and all numbers of parts against each other.
void compare(const Shape& shape, const Variant& variant, bool transpose_a, bool transpose_b,
             int64_t gap) {
    const Problem before(shape, variant, transpose_a, transpose_b, gap);
    Problem want(before);
    want.run(gemm_scalar, 3);
    for (const Backend& backend : runnable()) {
        std::unique_ptr<Problem> one;
        for (const int64_t parts : {1, 2, 3, 5}) {
            auto got = std::make_unique<Problem>(before);
            got->run(backend.run, parts);
            const std::string where =
                std::string(backend.name) + " m " + std::to_string(shape.m) + " n " +
                std::to_string(shape.n) + " k " + std::to_string(shape.k) + " transposed " +
                std::to_string(transpose_a) + std::to_string(transpose_b) + " variant " +
                std::to_string(&variant - kVariants) + " parts " + std::to_string(parts);
            if (one == nullptr) {
                expect_near(got->c, want.c, shape.k, variant.c, where + " c");
                expect_near(got->pre, want.pre, shape.k, variant.aux_type, where + " pre");
                if (got->args.post != nullptr)
                    expect_near(got->post, want.post, 0, variant.aux_type, where + " post");
                one = std::move(got);
                if (testing::Test::HasFatalFailure()) return;
                continue;
            }
            ASSERT_TRUE(got->c.same_bits(one->c) && got->pre.same_bits(one->pre) &&
                        got->post.same_bits(one->post))
                << where;
        }
    }
}

class GemmVariants : public testing::TestWithParam<int> {};

TEST_P(GemmVariants, AgreeWithScalarOverAwkwardShapes) {
    if (runnable().empty()) GTEST_SKIP() << "this CPU has no AVX2";
    const Variant& variant = kVariants[GetParam()];
    constexpr Shape kShapes[] = {{0, 5, 3},    {5, 0, 3},    {5, 7, 0},    {1, 1, 1},
                                 {1, 33, 17},  {13, 15, 16}, {14, 16, 15}, {15, 17, 31},
                                 {29, 31, 33}, {6, 32, 64},  {7, 65, 8},   {43, 49, 2}};
    for (const Shape& shape : kShapes)
        for (const bool transpose_a : {false, true})
            for (const bool transpose_b : {false, true})
                for (const int64_t gap : {0, 3}) {
                    compare(shape, variant, transpose_a, transpose_b, gap);
                    if (HasFatalFailure()) return;
                }
}

TEST_P(GemmVariants, AgreeWithScalarBeyondOneBlock) {
    if (runnable().empty()) GTEST_SKIP() << "this CPU has no AVX2";
    const Variant& variant = kVariants[GetParam()];
    const bool odd = GetParam() % 2 == 1;
    compare({17, 35, 1617}, variant, odd, !odd, 0);    // k: stretches
    compare({3, 1100, 800}, variant, !odd, odd, 1);    // columns: A is packed, B panels
    compare({400, 33, 1024}, variant, false, odd, 0);  // blocks of rows; lines of one cache set
    compare({910, 3, 20}, variant, odd, false, 0);     // rows: B is packed
}

INSTANTIATE_TEST_SUITE_P(All, GemmVariants, testing::Range(0, int(std::size(kVariants))));

TEST(Gemm, LongSumsOfBfloat16ResultsAreKeptInFloat32) {
    // More rows, columns and values of k than the tile beside C holds; pairs reach twice as far.
    compare({130, 530, 1540}, kVariants[3], false, true, 0);
    for (const Variant& variant : kVariants)
        if (variant.c == kBf16) compare({15, 18, 3081}, variant, true, false, 1);
}

TEST(Gemm, ScalarGeluIsTheFormulaAndItsGradientTheSlope) {
    for (const bool tanh : {true, false})
        for (float x = -6.0f; x < 6.0f; x += 0.37f) {
            const float one = 1.0f, three = 3.0f;
            float pre = 0.0f, y = 0.0f, dx = 0.0f, post = 0.0f;
            GemmArgs args{.a = &x, .b = &one, .c = &y, .lda = 1, .ldb = 1, .ldc = 1};
            args.m = args.n = args.k = 1;
            args.epilogue = tanh ? kGeluTanh : kGeluErf;
            args.pre = &pre;
            gemm_scalar(args, 0, 1, nullptr);
            EXPECT_EQ(pre, x);
            EXPECT_NEAR(y, gelu_of(x, tanh), 1e-7 * (1.0 + std::abs(x)));
            args.a = &three;  // the gradient that comes in
            args.c = &dx;
            args.epilogue = tanh ? kGeluTanhGrad : kGeluErfGrad;
            args.post = &post;
            gemm_scalar(args, 0, 1, nullptr);
            constexpr double kStep = 1e-5;
            const double slope =
                (gelu_of(x + kStep, tanh) - gelu_of(x - kStep, tanh)) / (2 * kStep);
            EXPECT_NEAR(dx, 3.0 * slope, 5e-7) << x;
            EXPECT_EQ(post, y);
        }
}

TEST(Gemm, GradientOfGeluIsItsSlopeAndBringsBackItsValue) {
    std::vector<float> pre = {0.0f, -0.0f, 1e-30f, -1e-30f, 1e20f, -1e20f, 3e38f, -3e38f};
    for (int i = -60000; i <= 60000; ++i) pre.push_back(static_cast<float>(i) * 2.503e-4f);
    const size_t n = pre.size();
    std::vector<float> ones(n, 1.0f), slope(n), value(n);
    const Workspace workspace = workspace_and(0);
    for (const Backend& backend : runnable())
        for (const bool tanh : {true, false}) {
            GemmArgs args{.a = ones.data(), .b = ones.data(), .c = slope.data()};
            args.lda = args.m = args.k = 1;
            args.ldb = args.ldc = args.n = static_cast<int64_t>(n);
            args.epilogue = tanh ? kGeluTanhGrad : kGeluErfGrad;
            args.pre = pre.data();
            args.post = value.data();
            backend.run(args, 0, 1, workspace.get());
            for (size_t i = 0; i < n; ++i) {
                const double x = pre[i], wanted = gelu_of(x, tanh);
                // The value's unit is its own size, down to a millionth.
                ASSERT_NEAR(value[i], wanted, 0x1p-18 * std::max(std::abs(wanted), 1e-6))
                    << backend.name << (tanh ? " tanh" : " erf") << " at " << x;
                if (std::abs(x) > 20.0) continue;  // a difference there has no digits
                constexpr double kStep = 1e-5;
                const double derivative =
                    (gelu_of(x + kStep, tanh) - gelu_of(x - kStep, tanh)) / (2 * kStep);
                ASSERT_NEAR(slope[i], derivative, 8 * 0x1.2p-24 + 1e-9)
                    << backend.name << (tanh ? " tanh" : " erf") << " at " << x;
            }
        }
}

TEST(Gemm, BeginsAnywhere) {
    for (const Backend& backend : runnable()) {
        std::vector<float> a(40 * 40, 0.5f), b(40 * 40, 2.0f), c(40 * 40 + 3, -7.0f);
        std::vector<float> workspace(static_cast<size_t>(gemm_workspace_bytes()) / 4 + 16);
        void* aligned = workspace.data();
        size_t room = workspace.size() * 4;
        ASSERT_NE(std::align(64, static_cast<size_t>(gemm_workspace_bytes()), aligned, room),
                  nullptr);
        GemmArgs args;
        args.a = a.data() + 1;
        args.b = b.data() + 3;
        args.c = c.data() + 1;
        args.lda = args.ldb = args.ldc = 39;
        args.m = args.n = args.k = 39;
        backend.run(args, 0, 1, aligned);
        for (size_t i = 0; i < c.size(); ++i)
            ASSERT_EQ(c[i], i >= 1 && i < 1 + 39 * 39 ? 39.0f : -7.0f) << backend.name << " " << i;
    }
}

TEST(Gemm, NotANumberReachesItsRowOnly) {
    for (const Backend& backend : runnable())
        for (const Storage compute : {kF32, kBf16}) {
            Problem p({20, 40, 50}, {compute, kF32, kF32, kF32}, false, true, 0);
            p.a.set(3 * 50 + 7, NAN);
            p.run(backend.run, 1);
            for (int64_t i = 0; i < 20 * 40; ++i)
                ASSERT_EQ(std::isnan(p.c.get(i)), i / 40 == 3) << backend.name << " " << i;
        }
}

}  // namespace
}  // namespace knlp::kernels
