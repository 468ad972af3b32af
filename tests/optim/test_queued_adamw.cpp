#include "knlp/optim/named_state.h"
#include "knlp/optim/optimizer.h"
#include "parameters.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>

namespace {

using namespace knlp;
using test::largest_difference;
using test::make_parameters;
using test::set_gradients;

const std::vector<int64_t> kSizes = {130, 7, 70001, 1};

std::unique_ptr<optim::Optimizer> make(const config::Optimizer& options,
                                       std::vector<model::Parameter>& parameters, bool queued) {
    return optim::make_optimizer(options, parameters, queued);
}

/// Weights and moments after 20 steps of both, the gradients clipped at `clip_norm`.
void expect_same_as_the_kernel(double clip_norm) {
    auto ours = make_parameters(kSizes), theirs = make_parameters(kSizes);
    const config::Optimizer options{.clip_norm = clip_norm};
    auto kernel = make(options, ours, false), queued = make(options, theirs, true);
    for (int t = 1; t <= 20; ++t) {
        set_gradients(ours, t);
        set_gradients(theirs, t);
        const optim::StepInfo a = kernel->step(1e-2 / t), b = queued->step(1e-2 / t);
        EXPECT_NEAR(b.grad_norm / a.grad_norm, 1, 1e-6);
        EXPECT_NEAR(b.clip / a.clip, 1, 1e-6);
        EXPECT_TRUE(b.finite);
    }
    for (size_t i = 0; i < ours.size(); ++i)  // weights are near 1
        EXPECT_LT(largest_difference(ours[i].value, theirs[i].value), 1e-6) << i;
    const auto a = kernel->tensors(), b = queued->tensors();
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].parameter + a[i].suffix, b[i].parameter + b[i].suffix);
        const double scale = a[i].value.abs().max().item<double>();
        EXPECT_LT(largest_difference(a[i].value, b[i].value), 1e-6 * scale) << a[i].parameter;
    }
    EXPECT_EQ(kernel->scalars(), queued->scalars());
}

TEST(QueuedAdamW, EqualsTheKernelWithoutClip) {
    expect_same_as_the_kernel(0);
}

TEST(QueuedAdamW, EqualsTheKernelWithClip) {
    expect_same_as_the_kernel(0.5);
}

TEST(QueuedAdamW, GradientThatIsNotFiniteChangesNothingAndIsNamed) {
    auto parameters = make_parameters(kSizes);
    auto optimizer = make({}, parameters, true);
    set_gradients(parameters, 1);
    optimizer->step(1e-2);
    std::vector<at::Tensor> before;
    for (const model::Parameter& p : parameters) before.push_back(p.value.detach().clone());
    for (const optim::NamedState& s : optimizer->tensors()) before.push_back(s.value.clone());
    set_gradients(parameters, 2);
    parameters[2].value.mutable_grad()[77] = std::numeric_limits<float>::infinity();
    const optim::StepInfo info = optimizer->step(1e-2);
    EXPECT_FALSE(info.finite);
    EXPECT_EQ(info.first_bad, "p2");
    std::vector<at::Tensor> after;
    for (const model::Parameter& p : parameters) after.push_back(p.value.detach());
    for (const optim::NamedState& s : optimizer->tensors()) after.push_back(s.value);
    for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(before[i].equal(after[i])) << i;
    EXPECT_EQ(optimizer->scalars(), R"({"step":1})");
}

TEST(QueuedAdamW, LossThatIsNotFiniteChangesNothing) {
    auto parameters = make_parameters({5});
    auto optimizer = make({}, parameters, true);
    const at::Tensor before = parameters[0].value.detach().clone();
    set_gradients(parameters, 1);
    optimizer->queued()->enqueue(at::full({}, 1e-2),
                                 at::full({}, std::numeric_limits<double>::quiet_NaN()));
    EXPECT_TRUE(before.equal(parameters[0].value.detach()));
}

TEST(QueuedAdamW, GoesOnFromTheStateOfTheOther) {
    auto ours = make_parameters(kSizes), theirs = make_parameters(kSizes);
    auto kernel = make({}, ours, false), queued = make({}, theirs, true);
    for (int t = 1; t <= 3; ++t) {
        set_gradients(ours, t);
        kernel->step(1e-2);
    }
    queued->load_scalars(kernel->scalars());
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < ours.size(); ++i) theirs[i].value.copy_(ours[i].value);
    auto from = kernel->tensors(), to = queued->tensors();
    for (size_t i = 0; i < from.size(); ++i) to[i].value.copy_(from[i].value);
    for (auto* parameters : {&ours, &theirs}) set_gradients(*parameters, 4);
    kernel->step(1e-2);
    queued->step(1e-2);
    for (size_t i = 0; i < ours.size(); ++i)
        EXPECT_LT(largest_difference(ours[i].value, theirs[i].value), 1e-6) << i;
}

TEST(QueuedAdamW, CopiesOfWeightsAreKnownToBeOldAfterAStep) {
    auto parameters = make_parameters({5});
    auto optimizer = make({}, parameters, true);
    const auto before = parameters[0].value._version();
    set_gradients(parameters, 1);
    optimizer->step(1e-2);
    const auto after = parameters[0].value._version();
    EXPECT_GT(after, before);
    optimizer->queued()->weights_changed();
    EXPECT_GT(parameters[0].value._version(), after);
}

}  // namespace
