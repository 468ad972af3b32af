#include "cpu_model.h"

#include "knlp/core/error.h"
#include "knlp/core/memory.h"

#include <algorithm>

namespace knlp::model {

namespace {

/// Walks through the parameters in the order of gpt2_parameters().
class Reader {
public:
    Reader(std::vector<Parameter>& parameters, bool bias, bool gradients, bool fresh)
        : next_(parameters.begin()), bias_(bias), gradients_(gradients), fresh_(fresh) {}

    Weight weight() {
        Parameter& p = *next_++;
        Weight w{.value = p.value.const_data_ptr<float>()};
        if (!gradients_) return w;
        at::Tensor& gradient = p.value.mutable_grad();
        w.fresh = fresh_ || !gradient.defined();
        if (!gradient.defined()) {
            gradient = at::empty(p.value.sizes(), p.value.options().requires_grad(false));
            prefer_huge_pages(gradient.data_ptr(), static_cast<int64_t>(gradient.nbytes()));
        } else if (!gradient.is_contiguous()) {
            gradient = gradient.contiguous();
        }
        w.gradient = gradient.mutable_data_ptr<float>();
        return w;
    }
    Weight bias() { return bias_ ? weight() : Weight(); }
    NormWeights norm() {
        const Weight scale = weight();
        return {scale, bias()};
    }
    LinearWeights linear(int64_t out, int64_t in) {
        const Weight matrix = weight();
        return {.matrix = matrix, .bias = bias(), .out = out, .in = in};
    }

private:
    std::vector<Parameter>::iterator next_;
    bool bias_, gradients_, fresh_;
};

PassInput input_of(const at::Tensor& ids, const at::Tensor& targets, const ForwardContext& context,
                   double dropout) {
    KNLP_CHECK(ids.dim() == 2 && ids.sizes() == targets.sizes());
    KNLP_CHECK(ids.scalar_type() == at::kLong && targets.scalar_type() == at::kLong);
    return {.ids = ids.const_data_ptr<int64_t>(),
            .targets = targets.const_data_ptr<int64_t>(),
            .batch = ids.size(0),
            .length = ids.size(1),
            .bf16 = context.bf16,
            .dropout = {.seed = context.seed, .step = context.step, .rate = dropout},
            .first_row = context.first_row};
}

}  // namespace

double CpuModel::dropout(const ForwardContext& context) const {
    if (!context.training) return 0.0;
    return context.dropout < 0 ? model_.dropout : context.dropout;
}

bool CpuModel::can_train() const {
    const at::Tensor& first = parameters_.front().value;
    return first.is_cpu() && first.scalar_type() == at::kFloat &&
           attention_type(model_.attention).plain_causal &&
           model_.attention_backend != config::AttentionBackend::kReference;
}

bool CpuModel::can_score(const ForwardContext& context) const {
    return can_train() && dropout(context) == 0;
}

ModelWeights CpuModel::weights(bool gradients, bool fresh) {
    const int64_t c = model_.d_model;
    Reader read(parameters_, model_.bias, gradients, fresh);
    ModelWeights all;
    all.wte = read.weight();
    all.wpe = read.weight();
    for (int64_t l = 0; l < model_.n_layer; ++l) {
        BlockWeights block;
        block.ln_1 = read.norm();
        block.qkv = read.linear(3 * c, c);
        block.join = read.linear(c, c);
        block.ln_2 = read.norm();
        block.fc = read.linear(4 * c, c);
        block.proj = read.linear(c, 4 * c);
        all.blocks.push_back(block);
    }
    all.ln_f = read.norm();
    all.tied = model_.weight_tying;
    all.head = {.matrix = all.tied ? all.wte : read.weight(),
                .bias = {},
                .out = model_.padded_vocab(),
                .in = c};
    return all;
}

PassLoss CpuModel::loss_and_gradients(const at::Tensor& ids, const at::Tensor& targets,
                                      const ForwardContext& context, double divisor, bool fresh) {
    const at::Tensor i = ids.contiguous(), t = targets.contiguous();
    return pass_.loss_and_gradients(weights(true, fresh), input_of(i, t, context, dropout(context)),
                                    divisor);
}

at::Tensor CpuModel::token_nll(const at::Tensor& ids, const at::Tensor& targets,
                               const ForwardContext& context) {
    const at::Tensor i = ids.contiguous(), t = targets.contiguous();
    at::Tensor nll = at::empty(ids.sizes(), at::kFloat);
    pass_.token_nll(weights(false, false), input_of(i, t, context, 0.0),
                    nll.mutable_data_ptr<float>());
    return nll;
}

}  // namespace knlp::model
