// Multi-head causal attention of GPT-2: c_attn gives q, k, v; heads are contiguous slices of
// d_head; c_proj joins them.

#include "attend.h"

#include "knlp/core/error.h"
#include "knlp/model/anomaly.h"
#include "knlp/model/parameter.h"

namespace knlp::model {

namespace {

class CausalAttention : public Attention {
public:
    CausalAttention(const config::Model& model, std::span<Parameter*> own)
        : n_head_(model.n_head),
          backend_(model.attention_backend),
          qkv_(own[0], model.bias ? own[1] : nullptr),
          out_(own[model.bias ? 2 : 1], model.bias ? own[3] : nullptr) {}

    at::Tensor forward(const at::Tensor& x, ForwardContext& context, KvCache* cache,
                       int64_t layer) override {
        const int64_t batch = x.size(0), q_len = x.size(1), d_model = x.size(2);
        const at::Tensor qkv = qkv_(x, context.bf16);
        const std::vector<at::Tensor> parts = at::chunk(qkv, 3, -1);
        const at::Tensor y =
            cache == nullptr ? over_itself(parts, context) : over_cache(parts, *cache, layer);
        if (context.anomalies != nullptr) {
            const std::string block = "h." + std::to_string(layer) + ".attn.";
            context.anomalies->see(block + "c_attn", qkv);
            context.anomalies->see(block + "softmax(q k) v", y);
        }
        return out_(y.transpose(1, 2).reshape({batch, q_len, d_model}), context.bf16);
    }

private:
    /// [B, T, C] -> [B, H, T, D], a view.
    at::Tensor heads(const at::Tensor& x) const {
        return x.view({x.size(0), x.size(1), n_head_, x.size(2) / n_head_}).transpose(1, 2);
    }

    at::Tensor over_itself(const std::vector<at::Tensor>& parts, ForwardContext& context) const {
        const at::Tensor q = heads(parts[0]), k = heads(parts[1]), v = heads(parts[2]);
        const DropoutSite site = next_site(context);
        if (backend_ == config::AttentionBackend::kReference)
            return attend_reference(q, k, v, {}, site, context.first_row);
        // LibTorch's fused attention on the CPU has no dropout, and elsewhere not our stream.
        if (site.rate > 0) return attend_dropout(q, k, v, site, context.first_row);
        return attend_fused(q, k, v, {});
    }

    at::Tensor over_cache(const std::vector<at::Tensor>& parts, KvCache& cache,
                          int64_t layer) const {
        LayerCache& store = cache.layer(layer);
        const int64_t before = store.length, q_len = parts[0].size(1), after = before + q_len;
        KNLP_CHECK(after <= cache.capacity());
        for (size_t lane = 0; lane < 2; ++lane)
            store.lanes[lane].narrow(1, before, q_len).copy_(parts[lane + 1]);
        store.length = after;
        const at::Tensor k = heads(store.lanes[0].narrow(1, 0, after));
        const at::Tensor v = heads(store.lanes[1].narrow(1, 0, after));
        const at::Tensor q = heads(parts[0]).to(k.scalar_type());
        const at::Tensor mask = visible(cache, before, q_len, q.device());
        const at::Tensor y = backend_ == config::AttentionBackend::kReference
                                 ? attend_reference(q, k, v, mask, {}, 0)
                                 : attend_fused(q, k, v, mask);
        return y.to(parts[0].scalar_type());
    }

    /// Query i of a chunk at slot p sees slots row_start..p + i; undefined where plain causal
    /// attention over the chunk, or none at all for one query, says the same. [B or 1, 1, T, S]
    static at::Tensor visible(const KvCache& cache, int64_t before, int64_t q_len,
                              at::Device device) {
        const bool padded = std::any_of(cache.row_start.begin(), cache.row_start.end(),
                                        [](int64_t start) { return start > 0; });
        if (!padded && (q_len == 1 || before == 0)) return {};
        const auto options = at::TensorOptions().dtype(at::kLong).device(device);
        const at::Tensor query = at::arange(before, before + q_len, options).view({1, 1, -1, 1});
        const at::Tensor slot = at::arange(before + q_len, options).view({1, 1, 1, -1});
        at::Tensor mask = slot.le(query);
        if (!padded) return mask;
        const at::Tensor start =
            at::tensor(cache.row_start, at::kLong).to(device).view({-1, 1, 1, 1});
        // A padding query sees itself: a row of -inf alone would turn into NaN.
        return mask.logical_and(slot.ge(start)).logical_or(slot.eq(query));
    }

    int64_t n_head_;
    config::AttentionBackend backend_;
    Linear qkv_, out_;
};

std::vector<ParameterSpec> parameters(const config::Model& model, int64_t layer) {
    const std::string prefix = "h." + std::to_string(layer) + ".attn.";
    const int64_t c = model.d_model;
    std::vector<ParameterSpec> specs;
    specs.push_back({.name = prefix + "c_attn.weight",
                     .shape = {3 * c, c},
                     .decay = true,
                     .conv1d = true,
                     .role_name = "attention.qkv"});
    if (model.bias)
        specs.push_back({.name = prefix + "c_attn.bias",
                         .shape = {3 * c},
                         .role = InitRole::kZero,
                         .role_name = "attention.qkv.bias"});
    specs.push_back({.name = prefix + "c_proj.weight",
                     .shape = {c, c},
                     .role = InitRole::kResidualOutput,
                     .decay = true,
                     .conv1d = true,
                     .role_name = "attention.output"});
    if (model.bias)
        specs.push_back({.name = prefix + "c_proj.bias",
                         .shape = {c},
                         .role = InitRole::kZero,
                         .role_name = "attention.output.bias"});
    return specs;
}

CacheSpec cache(const config::Model& model, int64_t) {
    return {{.name = "k", .values_per_token = model.d_model},
            {.name = "v", .values_per_token = model.d_model}};
}

/// What the backward pass keeps of q, k, v, y and x; the reference path also its T x T matrices,
/// twice (scores are overwritten, probabilities before and after dropout are not).
int64_t activation_bytes(const config::Model& model, int64_t batch, int64_t length, bool training) {
    const int64_t rows = 4 * batch * length * model.d_model;
    const int64_t square = 4 * batch * model.n_head * length * length;
    const bool reference = model.attention_backend == config::AttentionBackend::kReference;
    if (!training) return 4 * rows + (reference ? 2 * square : 0);
    return 6 * rows + (reference ? (model.dropout > 0 ? 4 : 2) * square : 0);
}

std::unique_ptr<Attention> make(const config::Model& model, int64_t, std::span<Parameter*> own) {
    return std::make_unique<CausalAttention>(model, own);
}

}  // namespace

extern const AttentionType attn_causal;
const AttentionType attn_causal = {.name = "causal",
                                   .symbol = "MODEL_GPT2",
                                   .summary = "softmax attention of GPT-2 over all earlier tokens",
                                   .plain_causal = true,
                                   .parameters = parameters,
                                   .cache = cache,
                                   .activation_bytes = activation_bytes,
                                   .make = make};

}  // namespace knlp::model
