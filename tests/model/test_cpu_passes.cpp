// The CPU's own passes against the tensor operations of gpt2.cpp, which golden values and float64
// differences have checked.

#include "src/model/gemm.h"
#include "tests/model/support.h"

#include "knlp/core/error.h"
#include "knlp/model/runtime.h"
#include "tests/support/expect_error.h"
#include "tests/support/lower_isas.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace knlp::model {
namespace {

using test::relative_difference;
using test::small_model;
using test::some_ids;

struct Case {
    const char* name;
    int64_t n_layer, n_head, d_model, vocab_size, pad_vocab, batch, length, loss_chunk;
    bool bias, tying;
    config::Gelu gelu;
};

config::Model model_of(const Case& c) {
    config::Model m = small_model();
    m.n_layer = c.n_layer;
    m.n_head = c.n_head;
    m.d_model = c.d_model;
    m.vocab_size = c.vocab_size;
    m.pad_vocab = c.pad_vocab;
    m.n_ctx = c.length + 3;
    m.loss_chunk = c.loss_chunk;
    m.bias = c.bias;
    m.weight_tying = c.tying;
    m.gelu = c.gelu;
    return m;
}

/// Weights larger than fresh ones, so that attention is far from uniform and nothing is zero.
void spread(Gpt2& model) {
    model.initialize(17);
    at::NoGradGuard no_grad;
    for (Parameter& p : model.parameters()) {
        const at::Tensor i = at::arange(p.value.numel(), at::kFloat).view(p.spec.shape);
        if (p.spec.role == InitRole::kZero || p.spec.role == InitRole::kOne)
            p.value.add_(at::sin(i * 0.7), 0.1);
        else
            p.value.mul_(6.0);
    }
}

struct Batch {
    at::Tensor ids, targets;
};
Batch batch_of(const config::Model& m, int64_t batch, int64_t length) {
    Batch b{some_ids(batch, length, m.vocab_size), some_ids(batch, length, m.vocab_size, 5)};
    if (batch * length > 2) b.targets[0][length / 2] = -1;
    return b;
}

const Case kCases[] = {
    {"odd", 2, 2, 16, 11, 1, 3, 9, 0, true, true, config::Gelu::kTanh},
    {"char", 2, 4, 32, 65, 1, 4, 16, 0, true, true, config::Gelu::kTanh},
    {"padded untied", 2, 2, 24, 65, 32, 2, 13, 0, true, false, config::Gelu::kErf},
    {"no bias", 1, 3, 48, 37, 1, 2, 8, 5, false, true, config::Gelu::kTanh},
    {"one token", 1, 1, 16, 11, 1, 1, 1, 0, true, true, config::Gelu::kTanh},
    {"one row a chunk", 3, 2, 32, 70, 1, 5, 7, 1, true, false, config::Gelu::kTanh},
    {"wide", 1, 10, 640, 33, 1, 2, 11, 0, true, true, config::Gelu::kTanh},
};

const ForwardContext kTraining{.training = true};
/// Rows from the middle of an effective batch, with a rate that leaves few places untouched.
const ForwardContext kDropping{
    .training = true, .dropout = 0.3, .seed = 9, .step = 4, .first_row = 5};

/// Loss and gradients of the generic route in float64.
struct Reference {
    std::unique_ptr<Gpt2> model;
    double loss = 0;
    at::Tensor nll;
};
Reference reference(const Gpt2& model, const Batch& b, ForwardContext context = kTraining) {
    Reference r{model.clone()};
    r.model->to(at::kDouble);
    const at::Tensor loss = r.model->loss(b.ids, b.targets, context);
    loss.backward();
    r.loss = loss.item<double>();
    ForwardContext evaluation;
    r.nll = r.model->token_nll(b.ids, b.targets, evaluation);
    return r;
}

/// |difference| relative to the norm of the whole gradient: single elements may be sums that
/// cancel.
double gradient_difference(const at::Tensor& got, const at::Tensor& wanted) {
    return (got.to(at::kDouble) - wanted).norm().item<double>() /
           std::max(1e-30, wanted.norm().item<double>());
}

struct RouteGuard {
    std::string before = gemm_route();
    int threads = at::get_num_threads();
    ~RouteGuard() {
        set_gemm_route(before);
        at::set_num_threads(threads);
    }
};

void expect_float64(const ForwardContext& training) {
    const RouteGuard guard;
    for (const Case& c : kCases) {
        const config::Model m = model_of(c);
        Gpt2 model(m);
        spread(model);
        const Batch b = batch_of(m, c.batch, c.length);
        const Reference wanted = reference(model, b, training);
        for (const char* route : {"native", "aten", "native;block.weight=aten;head.forward=aten"})
            for (const int threads : {1, 2}) {
                SCOPED_TRACE(std::string(c.name) + ", " + route + ", threads " +
                             std::to_string(threads));
                set_gemm_route(route);
                at::set_num_threads(threads);
                ForwardContext context = training, evaluation;
                model.clear_gradients();
                const double loss =
                    model.loss_and_gradients(b.ids, b.targets, context).item<double>();
                // Rounding of float32, 6e-8 a step, through a few hundred sums a layer.
                EXPECT_NEAR(loss, wanted.loss, 2e-6 * wanted.loss);
                for (size_t i = 0; i < model.parameters().size(); ++i) {
                    const Parameter &p = model.parameters()[i], &w = wanted.model->parameters()[i];
                    EXPECT_LT(gradient_difference(p.value.grad(), w.value.grad()), 1e-5)
                        << p.spec.name;
                }
                // Logits as large as the largest loss, rounded once a product and once a sum.
                EXPECT_LT(
                    relative_difference(model.token_nll(b.ids, b.targets, evaluation), wanted.nll),
                    3e-6);
            }
    }
}

TEST(CpuPasses, LossAndEveryGradientAreThoseOfFloat64) {
    expect_float64(kTraining);
}

TEST(CpuPasses, LossAndEveryGradientWithDropoutAreThoseOfFloat64) {
    expect_float64(kDropping);
}

double pass(Gpt2& model, const Batch& b, ForwardContext context = kTraining, double divisor = 0.0) {
    return model.loss_and_gradients(b.ids, b.targets, context, divisor).item<double>();
}

std::vector<at::Tensor> gradients_of(Gpt2& model) {
    std::vector<at::Tensor> all;
    for (const Parameter& p : model.parameters()) all.push_back(p.value.grad().clone());
    return all;
}

/// Central differences of the float64 loss, by forward passes alone, at a few places of every
/// parameter.
void expect_slopes(const ForwardContext& context) {
    constexpr double kStep = 1e-5;
    const config::Model m = model_of(kCases[0]);
    Gpt2 model(m);
    spread(model);
    const Batch b = batch_of(m, 3, 9);
    pass(model, b, context);
    const std::unique_ptr<Gpt2> wide = model.clone();
    wide->to(at::kDouble);
    const at::NoGradGuard no_grad;
    const auto loss = [&] {
        ForwardContext own = context;
        return wide->loss(b.ids, b.targets, own).item<double>();
    };
    for (size_t i = 0; i < model.parameters().size(); ++i) {
        const at::Tensor gradient = model.parameters()[i].value.grad().view({-1});
        at::Tensor values = wide->parameters()[i].value.view({-1});
        for (int64_t at = 0; at < values.numel(); at += std::max<int64_t>(1, values.numel() / 2)) {
            const double kept = values[at].item<double>();
            values[at] = kept + kStep;
            const double above = loss();
            values[at] = kept - kStep;
            const double below = loss();
            values[at] = kept;
            // Float32 against the largest slope of the tensor, as for the whole gradient.
            EXPECT_NEAR(gradient[at].item<double>(), (above - below) / (2 * kStep),
                        1e-5 * gradient.abs().max().item<double>())
                << model.parameters()[i].spec.name << "[" << at << "]";
        }
    }
}

TEST(CpuPasses, GradientsAreTheSlopesOfTheFloat64Loss) {
    expect_slopes(kTraining);
    expect_slopes(kDropping);
}

void expect_sum_of_micro_batches(ForwardContext context) {
    const config::Model m = model_of(kCases[1]);
    Gpt2 model(m);
    spread(model);
    const Batch b = batch_of(m, 6, 16);
    const double count = b.targets.ne(-1).sum().item<double>();
    const int64_t first_row = context.first_row;
    model.clear_gradients();
    const double whole = pass(model, b, context);
    const std::vector<at::Tensor> wanted = gradients_of(model);
    for (const int64_t micro : {1, 2, 3}) {
        model.clear_gradients();
        double loss = 0;
        for (int64_t first = 0; first < 6; first += micro) {
            context.first_row = first_row + first;
            loss += pass(model, {b.ids.narrow(0, first, micro), b.targets.narrow(0, first, micro)},
                         context, count);
        }
        EXPECT_NEAR(loss, whole, 1e-6 * whole);
        const std::vector<at::Tensor> got = gradients_of(model);
        for (size_t i = 0; i < got.size(); ++i)
            EXPECT_LT(gradient_difference(got[i], wanted[i].to(at::kDouble)), 1e-5)
                << micro << " " << model.parameters()[i].spec.name;
    }
}

TEST(CpuPasses, MicroBatchesAddUpToOneBatch) {
    expect_sum_of_micro_batches(kTraining);
    expect_sum_of_micro_batches(kDropping);
}

TEST(CpuPasses, DropoutIsOfItsSeedStepAndRowsAndNotOfEvaluation) {
    config::Model m = model_of(kCases[1]);
    Gpt2 plain(m);
    m.dropout = 0.3;
    Gpt2 model(m);
    spread(plain);
    spread(model);
    const Batch b = batch_of(m, 4, 16);
    ForwardContext context = kDropping;
    context.dropout = -1.0;  // the model's own
    const double loss = pass(model, b, context);
    EXPECT_EQ(loss, pass(model, b, kDropping));
    EXPECT_NE(loss, pass(plain, b, context));
    ForwardContext seed = kDropping, step = kDropping, row = kDropping;
    ++seed.seed, ++step.step, ++row.first_row;
    for (const ForwardContext& other : {seed, step, row}) EXPECT_NE(pass(model, b, other), loss);
    ForwardContext site = kDropping;
    site.dropout_site = 7;
    EXPECT_EQ(pass(model, b, site), loss);  // every pass counts its sites from 0
    ForwardContext evaluation{.dropout = 0.3, .seed = 9};
    EXPECT_TRUE(at::equal(model.token_nll(b.ids, b.targets, evaluation),
                          plain.token_nll(b.ids, b.targets, evaluation)));
}

TEST(CpuPasses, GradientsKeepTheirMemoryAndAFreshStepReplacesThem) {
    const config::Model m = model_of(kCases[2]);
    Gpt2 model(m);
    spread(model);
    const Batch b = batch_of(m, 2, 13);
    pass(model, b);
    const std::vector<at::Tensor> once = gradients_of(model);
    std::vector<const void*> places;
    for (const Parameter& p : model.parameters()) places.push_back(p.value.grad().data_ptr());
    at::NoGradGuard no_grad;
    for (Parameter& p : model.parameters()) p.value.mutable_grad().fill_(NAN);
    model.clear_gradients();
    pass(model, b);
    for (size_t i = 0; i < once.size(); ++i) {
        const Parameter& p = model.parameters()[i];
        EXPECT_EQ(p.value.grad().data_ptr(), places[i]) << p.spec.name;
        EXPECT_TRUE(at::equal(p.value.grad(), once[i])) << p.spec.name;
    }
}

TEST(CpuPasses, AutogradAfterClearingStartsFromNothing) {
    const config::Model m = model_of(kCases[1]);
    Gpt2 model(m);
    spread(model);
    const Batch b = batch_of(m, 2, 16);
    pass(model, b);
    const std::vector<at::Tensor> wanted = gradients_of(model);
    model.clear_gradients();
    ForwardContext context{.training = true};
    model.loss(b.ids, b.targets, context).backward();
    for (size_t i = 0; i < wanted.size(); ++i)
        EXPECT_LT(
            gradient_difference(model.parameters()[i].value.grad(), wanted[i].to(at::kDouble)),
            1e-5);
}

TEST(CpuPasses, SameBitsEveryTimeAndWhateverRanBefore) {
    const RouteGuard guard;
    at::set_num_threads(2);
    const config::Model m = model_of(kCases[1]);
    Gpt2 model(m);
    spread(model);
    const Batch b = batch_of(m, 4, 16), other = batch_of(m, 3, 11);
    for (const auto& [bf16, rate] :
         {std::pair{false, 0.0}, {true, 0.0}, {false, 0.3}, {true, 0.3}}) {
        const ForwardContext context{.training = true, .dropout = rate, .bf16 = bf16};
        model.clear_gradients();
        const double loss = pass(model, b, context);
        const std::vector<at::Tensor> wanted = gradients_of(model);
        for (int repeat = 0; repeat < 20; ++repeat) {
            // Another shape leaves other numbers in the buffers.
            pass(model, other, context);
            ForwardContext evaluation{.bf16 = bf16};
            model.token_nll(other.ids, other.targets, evaluation);
            model.clear_gradients();
            EXPECT_EQ(pass(model, b, context), loss);
            const std::vector<at::Tensor> got = gradients_of(model);
            for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::equal(got[i], wanted[i]));
        }
    }
}

/// Loss of the last of 20 steps of plain gradient descent; `own`: by the passes, else by LibTorch's
/// operations and autograd.
double loss_after_20_steps(ForwardContext context, bool own) {
    const config::Model m = model_of(kCases[1]);
    Gpt2 model(m);
    model.initialize(3);
    double last = 0;
    for (context.step = 0; context.step < 20; ++context.step) {
        const Batch b{some_ids(4, 16, m.vocab_size, context.step),
                      some_ids(4, 16, m.vocab_size, context.step + 9)};
        if (own) {
            last = pass(model, b, context);
        } else {
            const at::Tensor loss = model.loss(b.ids, b.targets, context);
            last = loss.item<double>();
            loss.backward();
        }
        const at::NoGradGuard no_grad;
        for (Parameter& p : model.parameters()) p.value.sub_(p.value.grad(), 0.1);
        model.clear_gradients();
    }
    return last;
}

TEST(CpuPasses, TwentyStepsOfEveryRouteReachTheLossOfThePlainOne) {
    const RouteGuard guard;
    std::vector<std::string> all = {"native", "aten", "native;block.weight=aten;head.forward=aten"};
    if (onednn_available()) all.insert(all.end(), {"onednn", "native;block.input=onednn"});
    for (const ForwardContext& context : {kTraining, kDropping}) {
        set_gemm_route("aten");
        const double plain = loss_after_20_steps(context, false);
        EXPECT_LT(plain, 4.0);  // it has learned: ln 65 = 4.17 at the start
        for (const std::string& route : all) {
            set_gemm_route(route);
            EXPECT_NEAR(loss_after_20_steps(context, true), plain, 1e-5 * plain) << route;
        }
    }
}

TEST(CpuPasses, Bfloat16StaysClose) {
    const RouteGuard guard;
    const config::Model m = model_of(kCases[1]);
    Gpt2 model(m);
    model.initialize(3);
    const Batch b = batch_of(m, 4, 16);
    for (const auto& [route, rate] :
         {std::pair{"native", 0.0}, {"aten", 0.0}, {"native", 0.3}, {"aten", 0.3}}) {
        ForwardContext context = rate > 0 ? kDropping : kTraining;
        const Reference wanted = reference(model, b, context);
        context.bf16 = true;
        set_gemm_route(route);
        model.clear_gradients();
        const double loss = pass(model, b, context);
        // 8 bits of mantissa: 0.4 % an operand, averaged over many.
        EXPECT_NEAR(loss, wanted.loss, 5e-3) << route;
        EXPECT_NE(loss, wanted.loss);
        for (size_t i = 0; i < model.parameters().size(); ++i) {
            const Parameter& p = model.parameters()[i];
            EXPECT_EQ(p.value.grad().scalar_type(), at::kFloat);
            EXPECT_LT(
                gradient_difference(p.value.grad(), wanted.model->parameters()[i].value.grad()),
                0.05)
                << route << " " << p.spec.name;
        }
    }
}

TEST(CpuPasses, IdsOutsideTheVocabularyAreNamed) {
    const config::Model m = model_of(kCases[0]);
    Gpt2 model(m);
    spread(model);
    Batch b = batch_of(m, 1, 5);
    b.ids[0][3] = 11;
    test::expect_error(kData, {"token 11 at place 3", "vocabulary of 11"}, [&] { pass(model, b); });
    b = batch_of(m, 1, 5);
    b.targets[0][1] = -2;
    test::expect_error(kData, {"target -2 at place 1"}, [&] { pass(model, b); });
}

TEST(CpuPasses, NoTargetsAtAllIsZeroAndFinite) {
    const config::Model m = model_of(kCases[0]);
    Gpt2 model(m);
    spread(model);
    Batch b = batch_of(m, 2, 5);
    b.targets.fill_(-1);
    EXPECT_EQ(pass(model, b), 0.0);
    for (const at::Tensor& gradient : gradients_of(model))
        EXPECT_EQ(gradient.abs().max().item<double>(), 0.0);
}

TEST(CpuPassesSlow, HoldUnderLowerInstructionSets) {
    test::expect_to_pass_under_lower_isas("CpuPasses.*");
}

}  // namespace
}  // namespace knlp::model
