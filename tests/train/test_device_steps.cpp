#include "tiny_run.h"

#include "knlp/model/runtime.h"
#include "knlp/model/parameter.h"
#include "knlp/train/device_steps.h"
#include "src/train/device_feed.h"
#include "src/train/session.h"

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

using namespace knlp;

constexpr int64_t kMicro = 2, kAccumulation = 3, kContext = 16;

/// One thread: nothing here is large enough for two, and other tests run beside this one.
config::Model tiny_model() {
    model::start_runtime({.threads = 1});
    config::Model model;
    model.n_layer = 1;
    model.n_head = 2;
    model.d_model = 16;
    model.n_ctx = kContext;
    model.vocab_size = 257;
    model.dropout = 0;
    return model;
}

/// A model, its optimizer, and the micro-batches of its steps.
struct Trained {
    Trained(const data::Dataset& dataset, config::Model shape, bool queued)
        : gpt2(shape), tokens(dataset.train) {
        gpt2.initialize(1);
        optimizer = optim::make_optimizer({}, gpt2.parameters(), queued);
    }

    data::Batch batch(int64_t step, int64_t micro) const {
        return data::make_batch(tokens, 1, step, micro * kMicro, kMicro, kContext);
    }
    /// As the loop takes a step on the CPU; the loss.
    double plain_step(int64_t step, double lr) {
        gpt2.clear_gradients();
        double loss = 0;
        for (int64_t micro = 0; micro < kAccumulation; ++micro) {
            model::ForwardContext context{.training = true, .seed = 1, .step = step};
            loss += gpt2.loss_and_gradients(batch(step, micro), context,
                                            kMicro * kAccumulation * kContext);
        }
        optimizer->step(lr);
        return loss;
    }
    void enqueue(train::DeviceSteps& steps, int64_t step, double lr) const {
        for (int64_t micro = 0; micro < kAccumulation; ++micro) steps.add(batch(step, micro));
        steps.run(step, lr);
    }

    model::Gpt2 gpt2;
    const data::TokenFile& tokens;
    std::unique_ptr<optim::Optimizer> optimizer;
};

train::DeviceStepOptions options(bool graph) {
    return {.micro = kMicro, .accumulation = kAccumulation, .seed = 1, .graph = graph};
}

class DeviceStepsTest : public testing::Test {
protected:
    test::TinyRuns runs_;
    data::Dataset dataset_ = data::open_dataset(runs_.data());
};

TEST_F(DeviceStepsTest, FeedDeliversWholeStepsInOrder) {
    train::DeviceFeed feed(at::kCPU, kMicro * kAccumulation, kContext);
    const at::Tensor into = at::empty({2, kMicro * kAccumulation, kContext}, at::kLong);
    for (int64_t step = 0; step < 5; ++step) {
        if (step == 3) {  // an interrupted step leaves nothing behind
            feed.add(data::make_batch(dataset_.train, 1, 9, 0, kMicro, kContext));
            feed.drop();
        }
        for (int64_t micro = 0; micro < kAccumulation; ++micro)
            feed.add(data::make_batch(dataset_.train, 1, step, micro * kMicro, kMicro, kContext));
        feed.deliver(into);
        const data::Batch whole =
            data::make_batch(dataset_.train, 1, step, 0, kMicro * kAccumulation, kContext);
        const auto wanted = [&](const std::vector<int64_t>& ids) {
            return at::tensor(ids, at::kLong).view({whole.rows, kContext});
        };
        EXPECT_TRUE(into[0].equal(wanted(whole.inputs))) << step;
        EXPECT_TRUE(into[1].equal(wanted(whole.targets))) << step;
    }
}

TEST_F(DeviceStepsTest, EqualTheStepsThatAreWaitedForRecordedOrNot) {
    for (const bool graph : {false, true}) {
        Trained plain(dataset_, tiny_model(), false), queued(dataset_, tiny_model(), true);
        train::DeviceSteps steps(queued.gpt2, *queued.optimizer, options(graph));
        std::vector<double> losses;
        for (int64_t step = 0; step < 12; ++step) {
            const double lr = 1e-2 / static_cast<double>(step + 1);
            losses.push_back(plain.plain_step(step, lr));
            queued.enqueue(steps, step, lr);
        }
        EXPECT_EQ(steps.recorded(), graph);
        EXPECT_EQ(steps.not_recorded().empty(), graph);
        const std::vector<train::StepOutcome> outcomes = steps.collect();
        ASSERT_EQ(outcomes.size(), losses.size());
        for (size_t i = 0; i < losses.size(); ++i) {
            EXPECT_EQ(outcomes[i].step, static_cast<int64_t>(i));
            EXPECT_DOUBLE_EQ(outcomes[i].lr, 1e-2 / static_cast<double>(i + 1));
            EXPECT_TRUE(outcomes[i].info.finite);
            EXPECT_NEAR(outcomes[i].loss / losses[i], 1, 1e-5) << i;
        }
        EXPECT_EQ(plain.optimizer->scalars(), queued.optimizer->scalars());
        EXPECT_TRUE(steps.collect().empty());
    }
}

TEST_F(DeviceStepsTest, OutcomesOfManyStepsWaitInOrder) {
    Trained queued(dataset_, tiny_model(), true);
    train::DeviceSteps steps(queued.gpt2, *queued.optimizer, options(true));
    for (int64_t step = 0; step < 150; ++step) queued.enqueue(steps, step, 1e-4);
    const std::vector<train::StepOutcome> outcomes = steps.collect();
    ASSERT_EQ(outcomes.size(), 150u);
    for (size_t i = 0; i < outcomes.size(); ++i) {
        EXPECT_EQ(outcomes[i].step, static_cast<int64_t>(i));
        EXPECT_GT(outcomes[i].loss, 0);
    }
}

TEST_F(DeviceStepsTest, StepWithBadGradientsIsSkippedWithItsParameterNamed) {
    Trained queued(dataset_, tiny_model(), true);
    train::DeviceSteps steps(queued.gpt2, *queued.optimizer, options(true));
    model::Parameter* bias = queued.gpt2.find("ln_f.bias");
    ASSERT_NE(bias, nullptr);
    for (int64_t step = 0; step < 5; ++step) queued.enqueue(steps, step, 1e-3);
    const at::Tensor before = queued.gpt2.find("wpe.weight")->value.detach().clone();
    {
        const at::NoGradGuard no_grad;
        bias->value[3] = std::numeric_limits<float>::quiet_NaN();
    }
    queued.enqueue(steps, 5, 1e-3);
    const std::vector<train::StepOutcome> outcomes = steps.collect();
    ASSERT_EQ(outcomes.size(), 6u);
    EXPECT_TRUE(outcomes[4].info.finite);
    EXPECT_FALSE(outcomes[5].info.finite);
    EXPECT_EQ(outcomes[5].info.first_bad, "wte.weight");
    EXPECT_TRUE(before.equal(queued.gpt2.find("wpe.weight")->value.detach()));
    EXPECT_EQ(queued.optimizer->scalars(), R"({"step":5})");
}

TEST_F(DeviceStepsTest, DropoutIsNotRecordedAndSaysWhy) {
    config::Model shape = tiny_model();
    shape.dropout = 0.1;
    Trained queued(dataset_, shape, true);
    train::DeviceSteps steps(queued.gpt2, *queued.optimizer, options(true));
    EXPECT_NE(steps.not_recorded().find("GPT2_DROPOUT"), std::string::npos);
    for (int64_t step = 0; step < 5; ++step) queued.enqueue(steps, step, 1e-3);
    EXPECT_FALSE(steps.recorded());
    EXPECT_EQ(steps.collect().size(), 5u);
}

/// Losses and norms in the metrics of a run, each with its event, step and name.
std::vector<std::pair<std::string, double>> losses_of(const std::filesystem::path& run) {
    std::vector<std::pair<std::string, double>> all;
    for (const nlohmann::json& event : test::events(run))
        for (const char* field : {"loss", "train_loss", "val_loss", "grad_norm"})
            if (event.contains(field) && event[field].is_number())
                all.emplace_back(event.value("event", "") + ' ' +
                                     std::to_string(event.value("step", -1)) + ' ' + field,
                                 event[field].get<double>());
    return all;
}

TEST_F(DeviceStepsTest, RunOfTheTrainerRecordsWhatARunThatWaitsDoes) {
    const test::Values values = {{"GPT2_DROPOUT", "0"}};
    runs_.train("waits", values);
    runs_.train("queued", values, {.queue_steps = true});
    const auto waits = losses_of(runs_.run("waits")), queued = losses_of(runs_.run("queued"));
    ASSERT_EQ(waits.size(), queued.size());
    ASSERT_GT(waits.size(), 10u);
    for (size_t i = 0; i < waits.size(); ++i) {
        EXPECT_EQ(waits[i].first, queued[i].first);
        EXPECT_NEAR(queued[i].second / waits[i].second, 1, 1e-4) << waits[i].first;
    }
}

TEST_F(DeviceStepsTest, InterruptedRunGoesOnToTheSameWeights) {
    const test::Values values = {{"GPT2_DROPOUT", "0"}};
    runs_.train("whole", values, {.queue_steps = true});
    train::TrainRequest stopping{.queue_steps = true};
    stopping.on_micro_batch = [](int64_t step, int64_t micro) {
        if (step == 7 && micro == 1) request_stop(15);
    };
    EXPECT_EQ(runs_.train("cut", values, stopping).status, 75);
    clear_stop();
    runs_.resume("cut", {}, {.queue_steps = true});
    EXPECT_EQ(losses_of(runs_.run("whole")), losses_of(runs_.run("cut")));
}

}  // namespace
