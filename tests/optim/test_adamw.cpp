#include "knlp/config/build_info.h"
#include "knlp/optim/named_state.h"
#include "knlp/optim/optimizer.h"
#include "parameters.h"

#include "tests/support/expect_error.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <limits>

namespace {

using namespace knlp;
using test::largest_difference;
using test::make_parameters;
using test::set_gradients;

config::Optimizer options() {
    return {.clip_norm = 0};
}

std::unique_ptr<optim::Optimizer> make(const config::Optimizer& options,
                                       std::vector<model::Parameter>& parameters) {
    return optim::optimizer_type("adamw").make(options, parameters);
}

TEST(AdamW, MatchesTheClosedFormInDoubleAfter100Steps) {
    auto parameters = make_parameters({5});
    const config::Optimizer o = options();
    auto optimizer = make(o, parameters);
    at::Tensor w = parameters[0].value.detach().to(at::kDouble).clone();
    at::Tensor m = at::zeros_like(w), v = at::zeros_like(w);
    for (int t = 1; t <= 100; ++t) {
        set_gradients(parameters, t);
        const double lr = 1e-3 / t;
        optimizer->step(lr);
        const at::Tensor g = parameters[0].value.grad().to(at::kDouble);
        w = w * (1 - lr * o.weight_decay);
        m = o.beta1 * m + (1 - o.beta1) * g;
        v = o.beta2 * v + (1 - o.beta2) * g * g;
        w = w - lr / (1 - std::pow(o.beta1, t)) * m /
                    (v.sqrt() / std::sqrt(1 - std::pow(o.beta2, t)) + o.epsilon);
    }
    // 100 float32 roundings of values near 1: about 100 * 6e-8 / 6.
    EXPECT_LT(largest_difference(parameters[0].value, w), 1e-6);
}

TEST(AdamW, MatchesTheFusedOperatorOfLibTorchAfter100Steps) {
    auto parameters = make_parameters({130, 7, 70001});
    const config::Optimizer o = options();
    auto optimizer = make(o, parameters);
    std::vector<at::Tensor> w, m, v, steps;
    for (const model::Parameter& parameter : parameters) {
        w.push_back(parameter.value.detach().clone());
        m.push_back(at::zeros_like(w.back()));
        v.push_back(at::zeros_like(w.back()));
        steps.push_back(at::zeros({}, at::kFloat));
    }
    for (int t = 1; t <= 100; ++t) {
        set_gradients(parameters, t);
        optimizer->step(1e-3);
        for (size_t i = 0; i < w.size(); ++i) {
            steps[i].add_(1);
            at::Tensor g = parameters[i].value.grad();
            at::_fused_adamw_({w[i]}, {g}, {m[i]}, {v[i]}, {}, {steps[i]}, 1e-3, o.beta1, o.beta2,
                              parameters[i].spec.decay ? o.weight_decay : 0.0, o.epsilon, false,
                              false);
        }
    }
    for (size_t i = 0; i < w.size(); ++i)
        EXPECT_LT(largest_difference(parameters[i].value, w[i]), 1e-6);
}

TEST(AdamW, GivesTheSameBitsForAnyNumberOfThreads) {
    std::vector<at::Tensor> results;
    const int before = at::get_num_threads();
    for (const int threads : {1, 2, 4}) {
        at::set_num_threads(threads);
        auto parameters = make_parameters({200000, 33});
        config::Optimizer o;
        auto optimizer = make(o, parameters);
        for (int t = 1; t <= 3; ++t) {
            set_gradients(parameters, t);
            optimizer->step(1e-3);
        }
        results.push_back(parameters[0].value.detach().clone());
    }
    at::set_num_threads(before);
    EXPECT_TRUE(at::equal(results[0], results[1]));
    EXPECT_TRUE(at::equal(results[0], results[2]));
}

TEST(AdamW, ReportsTheNormBeforeClippingAndTheFactor) {
    auto parameters = make_parameters({1, 1});
    parameters[0].value.mutable_grad() = at::full({1}, 3.0f);
    parameters[1].value.mutable_grad() = at::full({1}, -4.0f);
    config::Optimizer o;
    o.clip_norm = 1.0;
    const optim::StepInfo info = make(o, parameters)->step(1e-3);
    EXPECT_DOUBLE_EQ(info.grad_norm, 5.0);
    EXPECT_NEAR(info.clip, 0.2, 1e-6);  // the divisor is norm + 1e-6
    EXPECT_EQ(parameters[0].value.grad().item<float>(), 3.0f);
}

TEST(AdamW, ClippedStepEqualsTheStepOnScaledGradients) {
    auto clipped = make_parameters({100}), scaled = make_parameters({100});
    config::Optimizer o = options();
    auto b = make(o, scaled);
    o.clip_norm = 0.5;
    auto a = make(o, clipped);
    set_gradients(clipped, 1, 10.0f);
    const float factor = static_cast<float>(a->step(1e-2).clip);
    scaled[0].value.mutable_grad() = test::gradient(scaled[0], 0, 1, 10.0f) * factor;
    b->step(1e-2);
    EXPECT_TRUE(at::equal(clipped[0].value.detach(), scaled[0].value.detach()));
}

TEST(AdamW, GradientThatIsNotFiniteLeavesEverythingAndNamesTheParameter) {
    auto parameters = make_parameters({10, 20, 30});
    auto optimizer = make(options(), parameters);
    set_gradients(parameters, 1);
    optimizer->step(1e-3);
    const at::Tensor before = parameters[2].value.detach().clone();
    const std::string scalars = optimizer->scalars();
    set_gradients(parameters, 2);
    parameters[1].value.mutable_grad()[4] = std::numeric_limits<float>::quiet_NaN();
    parameters[2].value.mutable_grad()[4] = std::numeric_limits<float>::infinity();
    const optim::StepInfo info = optimizer->step(1e-3);
    EXPECT_FALSE(info.finite);
    EXPECT_EQ(info.first_bad, "p1");
    EXPECT_TRUE(at::equal(before, parameters[2].value.detach()));
    EXPECT_EQ(optimizer->scalars(), scalars);
}

TEST(AdamW, StepRaisesTheVersionOfEveryWeight) {
    auto parameters = make_parameters({8});
    auto optimizer = make(options(), parameters);
    set_gradients(parameters, 1);
    const auto before = parameters[0].value._version();
    optimizer->step(1e-3);
    EXPECT_GT(parameters[0].value._version(), before);
}

TEST(AdamW, ParameterWithoutGradientStaysAsItIs) {
    auto parameters = make_parameters({4, 4});
    const at::Tensor before = parameters[0].value.detach().clone();
    auto optimizer = make(options(), parameters);
    parameters[1].value.mutable_grad() = at::ones({4});
    optimizer->step(1e-2);
    EXPECT_TRUE(at::equal(before, parameters[0].value.detach()));
}

TEST(AdamW, SavedAndRestoredStateContinuesWithTheSameBits) {
    auto straight = make_parameters({50, 9});
    auto a = make(options(), straight);
    for (int t = 1; t <= 5; ++t) {
        set_gradients(straight, t);
        a->step(1e-3);
    }
    auto resumed = make_parameters({50, 9}, 99);
    auto b = make(options(), resumed);
    b->load_scalars(a->scalars());
    auto from = a->tensors(), to = b->tensors();
    for (size_t i = 0; i < from.size(); ++i) to[i].value.copy_(from[i].value);
    for (size_t i = 0; i < resumed.size(); ++i)
        resumed[i].value.data().copy_(straight[i].value.data());
    for (auto [parameters, optimizer] :
         {std::pair{&straight, a.get()}, std::pair{&resumed, b.get()}}) {
        set_gradients(*parameters, 6);
        optimizer->step(1e-3);
    }
    EXPECT_TRUE(at::equal(straight[0].value.detach(), resumed[0].value.detach()));
    EXPECT_TRUE(at::equal(straight[1].value.detach(), resumed[1].value.detach()));
}

TEST(AdamW, DamagedScalarsAreRefused) {
    auto parameters = make_parameters({2});
    for (const char* text : {"", "{}", "[1]", "{\"step\":\"x\"}"}) {
        test::expect_error(kData, {"step"},
                           [&] { make(options(), parameters)->load_scalars(text); });
        if (config::built("ENABLE_SPAM") == "n") continue;
        test::expect_error(kData, {"step"}, [&] {
            optim::optimizer_type("adamw_spam").make(options(), parameters)->load_scalars(text);
        });
    }
}

TEST(OptimizerTable, UnknownNameListsTheRows) {
    test::expect_error(
        kNotAvailable,
        {"'lion'", config::built("ENABLE_SPAM") == "n" ? "adamw" : "adamw, adamw_spam"},
        [] { optim::optimizer_type("lion"); });
}

}  // namespace
