// GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019), from token
// ids to loss: x = Drop(wte[id] + wpe[position]); x += Attn(LN1(x)); x += MLP(LN2(x)) per block;
// logits = LN_f(x) W^T, W being wte when tied.

#include "knlp/data/batches.h"
#include "knlp/model/gpt2.h"

#include "cpu_model.h"
#include "layers.h"

#include "knlp/core/error.h"
#include "knlp/core/memory.h"
#include "knlp/core/host.h"
#include "knlp/core/rng.h"
#include "knlp/model/anomaly.h"
#include "knlp/model/parameter.h"
#include "knlp/model/tensor_device.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace knlp::model {

namespace {

using Specs = std::vector<ParameterSpec>;

void add_linear(Specs& specs, const config::Model& m, const std::string& name, int64_t out,
                int64_t in, InitRole role, const std::string& role_name) {
    specs.push_back({name + ".weight", {out, in}, role, true, true, role_name});
    if (m.bias)
        specs.push_back(
            {name + ".bias", {out}, InitRole::kZero, false, false, role_name + ".bias"});
}

void add_norm(Specs& specs, const config::Model& m, const std::string& name) {
    specs.push_back({name + ".weight", {m.d_model}, InitRole::kOne, false, false, "norm.weight"});
    if (m.bias)
        specs.push_back({name + ".bias", {m.d_model}, InitRole::kZero, false, false, "norm.bias"});
}

}  // namespace

Specs gpt2_parameters(const config::Model& m) {
    const AttentionType& attention = attention_type(m.attention);
    const int64_t c = m.d_model;
    Specs specs;
    specs.push_back(
        {"wte.weight", {m.padded_vocab(), c}, InitRole::kNormal, false, false, "embedding.token"});
    specs.push_back(
        {"wpe.weight", {m.n_ctx, c}, InitRole::kNormal, false, false, "embedding.position"});
    for (int64_t l = 0; l < m.n_layer; ++l) {
        const std::string block = "h." + std::to_string(l) + ".";
        add_norm(specs, m, block + "ln_1");
        const Specs own = attention.parameters(m, l);
        specs.insert(specs.end(), own.begin(), own.end());
        add_norm(specs, m, block + "ln_2");
        add_linear(specs, m, block + "mlp.c_fc", 4 * c, c, InitRole::kNormal, "mlp.input");
        add_linear(specs, m, block + "mlp.c_proj", c, 4 * c, InitRole::kResidualOutput,
                   "mlp.output");
    }
    add_norm(specs, m, "ln_f");
    if (!m.weight_tying)
        specs.push_back(
            {"lm_head.weight", {m.padded_vocab(), c}, InitRole::kNormal, true, false, "head"});
    return specs;
}

namespace {

struct Block {
    LayerNorm ln_1;
    std::unique_ptr<Attention> attention;
    LayerNorm ln_2;
    Linear fc, proj;
};

}  // namespace

struct Gpt2::State {
    config::Model model;
    Device device;
    std::vector<Parameter> parameters;  // never resized: the layers point into it
    const Parameter *wte = nullptr, *wpe = nullptr;
    std::vector<Block> blocks;
    LayerNorm ln_f;
    std::unique_ptr<Linear> head;
    std::unique_ptr<CpuModel> cpu;
    bool cleared = false;  // what the gradients hold is to be replaced

    State(const config::Model& m, Device d) : model(m), device(d) {}

    /// Null when absent.
    Parameter* find(std::string_view name) {
        for (Parameter& p : parameters)
            if (p.spec.name == name) return &p;
        return nullptr;
    }
    Parameter* need(const std::string& name) {
        Parameter* p = find(name);
        KNLP_CHECK(p != nullptr);
        return p;
    }
    LayerNorm norm(const std::string& name) {
        return {need(name + ".weight"), find(name + ".bias"), model.layer_norm_epsilon};
    }
    Linear linear(const std::string& name) {
        return {need(name + ".weight"), find(name + ".bias")};
    }

    Block block(int64_t l) {
        const std::string prefix = "h." + std::to_string(l) + ".";
        const AttentionType& type = attention_type(model.attention);
        std::vector<Parameter*> own;
        for (const ParameterSpec& spec : type.parameters(model, l)) own.push_back(need(spec.name));
        return {norm(prefix + "ln_1"), type.make(model, l, own), norm(prefix + "ln_2"),
                linear(prefix + "mlp.c_fc"), linear(prefix + "mlp.c_proj")};
    }

    /// wpe of tokens at slots before .. before + T; a row that starts at slot s has position 0
    /// there.
    at::Tensor positions(int64_t before, int64_t q_len, const KvCache* cache) const {
        if (cache == nullptr || cache->row_start.empty())
            return wpe->value.narrow(0, before, q_len);
        const auto options = at::TensorOptions().dtype(at::kLong).device(tensor_device(device));
        const at::Tensor slot = at::arange(before, before + q_len, options).view({1, -1});
        const at::Tensor start =
            at::tensor(cache->row_start, at::kLong).to(tensor_device(device)).view({-1, 1});
        return at::embedding(wpe->value, (slot - start).clamp_min(0));
    }

    HeadOptions head_options(const ForwardContext& context, int64_t rows, double divisor) const {
        return {.vocab_size = model.vocab_size,
                .chunk = logit_rows(model, rows, device),
                .divisor = divisor,
                .bf16 = context.bf16};
    }
};

Gpt2::Gpt2(const config::Model& m, Device device) {
    if (m.d_model <= 0 || m.n_head <= 0 || m.d_model % m.n_head != 0)
        fail(kConfig, "model width {} does not divide into {} heads", m.d_model, m.n_head);
    if (m.vocab_size <= 0 || m.n_ctx <= 0 || m.n_layer <= 0 || m.pad_vocab <= 0)
        fail(kConfig,
             "model with {} layers, context {}, vocabulary {} padded to {}: each must be positive",
             m.n_layer, m.n_ctx, m.vocab_size, m.pad_vocab);
    state_ = std::make_unique<State>(m, device);
    State& s = *state_;
    for (ParameterSpec& spec : gpt2_parameters(m)) {
        const auto options = at::TensorOptions().dtype(at::kFloat).device(tensor_device(device));
        at::Tensor value = at::empty(spec.shape, options).set_requires_grad(true);
        if (value.is_cpu())
            prefer_huge_pages(value.data_ptr(), static_cast<int64_t>(value.nbytes()));
        s.parameters.push_back({std::move(spec), std::move(value)});
    }
    s.wte = s.need("wte.weight");
    s.wpe = s.need("wpe.weight");
    for (int64_t l = 0; l < m.n_layer; ++l) s.blocks.push_back(s.block(l));
    s.ln_f = s.norm("ln_f");
    s.head = std::make_unique<Linear>(m.weight_tying ? s.wte : s.need("lm_head.weight"), nullptr);
    s.cpu = std::make_unique<CpuModel>(s.model, s.parameters);
}

Gpt2::~Gpt2() = default;
Gpt2::Gpt2(Gpt2&&) noexcept = default;

const config::Model& Gpt2::config() const {
    return state_->model;
}
Device Gpt2::device() const {
    return state_->device;
}
std::vector<Parameter>& Gpt2::parameters() {
    return state_->parameters;
}
Parameter* Gpt2::find(std::string_view name) {
    return state_->find(name);
}

namespace {

/// Standard normals of the tensor's own stream; value i depends on i alone, so threads share the
/// work.
at::Tensor normal_values(const ParameterSpec& spec, uint64_t seed) {
    constexpr int64_t kPiece = 4096;  // a multiple of the stream's block of 4
    at::Tensor values = at::empty(spec.shape, at::kFloat);
    const Stream stream(seed, "init/" + spec.name);
    const int64_t n = values.numel();
    float* data = values.mutable_data_ptr<float>();
    at::parallel_for(0, (n + kPiece - 1) / kPiece, 1, [&](int64_t begin, int64_t end) {
        const int64_t first = begin * kPiece, last = std::min(end * kPiece, n);
        stream.normal({data + first, static_cast<size_t>(last - first)}, 0,
                      static_cast<uint64_t>(first));
    });
    return values;
}

}  // namespace

void Gpt2::initialize(uint64_t seed) {
    at::NoGradGuard no_grad;
    const State& s = *state_;
    const double residual = 0.02 / std::sqrt(2.0 * static_cast<double>(s.model.n_layer));
    for (const Parameter& p : s.parameters) {
        if (p.spec.role == InitRole::kZero || p.spec.role == InitRole::kOne) {
            p.value.fill_(p.spec.role == InitRole::kOne ? 1.0 : 0.0);
            continue;
        }
        at::Tensor normal = normal_values(p.spec, seed)
                                .mul_(p.spec.role == InitRole::kResidualOutput ? residual : 0.02);
        // Padding rows never receive a gradient; zero keeps them equal whatever a file holds.
        if (has_vocabulary_rows(p.spec))
            normal.narrow(0, s.model.vocab_size, s.model.padded_vocab() - s.model.vocab_size)
                .zero_();
        p.value.copy_(normal);
    }
}

namespace {

/// Hands a tensor on, past whoever looks for values that are not finite.
at::Tensor seen(at::Tensor value, const ForwardContext& context, const char* what,
                int64_t layer = -1) {
    if (context.anomalies != nullptr)
        context.anomalies->see(layer < 0 ? what : "h." + std::to_string(layer) + "." + what, value);
    return value;
}

}  // namespace

at::Tensor Gpt2::hidden(const at::Tensor& ids, ForwardContext& context, KvCache* cache) {
    State& s = *state_;
    const int64_t q_len = ids.size(1), before = cache != nullptr ? cache->length() : 0;
    KNLP_CHECK(q_len > 0 && before + q_len <= s.model.n_ctx);
    if (context.dropout < 0) context.dropout = s.model.dropout;
    context.dropout_site = 0;

    at::Tensor x = at::embedding(s.wte->value, ids) + s.positions(before, q_len, cache);
    x = seen(dropout(x, context), context, "wte + wpe");
    for (size_t l = 0; l < s.blocks.size(); ++l) {
        Block& block = s.blocks[l];
        const auto layer = static_cast<int64_t>(l);
        const at::Tensor y = block.attention->forward(seen(block.ln_1(x), context, "ln_1", layer),
                                                      context, cache, layer);
        x = x + dropout(seen(y, context, "attn", layer), context);
        at::Tensor h = seen(block.ln_2(x), context, "ln_2", layer);
        h = seen(block.fc(h, context.bf16), context, "mlp.c_fc", layer);
        h = seen(gelu(h, s.model.gelu), context, "mlp.gelu", layer);
        h = seen(block.proj(h, context.bf16), context, "mlp.c_proj", layer);
        x = seen(x + dropout(h, context), context, "residual", layer);
    }
    return seen(s.ln_f(x), context, "ln_f");
}

at::Tensor Gpt2::logits(const at::Tensor& hidden, ForwardContext& context) {
    const State& s = *state_;
    std::vector<int64_t> shape = hidden.sizes().vec();
    shape.back() = s.model.padded_vocab();
    return head_logits(hidden.reshape({-1, s.model.d_model}), *s.head, s.model.vocab_size,
                       context.bf16)
        .view(shape);
}

at::Tensor Gpt2::loss(const at::Tensor& ids, const at::Tensor& targets, ForwardContext& context,
                      double divisor) {
    // Autograd adds to what is there, whatever it holds.
    if (at::GradMode::is_enabled() && std::exchange(state_->cleared, false))
        for (Parameter& p : state_->parameters) p.value.mutable_grad() = at::Tensor();
    const at::Tensor h = hidden(ids, context).reshape({-1, state_->model.d_model});
    return head_loss(h, *state_->head, targets, state_->head_options(context, h.size(0), divisor));
}

at::Tensor Gpt2::loss_and_gradients(const at::Tensor& ids, const at::Tensor& targets,
                                    ForwardContext& context, double divisor) {
    State& s = *state_;
    const bool fresh = std::exchange(s.cleared, false);
    AnomalyWatch* const watch = context.anomalies;
    if (watch == nullptr && s.cpu->can_train()) {
        const PassLoss pass = s.cpu->loss_and_gradients(ids, targets, context, divisor, fresh);
        context.forward_s = pass.forward_s;
        return at::full({}, pass.loss, at::kDouble);
    }
    s.cleared = fresh;
    if (watch != nullptr)
        for (const Parameter& p : s.parameters) watch->look("weight " + p.spec.name, p.value);
    const double start = steady_seconds();
    const at::Tensor mean = seen(loss(ids, targets, context, divisor), context, "loss");
    context.forward_s = steady_seconds() - start;
    mean.backward();
    if (watch != nullptr)
        for (const Parameter& p : s.parameters)
            watch->look("gradient of " + p.spec.name, p.value.grad());
    return mean.detach().to(at::kDouble);
}

namespace {

/// Ids [rows, n_ctx] on a device. On the processor it borrows them.
at::Tensor tensor_of(const std::vector<int64_t>& ids, const data::Batch& batch, Device device) {
    return at::from_blob(const_cast<int64_t*>(ids.data()), {batch.rows, batch.n_ctx}, at::kLong)
        .to(tensor_device(device));
}

}  // namespace

double Gpt2::loss_and_gradients(const data::Batch& batch, ForwardContext& context, double divisor) {
    const double loss =
        loss_and_gradients(tensor_of(batch.inputs, batch, device()),
                           tensor_of(batch.targets, batch, device()), context, divisor)
            .item<double>();
    // The backward pass comes after the loss.
    const at::Tensor& last = state_->parameters.front().value.grad();
    if (!last.is_cpu()) last.reshape({-1}).slice(0, 0, 1).item();
    return loss;
}

void Gpt2::clear_gradients() {
    state_->cleared = true;
}

at::Tensor Gpt2::token_nll(const at::Tensor& ids, const at::Tensor& targets,
                           ForwardContext& context) {
    at::NoGradGuard no_grad;
    if (state_->cpu->can_score(context)) return state_->cpu->token_nll(ids, targets, context);
    const at::Tensor h = hidden(ids, context).reshape({-1, state_->model.d_model});
    return head_nll(h, *state_->head, targets, state_->head_options(context, h.size(0), 0))
        .view(targets.sizes());
}

std::vector<double> Gpt2::row_losses(const data::Batch& batch, ForwardContext& context) {
    const at::Tensor nll = token_nll(tensor_of(batch.inputs, batch, device()),
                                     tensor_of(batch.targets, batch, device()), context);
    const at::Tensor means = nll.to(at::kDouble).mean(1).to(at::kCPU).contiguous();
    const double* mean = means.const_data_ptr<double>();
    return {mean, mean + batch.rows};
}

std::string Gpt2::first_bad_parameter() const {
    for (const Parameter& p : state_->parameters)
        if (!p.value.detach().isfinite().all().item<bool>()) return p.spec.name;
    return "";
}

std::unique_ptr<Gpt2> Gpt2::clone() const {
    at::NoGradGuard no_grad;
    auto copy = std::make_unique<Gpt2>(state_->model, state_->device);
    for (size_t i = 0; i < state_->parameters.size(); ++i)
        copy->state_->parameters[i].value.copy_(state_->parameters[i].value);
    return copy;
}

void Gpt2::to(at::ScalarType type) {
    for (Parameter& p : state_->parameters)
        p.value = p.value.detach().to(type).set_requires_grad(true);
}

}  // namespace knlp::model
