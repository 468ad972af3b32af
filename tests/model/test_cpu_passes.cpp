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

}  // namespace
}  // namespace knlp::model
