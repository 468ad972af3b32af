#include "kernels/cross_entropy.h"

#include "guarded.h"

#include <limits>

namespace knlp::kernels {
namespace {

struct Backend {
    const char* name;
    Isa needs;
    CrossEntropyFn run;
};
constexpr Backend kBackends[] = {{"scalar", Isa::kScalar, cross_entropy_scalar},
                                 {"avx2", Isa::kAvx2, cross_entropy_avx2},
                                 {"avx512", Isa::kAvx512, cross_entropy_avx512}};

struct Case {
    int64_t rows = 4, columns = 10, vocab_size = 10, offset = 0;
    bool half = false, shares = true;
    float scale = 4.0f;
    std::string text() const {
        return std::to_string(rows) + "x" + std::to_string(columns) + " vocab " +
               std::to_string(vocab_size) + " offset " + std::to_string(offset) +
               (half ? " bf16" : "") + (shares ? " shares" : "");
    }
};

struct Call {
    Case c;
    Guarded logits, share, nll, half;
    std::vector<int64_t> targets;
    explicit Call(const Case& k)
        : c(k),
          logits(Guarded::normal(Storage::kF32, k.rows * k.columns, k.offset, 1, k.scale)),
          share(Guarded::normal(Storage::kF32, k.rows, k.offset, 2, 0.1f, 0.5f)),
          nll(Storage::kF32, k.rows, k.offset, 9.0f),
          half(Storage::kBf16, k.rows * k.columns, k.offset, 9.0f) {
        for (int64_t i = 0; i < k.rows; ++i)
            targets.push_back(i % 4 == 3 ? -1 : (i * 7919 + k.vocab_size - 1) % k.vocab_size);
    }
    CrossEntropyArgs args() {
        CrossEntropyArgs a;
        a.logits = logits.f32();
        a.targets = targets.data();
        a.share = c.shares ? share.f32() : nullptr;
        a.nll = nll.f32();
        a.gradient_bf16 = c.half ? half.data() : nullptr;
        a.columns = c.columns;
        a.vocab_size = c.vocab_size;
        return a;
    }
    Guarded& gradient() { return c.half ? half : logits; }
};

constexpr int64_t kSizes[] = {1,  2,  7,   8,   9,    15,   16,   17,  31,
                              65, 97, 511, 513, 1023, 1024, 1025, 3001};

TEST(CrossEntropy, EveryBackendIsNearScalar) {
    for (const Backend& backend : kBackends)
        for (const int64_t vocab : kSizes)
            for (const int64_t padding : {0, 1, 47})
                for (const bool half : {false, true}) {
                    if (!runs(backend.needs)) continue;
                    const Case c{.rows = 6,
                                 .columns = vocab + padding,
                                 .vocab_size = vocab,
                                 .offset = vocab % 3,
                                 .half = half,
                                 .shares = padding != 1};
                    Call wanted(c), got(c);
                    cross_entropy_scalar(wanted.args(), 1, 5);
                    backend.run(got.args(), 1, 5);
                    const std::string where = backend.name + (" " + c.text());
                    // Three roundings of 2^-24 of the logit, plus those of the sum of each block.
                    got.nll.expect_near(wanted.nll, 1e-6, 2e-6, where + " nll");
                    // exp(x) errs by its argument's rounding, up to 40 * 2^-24; bfloat16 adds one
                    // unit of its 8 bits.
                    got.gradient().expect_near(wanted.gradient(), half ? 0x1p-7 : 5e-6, 1e-7,
                                               where + " gradient");
                    got.logits.expect_canaries(where);
                }
}

TEST(CrossEntropy, GradientIsTheFiniteDifferenceOfTheLoss) {
    const std::vector<double> logits = {0.3, -1.2, 2.0, 0.7, -0.1};
    const auto loss = [&](size_t moved, double by) {
        double sum = 0.0;
        for (size_t j = 0; j < 5; ++j) sum += std::exp(logits[j] + (j == moved ? by : 0.0));
        return std::log(sum) - logits[3] - (moved == 3 ? by : 0.0);
    };
    for (const Backend& backend : kBackends) {
        if (!runs(backend.needs)) continue;
        Call run({.rows = 1, .columns = 5, .vocab_size = 5, .shares = false});
        for (int64_t j = 0; j < 5; ++j)
            run.logits.set(j, static_cast<float>(logits[static_cast<size_t>(j)]));
        run.targets = {3};
        backend.run(run.args(), 0, 1);
        EXPECT_NEAR(static_cast<double>(run.nll.at(0)), loss(9, 0.0), 1e-6) << backend.name;
        for (size_t j = 0; j < 5; ++j)
            EXPECT_NEAR(static_cast<double>(run.logits.at(static_cast<int64_t>(j))),
                        (loss(j, 1e-5) - loss(j, -1e-5)) / 2e-5, 1e-6)
                << backend.name << " " << j;
    }
}

TEST(CrossEntropy, WithoutGradientTheLogitsStay) {
    for (const Backend& backend : kBackends) {
        if (!runs(backend.needs)) continue;
        Call run({.rows = 3, .columns = 40, .vocab_size = 33}), before({.rows = 3, .columns = 40});
        CrossEntropyArgs args = run.args();
        args.with_gradient = false;
        backend.run(args, 0, 3);
        EXPECT_TRUE(run.logits.same_bits(before.logits)) << backend.name;
        Call with({.rows = 3, .columns = 40, .vocab_size = 33});
        backend.run(with.args(), 0, 3);
        EXPECT_TRUE(run.nll.same_bits(with.nll)) << backend.name;
    }
}

TEST(CrossEntropy, LargeAndInfiniteLogitsAreShifted) {
    const float infinity = std::numeric_limits<float>::infinity();
    for (const Backend& backend : kBackends) {
        if (!runs(backend.needs)) continue;
        // The first block holds nothing but -inf, and the largest value comes last.
        Call run({.rows = 1, .columns = 3000, .vocab_size = 3000, .shares = false});
        for (int64_t j = 0; j < 3000; ++j) run.logits.set(j, j < 1500 ? -infinity : -3e4f);
        run.logits.set(2998, 1e4f);
        run.logits.set(2999, 1e4f);
        run.targets = {2999};
        backend.run(run.args(), 0, 1);
        EXPECT_NEAR(static_cast<double>(run.nll.at(0)), std::log(2.0), 1e-3) << backend.name;
        EXPECT_EQ(run.logits.at(2999), -0.5f) << backend.name;
        EXPECT_EQ(run.logits.at(2998), 0.5f) << backend.name;
        EXPECT_EQ(run.logits.at(0), 0.0f) << backend.name;
        EXPECT_EQ(run.logits.at(2000), 0.0f) << backend.name;
    }
}

TEST(CrossEntropy, NotANumberReachesTheLossOfItsRow) {
    for (const Backend& backend : kBackends)
        for (const int64_t at : {0, 5, 1040}) {
            if (!runs(backend.needs)) continue;
            Call run({.rows = 2, .columns = 1050, .vocab_size = 1050});
            run.logits.set(1050 + at, std::nanf(""));
            backend.run(run.args(), 0, 2);
            EXPECT_TRUE(std::isfinite(run.nll.at(0))) << backend.name;
            EXPECT_TRUE(std::isnan(run.nll.at(1))) << backend.name << " at " << at;
        }
}

}  // namespace
}  // namespace knlp::kernels
