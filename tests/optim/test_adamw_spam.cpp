#include "knlp/config/build_info.h"
#include "knlp/optim/named_state.h"
#include "knlp/optim/optimizer.h"
#include "knlp/optim/spam.h"
#include "parameters.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <deque>
#include <numbers>

namespace {

using namespace knlp;
using test::largest_difference;
using test::make_parameters;
using test::set_gradients;

config::Optimizer paper() {
    return {.name = "adamw_spam", .beta2 = 0.999, .epsilon = 1e-6, .clip_norm = 0};
}
config::Optimizer knlp_mode() {
    config::Optimizer o = paper();
    o.epsilon = 1e-8;
    o.spam_knlp = true;
    o.spam_theta = 50;
    o.spam_grace_steps = 0;
    o.spam_interval = 1000;
    o.spam_warmup_steps = 100;
    o.spam_amsgrad = true;
    o.spam_zscore = true;
    return o;
}

std::unique_ptr<optim::Optimizer> make(const config::Optimizer& o,
                                       std::vector<model::Parameter>& parameters) {
    return optim::optimizer_type("adamw_spam").make(o, parameters);
}

at::Tensor state(optim::Optimizer& optimizer, const std::string& suffix) {
    for (const optim::NamedState& entry : optimizer.tensors())
        if (entry.suffix == suffix) return entry.value;
    return {};
}

/// The rules written down once more, in double and for one element; independent of the kernels.
struct Reference {
    config::Optimizer o;
    double w = 0, m = 0, v = 0, top = 0;
    int64_t t = 0, last_reset = -1;

    void step(double g, double lr) {
        ++t;
        if (o.spam_interval > 0 && t % o.spam_interval == 0) {
            m = v = top = 0;
            last_reset = t;
        }
        const int64_t since = last_reset < 0 ? -1 : t - last_reset;
        const bool past_grace = t >= o.spam_grace_steps &&
                                (o.spam_interval == 0 || t % o.spam_interval >= o.spam_grace_steps);
        const double floor = o.spam_knlp ? 1e-12 : 0.0;
        const int64_t updates = since < 0 ? t - 1 : since;
        const bool settled = !o.spam_knlp || o.spam_theta * (1 - std::pow(o.beta2, updates)) >= 1;
        if (o.spam_clip && past_grace && settled && g * g > o.spam_theta * (v + floor))
            g = std::copysign(std::sqrt(o.spam_theta * (v + floor)), g);
        m = o.beta1 * m + (1 - o.beta1) * g;
        v = o.beta2 * v + (1 - o.beta2) * g * g;
        top = std::max(top, v);
        double scale = 1;
        if (since >= 0 && since < o.spam_warmup_steps) {
            const double x = std::numbers::pi * static_cast<double>(since);
            const auto n = static_cast<double>(o.spam_warmup_steps);
            scale = o.spam_knlp ? std::max(1e-3, 0.5 * (1 - std::cos(x / n)))
                                : 1 - 0.99 * (1 + std::cos(x / (n + 1))) / 2;
        }
        const double count = static_cast<double>(o.spam_reset_bias && since >= 0 ? since + 1 : t);
        const double denominator =
            std::sqrt(o.spam_amsgrad ? top : v) / std::sqrt(1 - std::pow(o.beta2, count));
        w -= scale * lr / (1 - std::pow(o.beta1, count)) * m / (denominator + o.epsilon);
        w -= lr * o.weight_decay * w;
    }
};

void expect_reference(config::Optimizer o, int64_t steps) {
    o.spam_zscore = false;  // looks at all elements; tested on its own below
    auto parameters = make_parameters({1});
    auto optimizer = make(o, parameters);
    Reference reference{.o = o, .w = parameters[0].value.item<float>()};
    for (int64_t t = 1; t <= steps; ++t) {
        const float scale = t % 37 == 0 ? 30.0f : 0.1f;  // spikes to clip
        set_gradients(parameters, t, scale);
        reference.step(parameters[0].value.grad().item<float>(), 1e-3);
        optimizer->step(1e-3);
        // float32 roundings of w near 1 add up over the steps.
        ASSERT_NEAR(parameters[0].value.item<float>(), reference.w, 2e-5) << "step " << t;
    }
    EXPECT_NEAR(state(*optimizer, "exp_avg_sq").item<float>(), reference.v, 1e-4 * reference.v);
}

class Spam : public testing::Test {
    void SetUp() override {
        if (config::built("ENABLE_SPAM") == "n") GTEST_SKIP() << "built without ENABLE_SPAM";
    }
};

TEST_F(Spam, PaperModeFollowsTheFormula) {
    config::Optimizer o = paper();
    o.spam_theta = 50;  // so that spikes are clipped
    o.spam_interval = 60;
    o.spam_warmup_steps = 15;
    expect_reference(o, 200);
    o.spam_reset_bias = true;
    expect_reference(o, 200);
}

TEST_F(Spam, KnlpModeFollowsTheFormula) {
    config::Optimizer o = knlp_mode();
    o.spam_interval = 60;
    o.spam_warmup_steps = 15;
    expect_reference(o, 200);
}

TEST_F(Spam, ResetsOncePerIntervalAndCountsEachStepOnce) {
    auto parameters = make_parameters({3});
    config::Optimizer o = knlp_mode();
    o.spam_interval = 10;
    o.spam_warmup_steps = 3;
    auto optimizer = make(o, parameters);
    int64_t resets = 0, last = -1;
    for (int64_t t = 1; t <= 95; ++t) {
        set_gradients(parameters, t);
        optimizer->step(1e-3);
        const auto scalars = nlohmann::json::parse(optimizer->scalars());
        EXPECT_EQ(scalars["step"], t);
        if (scalars["last_reset"] != last) {
            ++resets;
            last = scalars["last_reset"];
            EXPECT_EQ(last, 10 * resets);
        }
    }
    EXPECT_EQ(resets, 9);  // floor(95 / 10)
}

TEST_F(Spam, ResetClearsTheLargestSecondMomentToo) {
    auto parameters = make_parameters({1});
    config::Optimizer o = knlp_mode();
    o.spam_interval = 5;
    auto optimizer = make(o, parameters);
    for (int64_t t = 1; t <= 4; ++t) {
        set_gradients(parameters, t, 100.0f);
        optimizer->step(1e-3);
    }
    EXPECT_GT(state(*optimizer, "max_exp_avg_sq").item<float>(), 1.0f);
    set_gradients(parameters, 5, 1e-3f);
    const float g = parameters[0].value.grad().item<float>();
    optimizer->step(1e-3);
    EXPECT_NEAR(state(*optimizer, "max_exp_avg_sq").item<float>(), 0.001f * g * g, 1e-6f * g * g);
}

TEST_F(Spam, WarmUpActsOnTheScheduledRateAndNeverAccumulates) {
    // With a steady gradient and no decay the step is scale * lr, whatever came before.
    auto parameters = make_parameters({1});
    config::Optimizer o = knlp_mode();
    o.weight_decay = 0;
    o.spam_interval = 40;
    o.spam_warmup_steps = 10;
    o.spam_reset_bias = true;
    o.spam_clip = o.spam_zscore = false;
    auto optimizer = make(o, parameters);
    for (int64_t t = 1; t <= 79; ++t) {
        parameters[0].value.mutable_grad() = at::full({1}, 0.5f);
        parameters[0].value.data().zero_();
        optimizer->step(1e-2);
        const int64_t since = t < 40 ? -1 : t - 40;
        EXPECT_NEAR(-parameters[0].value.item<float>(), 1e-2 * optim::spam_warmup(o, since), 1e-7)
            << t;
    }
}

TEST_F(Spam, GradientPassesUnclippedRightAfterAReset) {
    for (const bool amsgrad : {false, true}) {
        auto parameters = make_parameters({1});
        config::Optimizer o = knlp_mode();
        o.spam_amsgrad = amsgrad;
        o.spam_interval = 100;
        auto optimizer = make(o, parameters);
        for (int64_t t = 1; t <= 110; ++t) {
            parameters[0].value.mutable_grad() = at::full({1}, 0.5f);
            optimizer->step(1e-3);
        }
        // 11 unclipped updates: v = (1 - beta2^11) g^2.
        EXPECT_NEAR(state(*optimizer, "exp_avg_sq").item<float>(), (1 - std::pow(0.999, 11)) * 0.25,
                    1e-7);
    }
}

TEST_F(Spam, SteadyGradientIsNeverClippedInKnlpMode) {
    auto parameters = make_parameters({1});
    config::Optimizer o = knlp_mode();
    o.spam_interval = 0;
    auto optimizer = make(o, parameters);
    for (int64_t t = 1; t <= 60; ++t) {
        parameters[0].value.mutable_grad() = at::full({1}, 0.5f);
        optimizer->step(1e-3);
    }
    EXPECT_NEAR(state(*optimizer, "exp_avg_sq").item<float>(), (1 - std::pow(0.999, 60)) * 0.25,
                1e-6);
}

TEST_F(Spam, OutlyingNormDampsTheMoments) {
    auto calm = make_parameters({1}), spiked = make_parameters({1});
    config::Optimizer o = knlp_mode();
    o.spam_clip = false;
    auto damped = make(o, spiked);
    o.spam_zscore = false;
    auto plain = make(o, calm);
    for (int64_t t = 1; t <= 12; ++t)
        for (auto [parameters, optimizer] :
             {std::pair{&calm, plain.get()}, std::pair{&spiked, damped.get()}}) {
            (*parameters)[0].value.mutable_grad() = at::full({1}, t % 2 == 0 ? 0.5f : 0.52f);
            optimizer->step(1e-3);
        }
    const double m = state(*damped, "exp_avg").item<float>(),
                 v = state(*damped, "exp_avg_sq").item<float>();
    EXPECT_DOUBLE_EQ(m, state(*plain, "exp_avg").item<float>());
    spiked[0].value.mutable_grad() = at::full({1}, 5.0f);  // mean 0.51, deviation 0.01
    damped->step(1e-3);
    EXPECT_NEAR(state(*damped, "exp_avg").item<float>(), 0.9 * 0.5 * m + 0.1 * 5.0, 1e-6);
    EXPECT_NEAR(state(*damped, "exp_avg_sq").item<float>(), 0.999 * 0.9 * v + 0.001 * 25.0, 1e-7);
}

TEST_F(Spam, FewerThanTenNormsAreNoBasisForAnOutlier) {
    auto parameters = make_parameters({1});
    config::Optimizer o = knlp_mode();
    o.spam_clip = false;
    auto optimizer = make(o, parameters);
    for (int64_t t = 1; t <= 9; ++t) {
        parameters[0].value.mutable_grad() = at::full({1}, t % 2 == 0 ? 0.5f : 0.52f);
        optimizer->step(1e-3);
    }
    const double m = state(*optimizer, "exp_avg").item<float>();
    parameters[0].value.mutable_grad() = at::full({1}, 5.0f);
    optimizer->step(1e-3);
    EXPECT_NEAR(state(*optimizer, "exp_avg").item<float>(), 0.9 * m + 0.5, 1e-6);
}

TEST_F(Spam, StateRestoredInsideTheWarmUpContinuesWithTheSameBits) {
    config::Optimizer o = knlp_mode();
    o.spam_interval = 20;
    o.spam_warmup_steps = 8;
    o.clip_norm = 0.05;
    auto straight = make_parameters({40, 3});
    auto a = make(o, straight);
    for (int64_t t = 1; t <= 23; ++t) {
        set_gradients(straight, t);
        a->step(1e-3);
    }
    auto resumed = make_parameters({40, 3}, 5);
    auto b = make(o, resumed);
    b->load_scalars(a->scalars());
    auto from = a->tensors(), to = b->tensors();
    ASSERT_EQ(from.size(), 6u);  // three for each parameter with AMSGrad
    for (size_t i = 0; i < from.size(); ++i) to[i].value.copy_(from[i].value);
    for (size_t i = 0; i < 2; ++i) resumed[i].value.data().copy_(straight[i].value.data());
    for (int64_t t = 24; t <= 45; ++t)
        for (auto [parameters, optimizer] :
             {std::pair{&straight, a.get()}, std::pair{&resumed, b.get()}}) {
            set_gradients(*parameters, t);
            optimizer->step(1e-3);
        }
    EXPECT_TRUE(at::equal(straight[0].value.detach(), resumed[0].value.detach()));
    EXPECT_EQ(a->scalars(), b->scalars());
}

TEST_F(Spam, DecayUsesTheUnscaledRateAfterTheStep) {
    auto parameters = make_parameters({1});
    config::Optimizer o = paper();
    o.spam_interval = 2;
    auto optimizer = make(o, parameters);
    parameters[0].value.mutable_grad() = at::zeros({1});
    const double w = parameters[0].value.item<float>();
    optimizer->step(0.5);
    optimizer->step(0.5);  // a reset step: scale 0.01, but decay by 1 - 0.05
    EXPECT_NEAR(parameters[0].value.item<float>(), w * 0.95 * 0.95, 1e-6);
}

}  // namespace
