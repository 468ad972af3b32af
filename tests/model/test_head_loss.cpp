#include "src/model/layers.h"
#include "tests/model/support.h"

#include <gtest/gtest.h>

namespace knlp::model {
namespace {

using test::relative_difference;

struct Problem {
    at::Tensor hidden, targets;
    Parameter weight;
};

/// 23 rows, 37 + 3 columns; some rows without target.
Problem problem(at::ScalarType type = at::kFloat) {
    Problem p;
    const at::Tensor i = at::arange(23 * 12, at::kDouble), j = at::arange(40 * 12, at::kDouble);
    p.hidden = at::sin(1.3 * i + 0.01 * i * i).view({23, 12}).to(type).set_requires_grad(true);
    p.weight.value =
        at::cos(0.7 * j + 0.02 * j * j).view({40, 12}).to(type).set_requires_grad(true);
    p.targets = test::some_ids(1, 23, 37)[0].clone();
    p.targets[0] = p.targets[11] = p.targets[22] = -1;
    return p;
}

struct Result {
    at::Tensor loss, d_hidden, d_weight;
};

Result ours(int64_t chunk, double divisor = 0.0, double factor = 1.0) {
    Problem p = problem();
    Linear head(&p.weight, nullptr);
    const at::Tensor loss = head_loss(p.hidden, head, p.targets,
                                      {.vocab_size = 37, .chunk = chunk, .divisor = divisor});
    (loss * factor).backward();
    return {loss.detach(), p.hidden.grad(), p.weight.value.grad()};
}

/// The same by LibTorch's own operations, in float64.
Result plain() {
    Problem p = problem(at::kDouble);
    const at::Tensor logits = at::matmul(p.hidden, p.weight.value.narrow(0, 0, 37).t());
    const at::Tensor loss = at::cross_entropy_loss(logits, p.targets, {}, at::Reduction::Mean, -1);
    loss.backward();
    return {loss.detach(), p.hidden.grad(), p.weight.value.grad()};
}

TEST(HeadLoss, EqualsCrossEntropyForAnyChunk) {
    const Result wanted = plain();
    for (const int64_t chunk : {0, 1, 2, 7, 22, 23, 100}) {
        const Result got = ours(chunk);
        // float32 products of 12 terms and sums over 23 rows: a few units of 6e-8.
        EXPECT_LT(relative_difference(got.loss, wanted.loss), 1e-6) << chunk;
        EXPECT_LT(relative_difference(got.d_hidden, wanted.d_hidden), 1e-6) << chunk;
        EXPECT_LT(relative_difference(got.d_weight, wanted.d_weight), 1e-6) << chunk;
    }
}

TEST(HeadLoss, ScalesWithTheIncomingGradient) {
    const Result once = ours(5), thrice = ours(5, 0.0, 3.0);
    EXPECT_LT(relative_difference(thrice.d_weight, once.d_weight * 3), 1e-6);
    EXPECT_LT(relative_difference(thrice.d_hidden, once.d_hidden * 3), 1e-6);
}

TEST(HeadLoss, DivisorReplacesTheCountOfTargets) {
    const Result mean = ours(4), half = ours(4, 40.0);
    EXPECT_LT(relative_difference(half.loss, mean.loss * 0.5), 1e-6);
    EXPECT_LT(relative_difference(half.d_hidden, mean.d_hidden * 0.5), 1e-6);
}

TEST(HeadLoss, RowsWithoutTargetReceiveNoGradient) {
    const Result got = ours(6);
    for (const int64_t row : {0, 11, 22})
        EXPECT_EQ(got.d_hidden[row].abs().max().item<double>(), 0.0);
}

TEST(HeadLoss, NoTargetsAtAllIsZeroAndFinite) {
    Problem p = problem();
    p.targets.fill_(-1);
    Linear head(&p.weight, nullptr);
    const at::Tensor loss = head_loss(p.hidden, head, p.targets, {.vocab_size = 37, .chunk = 4});
    loss.backward();
    EXPECT_EQ(loss.item<double>(), 0.0);
    EXPECT_EQ(p.weight.value.grad().abs().max().item<double>(), 0.0);
}

TEST(HeadLoss, LargeLogitsStayFinite) {
    Problem p = problem();
    {
        at::NoGradGuard no_grad;
        p.weight.value.mul_(1e4);
    }
    Linear head(&p.weight, nullptr);
    const at::Tensor loss = head_loss(p.hidden, head, p.targets, {.vocab_size = 37});
    loss.backward();
    EXPECT_TRUE(loss.isfinite().item<bool>());
    EXPECT_TRUE(p.weight.value.grad().isfinite().all().item<bool>());
}

TEST(HeadNll, EqualsTheLossRowByRow) {
    Problem p = problem();
    Linear head(&p.weight, nullptr);
    const at::Tensor nll = head_nll(p.hidden, head, p.targets, {.vocab_size = 37, .chunk = 5});
    EXPECT_EQ(nll[11].item<double>(), 0.0);
    EXPECT_NEAR(nll.sum().item<double>() / 20.0, plain().loss.item<double>(), 1e-5);
}

}  // namespace
}  // namespace knlp::model
