// The scalar kernels against the formula in double and its finite differences; the vector kernels
// against the scalar ones.

#include "kernels/causal_attention.h"
#include "knlp/core/host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace knlp::kernels {
namespace {

struct Backend {
    const char* name;
    Isa needs;
    CausalAttentionFn forward, backward;
    bool rounds_weights = false;  // needs AVX512_BF16
};
constexpr Backend kBackends[] = {
    {"avx2", Isa::kAvx2, causal_attention_forward_avx2, causal_attention_backward_avx2},
    {"avx512", Isa::kAvx512, causal_attention_forward_avx512, causal_attention_backward_avx512},
    {"avx512_bf16", Isa::kAvx512, causal_attention_forward_avx512_bf16,
     causal_attention_backward_avx512_bf16, true}};
constexpr Backend kScalar = {"scalar", Isa::kScalar, causal_attention_forward_scalar,
                             causal_attention_backward_scalar};

std::vector<Backend> runnable() {
    std::vector<Backend> found;
    for (const Backend& backend : kBackends)
        if (static_cast<int>(isa()) >= static_cast<int>(backend.needs) &&
            (!backend.rounds_weights || has_avx512_bf16()))
            found.push_back(backend);
    return found;
}

float to_float(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/// Values of one storage type with a reading in float.
struct Values {
    Storage type = Storage::kF32;
    std::vector<float> f32;
    std::vector<uint16_t> bf16;

    Values() = default;
    Values(Storage storage, size_t n, float fill) : type(storage) {
        if (type == Storage::kF32)
            f32.assign(n, fill);
        else
            bf16.assign(n, to_bf16(fill));
    }
    void* at(int64_t i) {
        if (type == Storage::kF32) return f32.data() + i;
        return bf16.data() + i;
    }
    float get(size_t i) const { return type == Storage::kF32 ? f32[i] : to_float(bf16[i]); }
    void set(size_t i, float value) {
        if (type == Storage::kF32)
            f32[i] = value;
        else
            bf16[i] = to_bf16(value);
    }
};

constexpr float kCanary = -768.0f;  // exact in bfloat16

struct Shape {
    int64_t batch, n_head, t, d_head;
    int64_t gap = 0;     // values between the last head and the next token's row
    int64_t offset = 0;  // values before the first row, so that nothing is aligned
    Storage type = Storage::kF32;
    float spread = 1.0f;
    bool drop = false;  // a third of the weights

    int64_t width() const { return n_head * d_head; }
    int64_t qkv_stride() const { return 3 * width() + gap; }
    int64_t y_stride() const { return width() + gap; }
    std::string text() const {
        return "B" + std::to_string(batch) + " H" + std::to_string(n_head) + " T" +
               std::to_string(t) + " D" + std::to_string(d_head) +
               (type == Storage::kBf16 ? " bf16" : "") + (drop ? " dropout" : "");
    }
};

/// Everything one call reads and writes; q, k and v are thirds of the rows of qkv.
struct Problem {
    Shape shape;
    Values qkv, y, dy, dqkv;
    std::vector<float> lse;
    std::vector<uint64_t> keep;  // of every pair, words_a_pair() each
    CausalAttentionArgs args;

    explicit Problem(const Shape& s) : shape(s) {
        const size_t rows = static_cast<size_t>(s.batch * s.t),
                     extra = static_cast<size_t>(s.offset) + 64;
        qkv = Values(s.type, rows * static_cast<size_t>(s.qkv_stride()) + extra, 0.0f);
        dqkv = Values(s.type, rows * static_cast<size_t>(s.qkv_stride()) + extra, kCanary);
        y = Values(s.type, rows * static_cast<size_t>(s.y_stride()) + extra, kCanary);
        dy = Values(s.type, rows * static_cast<size_t>(s.y_stride()) + extra, 0.0f);
        lse.assign(static_cast<size_t>(s.batch * s.n_head * s.t) + 16, kCanary);
        const size_t n = rows * static_cast<size_t>(s.qkv_stride()) + extra;
        for (size_t i = 0; i < n; ++i)
            qkv.set(i, s.spread * std::sin(0.7311f * static_cast<float>(i % 9973) + 0.1f));
        for (size_t i = 0; i < rows * static_cast<size_t>(s.y_stride()) + extra; ++i)
            dy.set(i, std::cos(0.5171f * static_cast<float>(i % 7919)));
        if (s.drop) draw_masks();
        bind();
    }
    void bind() {
        const Shape& s = shape;
        args.q = qkv.at(s.offset);
        args.k = qkv.at(s.offset + s.width());
        args.v = qkv.at(s.offset + 2 * s.width());
        args.dq = dqkv.at(s.offset);
        args.dk = dqkv.at(s.offset + s.width());
        args.dv = dqkv.at(s.offset + 2 * s.width());
        args.y = y.at(s.offset);
        args.dy = dy.at(s.offset);
        args.lse = lse.data();
        args.batch = s.batch;
        args.n_head = s.n_head;
        args.t = s.t;
        args.d_head = s.d_head;
        args.qkv_stride = s.qkv_stride();
        args.y_stride = s.y_stride();
        args.softmax_scale = 1.0f / std::sqrt(static_cast<float>(s.d_head));
        args.type = s.type;
    }
    int64_t pairs() const { return shape.batch * shape.n_head; }
    int64_t blocks() const { return (shape.t + 63) / 64; }
    int64_t words_a_pair() const { return blocks() * blocks() * 64; }
    /// What weight (i, j) of a pair is multiplied by.
    double kept(int64_t pair, int64_t i, int64_t j) const {
        if (!shape.drop) return 1.0;
        const int64_t word = pair * words_a_pair() + i / 64 * blocks() * 64 + j;
        return (keep[static_cast<size_t>(word)] >> (i % 64)) & 1u ? 1.5 : 0.0;
    }

private:
    void draw_masks() {
        args.keep_scale = 1.5f;
        keep.assign(static_cast<size_t>(words_a_pair() * pairs()), 0);
        uint64_t state = 88172645463325252u;  // xorshift64 (Marsaglia, 2003)
        for (uint64_t& word : keep)
            for (int bit = 0; bit < 64; ++bit) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word |= uint64_t{state % 3 != 0} << bit;
            }
    }
};

/// A workspace with a canary behind it, filled with NaN: nothing may be read before it is written.
class Workspace {
public:
    explicit Workspace(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
        memory_ = static_cast<unsigned char*>(::operator new (bytes_ + 64, std::align_val_t{64}));
        std::memset(memory_, 0xFF, bytes_ + 64);
    }
    ~Workspace() { ::operator delete (memory_, std::align_val_t{64}); }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;
    void* data() { return memory_; }
    bool canary_lives() const {
        for (size_t i = bytes_; i < bytes_ + 64; ++i)
            if (memory_[i] != 0xFF) return false;
        return true;
    }

private:
    size_t bytes_;
    unsigned char* memory_;
};

void run(CausalAttentionFn fn, Problem& problem, int64_t first, int64_t last) {
    Workspace workspace(causal_attention_workspace_bytes(problem.args));
    CausalAttentionArgs args = problem.args;
    if (problem.keep.empty()) fn(args, first, last, workspace.data());
    for (int64_t pair = first; pair < last && !problem.keep.empty(); ++pair) {
        args.keep = problem.keep.data() + pair * problem.words_a_pair();
        fn(args, pair, pair + 1, workspace.data());
    }
    EXPECT_TRUE(workspace.canary_lives()) << problem.shape.text();
}

/// Largest |a - b| over the values of heads, counted from `offset`; also asserts that what lies
/// between and around the heads of `a` kept its canary.
double difference(const Values& a, const Values& b, const Shape& s, int64_t stride, int64_t width) {
    double most = 0.0;
    const size_t n = a.type == Storage::kF32 ? a.f32.size() : a.bf16.size();
    for (size_t i = 0; i < n; ++i) {
        const int64_t place = static_cast<int64_t>(i) - s.offset;
        const bool inside = place >= 0 && place < s.batch * s.t * stride && place % stride < width;
        if (!inside) {
            EXPECT_EQ(a.get(i), kCanary) << s.text() << " place " << place;
            continue;
        }
        const double error =
            std::abs(static_cast<double>(a.get(i)) - static_cast<double>(b.get(i)));
        if (!(error <= most)) most = error;  // takes a NaN
        if (most != most) return most;
    }
    return most;
}

/// Largest |a| over the values of heads.
double largest_value(const Values& a, const Shape& s, int64_t stride, int64_t width) {
    double most = 0.0;
    for (int64_t i = 0; i < s.batch * s.t * stride; ++i) {
        const double size = std::abs(a.get(static_cast<size_t>(i + s.offset)));
        if (i % stride < width && size > most) most = size;
    }
    return most;
}

/// The formula in double, on one pair: y [t, d] and lse [t] from q, k, v [t, d].
struct Reference {
    const Problem& problem;
    int64_t pair, t, d;
    double scale;
    std::vector<double> q, k, v;

    Reference(const Problem& p, int64_t which)
        : problem(p), pair(which), t(p.shape.t), d(p.shape.d_head) {
        const Shape& s = p.shape;
        scale = static_cast<double>(p.args.softmax_scale);
        for (auto* part : {&q, &k, &v}) {
            const int64_t third = part == &q ? 0 : part == &k ? 1 : 2;
            for (int64_t i = 0; i < t; ++i)
                for (int64_t e = 0; e < d; ++e)
                    part->push_back(p.qkv.get(
                        static_cast<size_t>(s.offset + (pair / s.n_head * t + i) * s.qkv_stride() +
                                            third * s.width() + pair % s.n_head * d + e)));
        }
    }
    std::vector<double> y(std::vector<double>* lse = nullptr) const {
        std::vector<double> out(static_cast<size_t>(t * d), 0.0);
        for (int64_t i = 0; i < t; ++i) {
            double sum = 0.0;
            for (int64_t j = 0; j <= i; ++j) {
                double s = 0.0;
                for (int64_t e = 0; e < d; ++e)
                    s += q[static_cast<size_t>(i * d + e)] * k[static_cast<size_t>(j * d + e)];
                const double weight = std::exp(s * scale);
                sum += weight;
                for (int64_t e = 0; e < d; ++e)
                    out[static_cast<size_t>(i * d + e)] +=
                        weight * problem.kept(pair, i, j) * v[static_cast<size_t>(j * d + e)];
            }
            for (int64_t e = 0; e < d; ++e) out[static_cast<size_t>(i * d + e)] /= sum;
            if (lse != nullptr) lse->push_back(std::log(sum));
        }
        return out;
    }
    double loss(const std::vector<double>& dy) const {
        const std::vector<double> out = y();
        double sum = 0.0;
        for (size_t i = 0; i < out.size(); ++i) sum += out[i] * dy[i];
        return sum;
    }
};

void expect_formula(const Shape& shape) {
    Problem p(shape);
    run(kScalar.forward, p, 0, p.pairs());
    for (int64_t pair = 0; pair < p.pairs(); ++pair) {
        std::vector<double> lse;
        const std::vector<double> y = Reference(p, pair).y(&lse);
        for (int64_t i = 0; i < p.shape.t; ++i) {
            EXPECT_NEAR(p.lse[static_cast<size_t>(pair * p.shape.t + i)],
                        lse[static_cast<size_t>(i)], 1e-6);
            for (int64_t e = 0; e < p.shape.d_head; ++e)
                EXPECT_NEAR(p.y.get(static_cast<size_t>(
                                p.shape.offset + (pair / 3 * p.shape.t + i) * p.shape.y_stride() +
                                pair % 3 * 5 + e)),
                            y[static_cast<size_t>(i * 5 + e)], 1e-6);
        }
    }
}

TEST(CausalAttention, ScalarForwardIsTheFormula) {
    Shape shape = {.batch = 2, .n_head = 3, .t = 9, .d_head = 5, .gap = 3, .offset = 1};
    expect_formula(shape);
    shape.drop = true;
    expect_formula(shape);
}

void expect_slope(const Shape& shape) {
    Problem p(shape);
    run(kScalar.forward, p, 0, 2);
    run(kScalar.backward, p, 0, 2);
    for (int64_t pair = 0; pair < 2; ++pair) {
        Reference reference(p, pair);
        std::vector<double> dy;
        for (int64_t i = 0; i < 7; ++i)
            for (int64_t e = 0; e < 4; ++e)
                dy.push_back(p.dy.get(static_cast<size_t>(i * p.shape.y_stride() + pair * 4 + e)));
        for (int64_t third = 0; third < 3; ++third) {
            std::vector<double>& x = third == 0   ? reference.q
                                     : third == 1 ? reference.k
                                                  : reference.v;
            for (size_t i = 0; i < x.size(); ++i) {
                const double value = x[i], h = 1e-5;
                x[i] = value + h;
                const double above = reference.loss(dy);
                x[i] = value - h;
                const double below = reference.loss(dy);
                x[i] = value;
                const size_t at = i / 4 * static_cast<size_t>(p.shape.qkv_stride()) +
                                  static_cast<size_t>(third * 8 + pair * 4) + i % 4;
                // y and lse were rounded to float32: a few parts in 1e7 of values near 1.
                EXPECT_NEAR(p.dqkv.get(at), (above - below) / (2 * h), 2e-6);
            }
        }
    }
}

TEST(CausalAttention, ScalarBackwardIsTheSlopeOfTheFormula) {
    Shape shape = {.batch = 1, .n_head = 2, .t = 7, .d_head = 4, .gap = 2};
    expect_slope(shape);
    shape.drop = true;
    expect_slope(shape);
}

std::vector<Shape> awkward_shapes() {
    std::vector<Shape> shapes;
    for (const int64_t t : {1, 2, 15, 16, 17, 63, 64, 65, 130})
        for (const int64_t d : {16, 20, 33, 64})
            shapes.push_back({.batch = 1, .n_head = 2, .t = t, .d_head = d, .gap = 5, .offset = 3});
    for (const int64_t d : {1, 7, 32, 80, 96, 128, 256})
        shapes.push_back({.batch = 2, .n_head = 1, .t = 70, .d_head = d, .offset = 1});
    shapes.push_back({.batch = 1, .n_head = 1, .t = 0, .d_head = 8});
    shapes.push_back({.batch = 1, .n_head = 1, .t = 333, .d_head = 32});
    // Scores of some hundreds: the largest has to be subtracted before exp.
    shapes.push_back({.batch = 1, .n_head = 1, .t = 100, .d_head = 32, .spread = 12.0f});
    for (const int64_t t : {1, 9, 64, 65, 100, 150})
        shapes.push_back(
            {.batch = 2, .n_head = 2, .t = t, .d_head = 24, .offset = 1, .drop = true});
    return shapes;
}

/// `tolerance` is relative to the largest value, or to 1. Values are sums of 1 .. 333 terms with
/// weights that add up to 1; an error of a score s in float32 is about d_head * 6e-8 |s| and
/// multiplies the weight, hence the factor spread^2 * d_head of the callers.
void compare_with_scalar(const Shape& shape, const Backend& backend, double tolerance) {
    Problem wanted(shape);
    run(kScalar.forward, wanted, 0, wanted.pairs());
    Problem got(shape);
    run(backend.forward, got, 0, got.pairs());
    const double y_scale = largest_value(wanted.y, shape, shape.y_stride(), shape.width());
    EXPECT_LE(difference(got.y, wanted.y, shape, shape.y_stride(), shape.width()),
              tolerance * std::max(y_scale, 1.0))
        << backend.name << " y " << shape.text();
    for (size_t i = 0; i < got.lse.size(); ++i)
        ASSERT_NEAR(got.lse[i], wanted.lse[i], 4e-6 * (1.0 + std::abs(wanted.lse[i])))
            << backend.name << " lse " << shape.text() << " at " << i;

    run(kScalar.backward, wanted, 0, wanted.pairs());
    got.y = wanted.y;
    got.lse = wanted.lse;
    got.bind();
    run(backend.backward, got, 0, got.pairs());
    const double scale = largest_value(wanted.dqkv, shape, shape.qkv_stride(), 3 * shape.width());
    EXPECT_LE(difference(got.dqkv, wanted.dqkv, shape, shape.qkv_stride(), 3 * shape.width()),
              tolerance * std::max(scale, 1.0))
        << backend.name << " gradients " << shape.text();
}

TEST(CausalAttention, EveryBackendAgreesWithScalarInFloat32) {
    if (runnable().empty()) GTEST_SKIP() << "this CPU has no AVX2";
    for (const Shape& shape : awkward_shapes())
        for (const Backend& backend : runnable())
            compare_with_scalar(
                shape, backend,
                2e-6 + 6e-8 * shape.spread * shape.spread * static_cast<double>(shape.d_head));
}

TEST(CausalAttention, EveryBackendAgreesWithScalarInBfloat16) {
    if (runnable().empty()) GTEST_SKIP() << "this CPU has no AVX2";
    for (const Shape& plain : awkward_shapes()) {
        Shape shape = plain;
        shape.type = Storage::kBf16;
        // A value rounded to 8 bits may fall to the neighbour, which is at most 2^-7 of it away.
        for (const Backend& backend : runnable()) compare_with_scalar(shape, backend, 1.0 / 128);
    }
}

std::vector<std::pair<Backend, Storage>> backends_and_types() {
    std::vector<std::pair<Backend, Storage>> all;
    for (const Storage type : {Storage::kF32, Storage::kBf16}) {
        all.emplace_back(kScalar, type);
        for (const Backend& backend : runnable()) all.emplace_back(backend, type);
    }
    return all;
}

TEST(CausalAttention, PairsGiveTheSameBitsInAnyRange) {
    for (const auto& [backend, type] : backends_and_types()) {
        const Shape shape = {
            .batch = 2, .n_head = 3, .t = 75, .d_head = 24, .gap = 1, .type = type};
        Problem whole(shape), pieces(shape);
        run(backend.forward, whole, 0, 6);
        run(backend.backward, whole, 0, 6);
        for (const int64_t first : {4, 0, 1}) {
            const int64_t last = first == 4 ? 6 : first == 0 ? 1 : 4;
            run(backend.forward, pieces, first, last);
            run(backend.backward, pieces, first, last);
        }
        EXPECT_EQ(whole.y.f32, pieces.y.f32) << backend.name;
        EXPECT_EQ(whole.y.bf16, pieces.y.bf16) << backend.name;
        EXPECT_EQ(whole.lse, pieces.lse) << backend.name;
        EXPECT_EQ(whole.dqkv.f32, pieces.dqkv.f32) << backend.name;
        EXPECT_EQ(whole.dqkv.bf16, pieces.dqkv.bf16) << backend.name;
    }
}

TEST(CausalAttention, LaterTokensChangeNoBit) {
    for (const auto& [backend, type] : backends_and_types()) {
        Problem before({.batch = 1, .n_head = 1, .t = 100, .d_head = 16, .type = type});
        Problem after(before.shape);
        for (size_t i = 61 * 48; i < 100 * 48; ++i) after.qkv.set(i, 3.0f);
        run(backend.forward, before, 0, 1);
        run(backend.forward, after, 0, 1);
        for (size_t i = 0; i < 61 * 16; ++i)
            ASSERT_EQ(before.y.get(i), after.y.get(i)) << backend.name << " value " << i;
        for (size_t i = 0; i < 61; ++i)
            ASSERT_EQ(before.lse[i], after.lse[i]) << backend.name << " query " << i;
    }
}

}  // namespace
}  // namespace knlp::kernels
