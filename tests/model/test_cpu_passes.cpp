// The CPU's own passes against the tensor operations of gpt2.cpp, which golden values and float64
// differences have checked.

#include "tests/model/support.h"

#include "knlp/core/error.h"
#include "knlp/model/runtime.h"
#include "tests/support/expect_error.h"

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

/// Loss and gradients of the generic route in float64.
struct Reference {
    std::unique_ptr<Gpt2> model;
    double loss = 0;
    at::Tensor nll;
};
Reference reference(const Gpt2& model, const Batch& b) {
    Reference r{model.clone()};
    r.model->to(at::kDouble);
    ForwardContext context{.training = true};
    const at::Tensor loss = r.model->loss(b.ids, b.targets, context);
    loss.backward();
    r.loss = loss.item<double>();
    r.nll = r.model->token_nll(b.ids, b.targets, context);
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

TEST(CpuPasses, LossAndEveryGradientAreThoseOfFloat64) {
    const RouteGuard guard;
    for (const Case& c : kCases) {
        const config::Model m = model_of(c);
        Gpt2 model(m, at::kCPU);
        spread(model);
        const Batch b = batch_of(m, c.batch, c.length);
        const Reference wanted = reference(model, b);
        for (const char* route : {"native", "aten", "native;block.weight=aten;head.forward=aten"})
            for (const int threads : {1, 2}) {
                SCOPED_TRACE(std::string(c.name) + ", " + route + ", threads " +
                             std::to_string(threads));
                set_gemm_route(route);
                at::set_num_threads(threads);
                ForwardContext context{.training = true};
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
                EXPECT_LT(
                    test::max_difference(model.token_nll(b.ids, b.targets, context), wanted.nll),
                    2e-5);
            }
    }
}

double pass(Gpt2& model, const Batch& b, ForwardContext context = {.training = true},
            double divisor = 0.0) {
    return model.loss_and_gradients(b.ids, b.targets, context, divisor).item<double>();
}

std::vector<at::Tensor> gradients_of(Gpt2& model) {
    std::vector<at::Tensor> all;
    for (const Parameter& p : model.parameters()) all.push_back(p.value.grad().clone());
    return all;
}

TEST(CpuPasses, MicroBatchesAddUpToOneBatch) {
    const config::Model m = model_of(kCases[1]);
    Gpt2 model(m, at::kCPU);
    spread(model);
    const Batch b = batch_of(m, 6, 16);
    const double count = b.targets.ne(-1).sum().item<double>();
    model.clear_gradients();
    const double whole = pass(model, b);
    const std::vector<at::Tensor> wanted = gradients_of(model);
    for (const int64_t micro : {1, 2, 3}) {
        model.clear_gradients();
        double loss = 0;
        for (int64_t first = 0; first < 6; first += micro)
            loss += pass(model, {b.ids.narrow(0, first, micro), b.targets.narrow(0, first, micro)},
                         {.training = true}, count);
        EXPECT_NEAR(loss, whole, 1e-6 * whole);
        const std::vector<at::Tensor> got = gradients_of(model);
        for (size_t i = 0; i < got.size(); ++i)
            EXPECT_LT(gradient_difference(got[i], wanted[i].to(at::kDouble)), 1e-5)
                << micro << " " << model.parameters()[i].spec.name;
    }
}

TEST(CpuPasses, GradientsKeepTheirMemoryAndAFreshStepReplacesThem) {
    const config::Model m = model_of(kCases[2]);
    Gpt2 model(m, at::kCPU);
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
    Gpt2 model(m, at::kCPU);
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
    Gpt2 model(m, at::kCPU);
    spread(model);
    const Batch b = batch_of(m, 4, 16), other = batch_of(m, 3, 11);
    for (const bool bf16 : {false, true}) {
        const ForwardContext context{.training = true, .bf16 = bf16};
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

TEST(CpuPasses, TwentyStepsReachTheLossOfThePlainRoute) {
    const config::Model m = model_of(kCases[1]);
    Gpt2 model(m, at::kCPU);
    model.initialize(3);
    const std::unique_ptr<Gpt2> plain = model.clone();
    double loss = 0, plain_loss = 0;
    for (int64_t step = 0; step < 20; ++step) {
        const Batch b{some_ids(4, 16, m.vocab_size, step), some_ids(4, 16, m.vocab_size, step + 9)};
        ForwardContext context{.training = true};
        const at::Tensor tensor_loss = plain->loss(b.ids, b.targets, context);
        plain_loss = tensor_loss.item<double>();
        tensor_loss.backward();
        loss = pass(model, b);
        at::NoGradGuard no_grad;
        for (Gpt2* one : {&model, plain.get()}) {
            for (Parameter& p : one->parameters()) p.value.sub_(p.value.grad(), 0.1);
            one->clear_gradients();
        }
    }
    EXPECT_LT(loss, 3.9);  // it has learned: ln 65 = 4.17 at the start
    EXPECT_NEAR(loss, plain_loss, 1e-5 * plain_loss);
}

TEST(CpuPasses, Bfloat16StaysClose) {
    const RouteGuard guard;
    const config::Model m = model_of(kCases[1]);
    Gpt2 model(m, at::kCPU);
    model.initialize(3);
    const Batch b = batch_of(m, 4, 16);
    const Reference wanted = reference(model, b);
    for (const char* route : {"native", "aten"}) {
        set_gemm_route(route);
        model.clear_gradients();
        const double loss = pass(model, b, {.training = true, .bf16 = true});
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
    Gpt2 model(m, at::kCPU);
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
    Gpt2 model(m, at::kCPU);
    spread(model);
    Batch b = batch_of(m, 2, 5);
    b.targets.fill_(-1);
    EXPECT_EQ(pass(model, b), 0.0);
    for (const at::Tensor& gradient : gradients_of(model))
        EXPECT_EQ(gradient.abs().max().item<double>(), 0.0);
}

}  // namespace
}  // namespace knlp::model
