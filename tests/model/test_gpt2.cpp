#include "tests/model/support.h"
#include "tests/support/expect_error.h"

#include "knlp/core/json.h"
#include "knlp/model/anomaly.h"
#include "knlp/model/model_json.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <memory>

namespace knlp::model {
namespace {

using test::relative_difference;
using test::small_model;
using test::some_ids;

TEST(Gpt2Sizes, CountsAreThoseOfThePublishedTable) {
    struct Row {
        const char* size;
        int64_t parameters, without_positions;
    };
    for (const Row& row :
         {Row{"nano", 842624, 826240}, Row{"tiny", 45171200, 44646912},
          Row{"124M", 124439808, 123653376}, Row{"350M", 354823168, 353774592},
          Row{"774M", 774030080, 772719360}, Row{"1558M", 1557611200, 1555972800}}) {
        const config::Model m = gpt2_preset(row.size);
        EXPECT_EQ(parameter_count(m), row.parameters) << row.size;
        EXPECT_EQ(parameter_count_without_positions(m), row.without_positions) << row.size;
    }
}

TEST(Gpt2Sizes, FlopsOfGpt2At1024AreThePublished855Millions) {
    EXPECT_NEAR(flops_per_token(gpt2_preset("124M"), 1024) / 1e6, 855.2, 0.05);
}

TEST(Gpt2Sizes, LogitsHeldAtOnceFitIntoTheMemoryOfTheirDevice) {
    config::Model m = gpt2_preset("124M");
    const int64_t row = 4 * m.padded_vocab(), rows = 32 * 1024;
    for (const auto& [device, budget] :
         {std::pair{Device{}, int64_t{64} << 20}, std::pair{Device{0}, int64_t{512} << 20}}) {
        const int64_t chunk = logit_rows(m, rows, device), fit = budget / row;
        EXPECT_LE(chunk, fit) << device.str();
        // No more chunks than needed, of about equal size.
        EXPECT_EQ((rows + chunk - 1) / chunk, (rows + fit - 1) / fit) << device.str();
        EXPECT_EQ(logit_rows(m, fit, device), fit) << device.str();
        EXPECT_LE(logit_rows(m, fit + 1, device), fit / 2 + 1) << device.str();
    }
    m.loss_chunk = 5000;
    EXPECT_EQ(logit_rows(m, rows, Device{0}), 5000);
    EXPECT_EQ(logit_rows(m, 100, Device{0}), 100);
}

TEST(Gpt2Sizes, PredictedActivationsHoldOneChunkOfLogits) {
    config::Model m = gpt2_preset("124M");
    const int64_t rows = 32 * 1024;
    for (const Device device : {Device{}, Device{0}}) {
        m.loss_chunk = 0;
        const int64_t chunk = logit_rows(m, rows, device);
        const int64_t bytes = activation_bytes(m, 32, 1024, true, device);
        m.loss_chunk = rows;
        const int64_t whole = activation_bytes(m, 32, 1024, true, device);
        EXPECT_EQ(whole - bytes, 2 * 4 * (rows - chunk) * m.padded_vocab()) << device.str();
    }
}

/// Sees the largest piece of memory that LibTorch gives this thread.
class LargestPiece : public c10::MemoryReportingInfoBase {
public:
    int64_t bytes = 0;

    bool memoryProfilingEnabled() const override { return true; }
    void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
        bytes = std::max(bytes, size);
    }
};

TEST(Gpt2, LossByOperationsTakesTheChunksOfLogitRows) {
    config::Model m = gpt2_preset("124M");  // its vocabulary under a narrow layer
    m.n_layer = m.n_head = 1;
    m.d_model = 16;
    m.n_ctx = 256;
    const int64_t rows = 2 * 256, chunk = logit_rows(m, rows, {});
    ASSERT_LT(chunk, rows);
    const at::Tensor ids = some_ids(2, 256, m.vocab_size),
                     targets = some_ids(2, 256, m.vocab_size, 999);
    const auto largest = [&](int64_t loss_chunk) {
        m.loss_chunk = loss_chunk;
        Gpt2 model(m);
        model.initialize(1);
        ForwardContext context;
        const auto seen = std::make_shared<LargestPiece>();
        const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, seen);
        model.loss(ids, targets, context);
        return seen->bytes;
    };
    EXPECT_EQ(largest(0), 4 * chunk * m.padded_vocab());
    EXPECT_EQ(largest(rows), 4 * rows * m.padded_vocab());
}

TEST(Gpt2Sizes, AnUnknownSizeNamesTheKnownOnes) {
    test::expect_error(kUsage, {"'125M'", "did you mean", "nano, tiny, 124M"},
                       [] { gpt2_preset("125M"); });
}

TEST(Gpt2, FreshLossIsLogOfVocabulary) {
    config::Model wide = gpt2_preset("124M");  // the vocabulary of GPT-2 under one narrow layer
    wide.n_layer = 1;
    wide.d_model = 192;
    wide.n_ctx = 64;
    for (const config::Model& m : {gpt2_preset("nano"), wide}) {
        Gpt2 model(m);
        model.initialize(1);
        ForwardContext context;
        at::NoGradGuard no_grad;
        const at::Tensor ids = some_ids(4, 64, m.vocab_size),
                         targets = some_ids(4, 64, m.vocab_size, 999);
        const double loss = model.loss(ids, targets, context).item<double>();
        EXPECT_NEAR(loss, std::log(static_cast<double>(m.vocab_size)), 0.15);
    }
}

TEST(Gpt2, EveryParameterReceivesGradient) {
    for (const bool tying : {true, false}) {
        config::Model m = small_model();
        m.weight_tying = tying;
        Gpt2 model(m);
        model.initialize(3);
        ForwardContext context;
        model.loss(some_ids(2, 12, m.vocab_size), some_ids(2, 12, m.vocab_size, 5), context)
            .backward();
        for (const Parameter& p : model.parameters()) {
            ASSERT_TRUE(p.value.grad().defined()) << p.spec.name;
            EXPECT_GT(p.value.grad().abs().sum().item<double>(), 0.0) << p.spec.name;
        }
    }
}

// --- Golden values of an independent PyTorch script

void fill_by_formula(Gpt2& model) {
    at::NoGradGuard no_grad;
    int64_t index = 0;
    for (Parameter& p : model.parameters()) {
        const at::Tensor i = at::arange(p.value.numel(), at::kDouble);
        at::Tensor value =
            0.2 * at::sin(0.731 * i + 0.0113 * i * i + 1.7 * static_cast<double>(index++));
        if (p.spec.role == InitRole::kOne) value += 1.0;
        p.value.copy_(value.view(p.spec.shape));
    }
}

config::Model golden_model(const nlohmann::json& values) {
    config::Model m = values.get<config::Model>();
    m.size = "custom";
    m.dropout = 0.0;
    return m;
}

/// float32 is compared within the 1e-4 asked for; float64 within what the order of summation
/// leaves.
void compare_with_golden(const nlohmann::json& golden, at::ScalarType type, double tolerance) {
    const config::Model m = golden_model(golden.at("config"));
    Gpt2 model(m);
    fill_by_formula(model);
    model.to(type);
    const at::Tensor ids = some_ids(2, m.n_ctx, m.vocab_size);
    at::Tensor targets = some_ids(2, m.n_ctx, m.vocab_size, 5);
    targets[0][3] = targets[1][0] = targets[1][7] = -1;
    ForwardContext context;
    const at::Tensor logits = model.logits(model.hidden(ids, context), context);
    EXPECT_NEAR(logits.norm().item<double>() / golden.at("logits_norm").get<double>(), 1.0,
                tolerance);
    for (int64_t b = 0; b < 2; ++b) {
        const auto last =
            golden.at("logits_last").at(static_cast<size_t>(b)).get<std::vector<double>>();
        EXPECT_LT(relative_difference(logits[b][m.n_ctx - 1], at::tensor(last, at::kDouble)),
                  tolerance);
    }
    const at::Tensor loss = model.loss(ids, targets, context);
    EXPECT_NEAR(loss.item<double>() / golden.at("loss").get<double>(), 1.0, tolerance);
    loss.backward();
    for (const Parameter& p : model.parameters()) {
        const nlohmann::json& g = golden.at("gradients").at(p.spec.name);
        const double norm = g.at("norm").get<double>();
        EXPECT_NEAR(p.value.grad().norm().item<double>() / norm, 1.0, tolerance) << p.spec.name;
        const at::Tensor flat = p.value.grad().flatten();
        for (size_t i = 0; i < g.at("at").size(); ++i)
            EXPECT_NEAR(flat[g.at("at")[i].get<int64_t>()].item<double>(),
                        g.at("values")[i].get<double>(), tolerance * norm)
                << p.spec.name;
    }
}

TEST(Gpt2Golden, LogitsLossAndGradientsAgreeWithPyTorch) {
    const nlohmann::json golden = read_json(test::source_root() / "tests/golden/gpt2_small.json");
    ASSERT_EQ(golden.at("cases").size(), 3u);
    for (const nlohmann::json& one : golden.at("cases")) {
        SCOPED_TRACE(one.at("config").dump());
        compare_with_golden(one, at::kFloat, 1e-4);
        compare_with_golden(one, at::kDouble, 1e-11);
    }
}

// --- Initialization

TEST(Gpt2Init, ATensorDependsOnSeedAndNameAlone) {
    config::Model deep = small_model(), shallow = small_model();
    deep.n_layer = 3;
    deep.vocab_size = 8;
    deep.pad_vocab = 16;
    Gpt2 a(deep), b(shallow), c(shallow);
    a.initialize(7);
    b.initialize(7);
    c.initialize(8);
    EXPECT_TRUE(at::equal(a.find("h.1.attn.c_attn.weight")->value,
                          b.find("h.1.attn.c_attn.weight")->value));
    EXPECT_TRUE(at::equal(a.find("wte.weight")->value.narrow(0, 0, 8),
                          b.find("wte.weight")->value.narrow(0, 0, 8)));
    EXPECT_FALSE(at::equal(b.find("wpe.weight")->value, c.find("wpe.weight")->value));
    EXPECT_FALSE(
        at::equal(b.find("h.0.mlp.c_fc.weight")->value, b.find("h.1.mlp.c_fc.weight")->value));
}

TEST(Gpt2Init, RolesHaveTheirSpread) {
    const config::Model m = gpt2_preset("nano");
    Gpt2 model(m);
    model.initialize(1);
    for (const Parameter& p : model.parameters()) {
        const double wanted_mean = p.spec.role == InitRole::kOne ? 1.0 : 0.0;
        double wanted_std = p.spec.role == InitRole::kNormal ? 0.02 : 0.0;
        if (p.spec.role == InitRole::kResidualOutput) wanted_std = 0.02 / std::sqrt(8.0);
        // 4 standard errors of a mean and of a standard deviation of that many normal values.
        const double n = static_cast<double>(p.value.numel());
        EXPECT_NEAR(p.value.mean().item<double>(), wanted_mean,
                    4 * wanted_std / std::sqrt(n) + 1e-12);
        EXPECT_NEAR(p.value.std().item<double>(), wanted_std,
                    4 * wanted_std / std::sqrt(2 * n) + 1e-12)
            << p.spec.name;
    }
}

TEST(Gpt2Init, BothOutputsOfEveryBlockAreResidualOutputs) {
    for (const ParameterSpec& spec : gpt2_parameters(gpt2_preset("nano")))
        EXPECT_EQ(spec.role == InitRole::kResidualOutput, spec.name.ends_with(".c_proj.weight"))
            << spec.name;
}

TEST(Gpt2Groups, OnlyLinearMatricesDecay) {
    for (const ParameterSpec& spec : gpt2_parameters(gpt2_preset("nano")))
        EXPECT_EQ(spec.decay, spec.name.find(".c_") != std::string::npos && spec.shape.size() == 2)
            << spec.name;
}

// --- Laws of the forward pass

TEST(Gpt2, PaddedVocabularyChangesNoProbability) {
    config::Model plain = small_model(), padded = small_model();
    padded.pad_vocab = 16;
    Gpt2 a(plain), b(padded);
    a.initialize(5);
    b.initialize(5);
    ForwardContext context;
    const at::Tensor ids = some_ids(2, 9, plain.vocab_size),
                     targets = some_ids(2, 9, plain.vocab_size, 3);
    const at::Tensor logits = b.logits(b.hidden(ids, context), context);
    EXPECT_EQ(logits.size(-1), 16);
    EXPECT_TRUE(logits.narrow(-1, 11, 5).isneginf().all().item<bool>());
    const at::Tensor la = a.loss(ids, targets, context), lb = b.loss(ids, targets, context);
    EXPECT_NEAR(la.item<double>(), lb.item<double>(), 1e-6);
    la.backward();
    lb.backward();
    const at::Tensor ga = a.find("wte.weight")->value.grad(),
                     gb = b.find("wte.weight")->value.grad();
    EXPECT_LT(relative_difference(gb.narrow(0, 0, 11), ga), 1e-6);
    EXPECT_EQ(gb.narrow(0, 11, 5).abs().max().item<double>(), 0.0);
}

TEST(Gpt2, AccumulatedMicroBatchesEqualOneBatch) {
    const config::Model m = small_model();
    Gpt2 whole(m);
    whole.initialize(2);
    const std::unique_ptr<Gpt2> parts = whole.clone();
    const at::Tensor ids = some_ids(6, 12, m.vocab_size);
    at::Tensor targets = some_ids(6, 12, m.vocab_size, 4);
    targets[1].fill_(-1);  // an uneven share of targets
    ForwardContext context{.training = true, .dropout = 0.25, .seed = 11, .step = 3};
    whole.loss(ids, targets, context).backward();
    const double count = targets.ne(-1).sum().item<double>();
    for (int64_t first = 0; first < 6; first += 2) {
        context.first_row = first;
        parts->loss(ids.narrow(0, first, 2), targets.narrow(0, first, 2), context, count)
            .backward();
    }
    for (size_t i = 0; i < whole.parameters().size(); ++i)
        EXPECT_LT(relative_difference(parts->parameters()[i].value.grad(),
                                      whole.parameters()[i].value.grad()),
                  1e-5)
            << whole.parameters()[i].spec.name;
}

TEST(Gpt2, TrainingUsesTheDropoutOfTheModelUnlessTold) {
    config::Model m = small_model();
    m.dropout = 0.5;
    Gpt2 model(m);
    fill_by_formula(model);
    const at::Tensor ids = some_ids(2, 12, m.vocab_size),
                     targets = some_ids(2, 12, m.vocab_size, 4);
    const auto loss = [&](ForwardContext context) {
        return model.loss(ids, targets, context).item<double>();
    };
    const double evaluated = loss({.training = false}), own = loss({.training = true});
    EXPECT_NE(own, evaluated);
    EXPECT_EQ(loss({.training = true, .dropout = 0.5}), own);
    EXPECT_EQ(loss({.training = true, .dropout = 0.0}), evaluated);
    EXPECT_NE(loss({.training = true, .step = 1}), own);
}

TEST(Gpt2, TokenNllAveragesToTheLoss) {
    const config::Model m = small_model();
    Gpt2 model(m);
    fill_by_formula(model);
    ForwardContext context;
    const at::Tensor ids = some_ids(3, 12, m.vocab_size);
    at::Tensor targets = some_ids(3, 12, m.vocab_size, 2);
    targets[2].narrow(0, 0, 6).fill_(-1);
    const at::Tensor nll = model.token_nll(ids, targets, context);
    EXPECT_EQ(nll.sizes(), targets.sizes());
    EXPECT_EQ(nll[2].narrow(0, 0, 6).abs().max().item<double>(), 0.0);
    EXPECT_NEAR(nll.sum().item<double>() / 30.0, model.loss(ids, targets, context).item<double>(),
                1e-5);
}

TEST(Gpt2, CloneSharesNothing) {
    Gpt2 model(small_model());
    model.initialize(2);
    const std::unique_ptr<Gpt2> copy = model.clone();
    at::NoGradGuard no_grad;
    copy->find("wpe.weight")->value.fill_(3);
    EXPECT_LT(model.find("wpe.weight")->value.abs().max().item<double>(), 1.0);
}

TEST(Gpt2, SameInputSameBits) {
    const config::Model m = gpt2_preset("nano");
    Gpt2 model(m);
    model.initialize(2);
    const std::unique_ptr<Gpt2> other = model.clone();
    const at::Tensor ids = some_ids(4, 128, m.vocab_size),
                     targets = some_ids(4, 128, m.vocab_size, 1);
    ForwardContext context{.training = true, .dropout = 0.1, .seed = 5};
    model.loss(ids, targets, context).backward();
    other->loss(ids, targets, context).backward();
    for (size_t i = 0; i < model.parameters().size(); ++i)
        EXPECT_TRUE(
            at::equal(model.parameters()[i].value.grad(), other->parameters()[i].value.grad()))
            << model.parameters()[i].spec.name;
}

/// What a watched pass over a small model with this weight filled finds first.
std::string anomaly_of(const char* filled, double value, double divisor = 0) {
    const config::Model m = small_model();
    Gpt2 model(m);
    model.initialize(2);
    if (Parameter* weight = model.find(filled)) {
        at::NoGradGuard no_grad;
        weight->value.fill_(value);
    }
    AnomalyWatch watch;
    ForwardContext context{.training = true, .anomalies = &watch};
    model.loss_and_gradients(some_ids(3, 12, m.vocab_size), some_ids(3, 12, m.vocab_size, 1),
                             context, divisor);
    return watch.first_bad();
}

TEST(AnomalyWatch, NamesTheFirstTensorOfAPassThatIsNotFinite) {
    EXPECT_EQ(anomaly_of("none", 0), "");
    EXPECT_EQ(anomaly_of("wpe.weight", NAN), "weight wpe.weight");
    EXPECT_EQ(anomaly_of("h.1.mlp.c_fc.weight", 3e38), "h.1.mlp.c_fc");
    EXPECT_EQ(anomaly_of("h.0.attn.c_attn.weight", 3e38), "h.0.attn.c_attn");
    EXPECT_EQ(anomaly_of("none", 0, 1e-45), "loss");
}

TEST(AnomalyWatch, NamesAGradientWhenTheForwardPassIsFinite) {
    // Weights of the loss near the largest float: their products with what LayerNorm divides by a
    // small deviation do not fit.
    EXPECT_EQ(anomaly_of("none", 0, 1e-36).substr(0, 12), "gradient of ");
}

TEST(AnomalyWatch, WatchedPassGivesTheGradientsOfTheOther) {
    const config::Model m = small_model();
    Gpt2 model(m);
    model.initialize(2);
    const std::unique_ptr<Gpt2> watched = model.clone();
    const at::Tensor ids = some_ids(3, 12, m.vocab_size),
                     targets = some_ids(3, 12, m.vocab_size, 1);
    AnomalyWatch watch;
    ForwardContext plain{.training = true}, watching{.training = true, .anomalies = &watch};
    model.loss_and_gradients(ids, targets, plain);
    watched->loss_and_gradients(ids, targets, watching);
    // 1e-4: the bound of gradients against an independent implementation.
    for (size_t i = 0; i < model.parameters().size(); ++i)
        EXPECT_LT(relative_difference(watched->parameters()[i].value.grad(),
                                      model.parameters()[i].value.grad()),
                  1e-4)
            << model.parameters()[i].spec.name;
}

}  // namespace
}  // namespace knlp::model
