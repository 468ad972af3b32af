// Laws that every row of the attention table must obey.

#include "tests/model/support.h"

#include "knlp/model/parameter.h"
#include "knlp/model/weights.h"
#include "tests/support/temp_dir.h"

#include <ATen/core/IListRef.h>

#include <gtest/gtest.h>

#include <cmath>

namespace knlp::model {
namespace {

using config::AttentionBackend;
using test::max_difference;
using test::small_model;
using test::some_ids;

class Variants : public testing::TestWithParam<std::string_view> {
protected:
    config::Model model() const {
        config::Model m = small_model();
        m.attention = GetParam();
        return m;
    }
};

std::vector<std::string_view> names() {
    std::vector<std::string_view> all;
    for (const AttentionType* type : attention_types()) all.push_back(type->name);
    return all;
}

/// Weights larger than fresh ones, so that attention is far from uniform.
void spread(Gpt2& model, double factor) {
    model.initialize(17);
    at::NoGradGuard no_grad;
    for (Parameter& p : model.parameters())
        if (p.spec.role != InitRole::kOne) p.value.mul_(factor);
}

/// |central difference - gradient| over a few elements of every parameter, relative to the largest
/// gradient of the tensor; h = 1e-5 in float64 leaves about 1e-10 of truncation and 1e-11 of
/// rounding.
void check_against_differences(Gpt2& model, const ForwardContext& context) {
    const config::Model& m = model.config();
    const at::Tensor ids = some_ids(2, m.n_ctx, m.vocab_size);
    at::Tensor targets = some_ids(2, m.n_ctx, m.vocab_size, 5);
    targets[1][4] = -1;
    const auto loss = [&] {
        ForwardContext fresh = context;
        return model.loss(ids, targets, fresh);
    };
    loss().backward();
    constexpr double kStep = 1e-5;
    for (Parameter& p : model.parameters()) {
        const at::Tensor gradient = p.value.grad().flatten();
        const double scale = gradient.abs().max().item<double>();
        ASSERT_GT(scale, 0.0) << p.spec.name;
        at::NoGradGuard no_grad;
        at::Tensor flat = p.value.view({-1});
        for (int64_t i = 0; i < flat.numel(); i += std::max<int64_t>(1, flat.numel() / 5)) {
            const double kept = flat[i].item<double>();
            flat[i] = kept + kStep;
            const double above = loss().item<double>();
            flat[i] = kept - kStep;
            const double below = loss().item<double>();
            flat[i] = kept;
            EXPECT_NEAR((above - below) / (2 * kStep), gradient[i].item<double>(), 1e-6 * scale)
                << p.spec.name << "[" << i << "]";
        }
    }
}

TEST_P(Variants, GradientsMatchCentralDifferences) {
    struct Case {
        AttentionBackend backend;
        double dropout;
        bool bias, tying;
        config::Gelu gelu;
        int64_t loss_chunk;
    };
    for (const Case& c :
         {Case{AttentionBackend::kAuto, 0.0, true, true, config::Gelu::kTanh, 0},
          Case{AttentionBackend::kReference, 0.0, false, true, config::Gelu::kErf, 5},
          Case{AttentionBackend::kAuto, 0.3, true, false, config::Gelu::kTanh, 7},
          Case{AttentionBackend::kReference, 0.3, true, true, config::Gelu::kTanh, 100}}) {
        config::Model m = model();
        m.attention_backend = c.backend;
        m.bias = c.bias;
        m.weight_tying = c.tying;
        m.gelu = c.gelu;
        m.loss_chunk = c.loss_chunk;
        Gpt2 gpt2(m);
        spread(gpt2, 8.0);
        gpt2.to(at::kDouble);
        check_against_differences(gpt2,
                                  {.training = true, .dropout = c.dropout, .seed = 4, .step = 9});
    }
}

TEST_P(Variants, AllBackendsAgree) {
    config::Model m = model();
    m.n_ctx = 150;  // more than one block of queries, the last one short
    const at::Tensor ids = some_ids(2, m.n_ctx, m.vocab_size),
                     targets = some_ids(2, m.n_ctx, m.vocab_size, 5);
    for (const double dropout : {0.0, 0.2}) {
        std::vector<double> losses;
        std::vector<at::Tensor> gradients;
        for (const AttentionBackend backend :
             {AttentionBackend::kAuto, AttentionBackend::kReference}) {
            m.attention_backend = backend;
            Gpt2 gpt2(m);
            spread(gpt2, 8.0);
            ForwardContext context{.training = true, .dropout = dropout, .seed = 4, .first_row = 3};
            const at::Tensor loss = gpt2.loss(ids, targets, context);
            loss.backward();
            losses.push_back(loss.item<double>());
            gradients.push_back(gpt2.find("h.0.ln_1.weight")->value.grad());
        }
        EXPECT_NEAR(losses[0], losses[1], 1e-5);
        EXPECT_LT(test::relative_difference(gradients[0], gradients[1]), 1e-4);
    }
}

TEST_P(Variants, EarlierLogitsDoNotSeeLaterTokens) {
    const config::Model m = model();
    Gpt2 gpt2(m);
    spread(gpt2, 8.0);
    at::NoGradGuard no_grad;
    const at::Tensor ids = some_ids(2, m.n_ctx, m.vocab_size);
    for (const bool cached : {false, true}) {
        const auto logits = [&](const at::Tensor& x) {
            ForwardContext context;
            KvCache cache(cache_specs(m), 2, m.n_ctx);
            return gpt2.logits(gpt2.hidden(x, context, cached ? &cache : nullptr), context);
        };
        const at::Tensor before = logits(ids);
        for (int64_t t = 1; t < m.n_ctx; t += 3) {
            at::Tensor changed = ids.clone();
            changed.select(1, t).add_(1).remainder_(m.vocab_size);
            const at::Tensor after = logits(changed);
            EXPECT_TRUE(at::equal(after.narrow(1, 0, t), before.narrow(1, 0, t))) << t;
            EXPECT_FALSE(at::equal(after[0][t], before[0][t])) << t;
        }
    }
}

/// Logits of rows of different lengths, left-padded to the longest, read in chunks through the
/// cache.
at::Tensor cached_logits(Gpt2& gpt2, const std::vector<at::Tensor>& rows, int64_t chunk) {
    const auto batch = static_cast<int64_t>(rows.size());
    int64_t longest = 0;
    for (const at::Tensor& row : rows) longest = std::max(longest, row.size(0));
    at::Tensor ids = at::zeros({batch, longest}, at::kLong);
    KvCache cache(cache_specs(gpt2.config()), batch, longest);
    for (int64_t b = 0; b < batch; ++b) {
        const at::Tensor& row = rows[static_cast<size_t>(b)];
        cache.row_start.push_back(longest - row.size(0));
        ids[b].narrow(0, longest - row.size(0), row.size(0)).copy_(row);
    }
    std::vector<at::Tensor> parts;
    for (int64_t first = 0; first < longest; first += chunk) {
        ForwardContext context;
        const at::Tensor part = ids.narrow(1, first, std::min(chunk, longest - first));
        parts.push_back(gpt2.logits(gpt2.hidden(part, context, &cache), context));
    }
    return at::cat(parts, 1);
}

TEST_P(Variants, CachedChunksEqualTheWholeContext) {
    config::Model m = model();
    m.n_ctx = 96;
    m.n_head = 4;
    m.d_model = 32;
    for (const AttentionBackend backend : {AttentionBackend::kAuto, AttentionBackend::kReference}) {
        m.attention_backend = backend;
        Gpt2 gpt2(m);
        spread(gpt2, 8.0);
        at::NoGradGuard no_grad;
        for (const std::vector<int64_t>& lengths :
             {std::vector<int64_t>{96}, std::vector<int64_t>{96, 5, 71}}) {
            std::vector<at::Tensor> rows;
            for (const int64_t length : lengths)
                rows.push_back(some_ids(1, length, m.vocab_size, length)[0]);
            for (const int64_t chunk : {1, 7, 64}) {
                const at::Tensor cached = cached_logits(gpt2, rows, chunk);
                for (size_t b = 0; b < rows.size(); ++b) {
                    ForwardContext context;
                    const at::Tensor whole =
                        gpt2.logits(gpt2.hidden(rows[b].view({1, -1}), context), context)[0];
                    const int64_t n = rows[b].size(0);
                    const at::Tensor own = cached[static_cast<int64_t>(b)].narrow(0, 96 - n, n);
                    EXPECT_LE(max_difference(own, whole), 1e-4)
                        << "chunk " << chunk << " row " << b;
                    EXPECT_TRUE(at::equal(own.argmax(-1), whole.argmax(-1)))
                        << "chunk " << chunk << " row " << b;
                }
            }
        }
    }
}

TEST_P(Variants, TruncatedCacheGoesOnAsIfNothingHadBeenRead) {
    const config::Model m = model();
    Gpt2 gpt2(m);
    spread(gpt2, 8.0);
    at::NoGradGuard no_grad;
    const at::Tensor ids = some_ids(1, m.n_ctx, m.vocab_size);
    KvCache straight(cache_specs(m), 1, m.n_ctx), rewound(cache_specs(m), 1, m.n_ctx);
    ForwardContext context;
    gpt2.hidden(ids.narrow(1, 0, 4), context, &straight);
    gpt2.hidden(ids.narrow(1, 0, 4), context, &rewound);
    gpt2.hidden(ids.narrow(1, 6, 5), context, &rewound);
    rewound.truncate(4);
    EXPECT_TRUE(at::equal(gpt2.hidden(ids.narrow(1, 4, 3), context, &straight),
                          gpt2.hidden(ids.narrow(1, 4, 3), context, &rewound)));
}

TEST_P(Variants, CacheBytesEqualTheFormula) {
    config::Model m = model();
    m.n_ctx = 40;
    const std::vector<CacheSpec> specs = cache_specs(m);
    ASSERT_EQ(static_cast<int64_t>(specs.size()), m.n_layer);
    int64_t per_token = 0;
    for (const CacheSpec& spec : specs) per_token += cache_bytes_per_token(spec);
    EXPECT_EQ(KvCache(specs, 3, 40).bytes(), 3 * 40 * per_token);
}

TEST_P(Variants, ParametersAreNamedBelowTheirLayerAndCounted) {
    const config::Model m = model();
    Gpt2 gpt2(m);
    int64_t count = 0;
    for (const Parameter& p : gpt2.parameters()) {
        EXPECT_EQ(p.value.sizes().vec(), p.spec.shape) << p.spec.name;
        EXPECT_FALSE(p.spec.role_name.empty()) << p.spec.name;
        count += p.value.numel();
    }
    EXPECT_EQ(count, parameter_count(m));
    for (const ParameterSpec& spec : attention_type(m.attention).parameters(m, 1))
        EXPECT_TRUE(spec.name.starts_with("h.1.attn.")) << spec.name;
}

TEST_P(Variants, WeightsSurviveAFile) {
    const config::Model m = model();
    Gpt2 gpt2(m), other(m);
    gpt2.initialize(1);
    other.initialize(2);
    const test::TempDir directory;
    save_weights(directory.file("model.safetensors"), gpt2, "", {});
    load_weights(directory.path(), other);
    for (size_t i = 0; i < gpt2.parameters().size(); ++i)
        EXPECT_TRUE(at::equal(gpt2.parameters()[i].value, other.parameters()[i].value));
}

INSTANTIATE_TEST_SUITE_P(Table, Variants, testing::ValuesIn(names()),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(CausalCache, HoldsKeysAndValuesOfWidthD) {
    // The published table: 2 L d values a token, 36,864 bytes in fp16 at 124M; ours are fp32.
    int64_t bytes = 0;
    for (const CacheSpec& spec : cache_specs(gpt2_preset("124M")))
        bytes += cache_bytes_per_token(spec);
    EXPECT_EQ(bytes, 2 * 36864);
}

}  // namespace
}  // namespace knlp::model
