#include "tiny_run.h"

#include "knlp/config/train.h"
#include "knlp/model/attention.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/parameter.h"
#include "knlp/model/runtime.h"
#include "knlp/optim/optimizer.h"
#include "knlp/train/evaluator.h"
#include "src/train/session.h"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using namespace knlp;

/// One thread: nothing here is large enough for two, and other tests run beside this one.
config::Model tiny_model() {
    model::start_runtime({.threads = 1});
    config::Model model;
    model.n_layer = 2;
    model.n_head = 2;
    model.d_model = 16;
    model.n_ctx = 16;
    model.vocab_size = 257;
    model.dropout = 0.1;
    return model;
}

/// Gradients of one step of 6 sequences cut into micro-batches.
std::vector<at::Tensor> gradients(model::Gpt2& gpt2, const data::TokenFile& tokens, int64_t micro) {
    gpt2.clear_gradients();
    for (int64_t first = 0; first < 6; first += micro) {
        const data::Batch batch = data::make_batch(tokens, 1, 3, first, micro, 16);
        const auto tensor = [](const std::vector<int64_t>& ids) {
            return at::tensor(ids, at::kLong).view({-1, 16});
        };
        model::ForwardContext context{
            .training = true, .seed = 1, .step = 3, .micro = first / micro, .first_row = first};
        gpt2.loss(tensor(batch.inputs), tensor(batch.targets), context, 6 * 16).backward();
    }
    std::vector<at::Tensor> all;
    for (model::Parameter& parameter : gpt2.parameters())
        all.push_back(parameter.value.grad().clone());
    return all;
}

TEST(Accumulation, MicroBatchesEqualOneLargeBatchDropoutIncluded) {
    test::TinyRuns runs;
    const data::Dataset dataset = data::open_dataset(runs.data());
    model::Gpt2 gpt2(tiny_model());
    gpt2.initialize(1);
    const auto whole = gradients(gpt2, dataset.train, 6);
    for (const int64_t micro : {1, 2, 3}) {
        const auto parts = gradients(gpt2, dataset.train, micro);
        for (size_t i = 0; i < whole.size(); ++i) {
            // Sums of 6 float32 parts in another order.
            const double scale = whole[i].abs().max().item<double>();
            EXPECT_LT((parts[i] - whole[i]).abs().max().item<double>(), 1e-5 * scale)
                << gpt2.parameters()[i].spec.name;
        }
    }
}

TEST(ParameterGroups, DecayMatricesOnlyAndCoverTheModelOnce) {
    model::Gpt2 gpt2(tiny_model());
    const auto groups = optim::parameter_groups(gpt2.parameters(), 0.1);
    // 2 layers of 12 d^2 in 4 matrices; the rest is embeddings, biases and norms.
    EXPECT_EQ(groups[0].tensors, 8);
    EXPECT_EQ(groups[0].elements, 2 * 12 * 16 * 16);
    EXPECT_EQ(groups[0].elements + groups[1].elements, model::parameter_count(tiny_model()));
}

TEST(Evaluator, EqualsTheMeanOverWindowsAndTheirStandardError) {
    test::TinyRuns runs;
    const data::Dataset dataset = data::open_dataset(runs.data());
    model::Gpt2 gpt2(tiny_model());
    gpt2.initialize(1);
    const auto starts = data::eval_window_starts(dataset.val.size(), 16, 16 * 10);
    const auto result =
        train::evaluate_windows(gpt2, dataset.val, starts, 4, config::Precision::kFloat32);
    ASSERT_EQ(result.window_loss.size(), 10u);
    EXPECT_EQ(result.tokens, 160);
    EXPECT_TRUE(result.complete);
    double sum = 0, squares = 0;
    for (const float loss : result.window_loss) sum += loss;
    for (const float loss : result.window_loss) squares += (loss - sum / 10) * (loss - sum / 10);
    EXPECT_NEAR(result.loss, sum / 10, 1e-6);
    EXPECT_NEAR(result.standard_error, std::sqrt(squares / 9 / 10), 1e-6);
    EXPECT_NEAR(result.loss, std::log(257.0), 0.15);
}

TEST(Evaluator, DoesNotDependOnTheBatchBeyondRounding) {
    test::TinyRuns runs;
    const data::Dataset dataset = data::open_dataset(runs.data());
    model::Gpt2 gpt2(tiny_model());
    gpt2.initialize(1);
    const auto starts = data::eval_window_starts(dataset.val.size(), 16, 16 * 7);
    const auto whole =
        train::evaluate_windows(gpt2, dataset.val, starts, 7, config::Precision::kFloat32);
    const auto single =
        train::evaluate_windows(gpt2, dataset.val, starts, 1, config::Precision::kFloat32);
    EXPECT_NEAR(whole.loss, single.loss, 1e-5);
}

TEST(Evaluator, StopsBetweenBatchesWhenAsked) {
    test::TinyRuns runs;
    const data::Dataset dataset = data::open_dataset(runs.data());
    model::Gpt2 gpt2(tiny_model());
    gpt2.initialize(1);
    const auto starts = data::eval_window_starts(dataset.val.size(), 16, 16 * 8);
    int asked = 0;
    const auto result =
        train::evaluate_windows(gpt2, dataset.val, starts, 2, config::Precision::kFloat32,
                                [&asked] { return ++asked > 2; });
    EXPECT_FALSE(result.complete);
    EXPECT_EQ(result.window_loss.size(), 4u);
}

}  // namespace
