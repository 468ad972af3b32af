#include "knlp/model/inference_memory.h"

#include "inference.h"

#include "knlp/core/memory.h"
#include "knlp/model/gpt2.h"

#include <fmt/format.h>

#include <algorithm>

namespace knlp::model {

namespace {

int64_t cache_slot_bytes(const config::Model& model, bool bf16) {
    int64_t bytes = 0;
    for (const CacheSpec& spec : cache_specs(model)) bytes += cache_bytes_per_token(spec);
    return bf16 ? bytes / 2 : bytes;
}

/// Stream, its norm, queries with keys and values, joined heads and the hidden layer of a token,
/// with the padding of a row of that layer; then a sum a head, mean and deviation.
int64_t token_bytes(const config::Model& model) {
    return 4 * (10 * model.d_model + 16 + model.n_head + 2);
}

/// Weights, and the copies that products in bfloat16 take of those in float32.
std::vector<MemoryTerm> weight_terms(const config::Model& model, const ScoringShape& shape) {
    std::vector<MemoryTerm> terms = {{"weights", weight_bytes(model, shape.bf16_weights)}};
    if (shape.bf16 && !shape.bf16_weights)
        terms.push_back({"weights in bfloat16", weight_bytes(model, true)});
    return terms;
}

/// Ids and targets [B, T] as int64, a float32 of each.
MemoryTerm text_term(const ScoringShape& shape) {
    return {fmt::format("ids and losses of {} x {} tokens", shape.batch, shape.length),
            shape.batch * shape.length * 20};
}

}  // namespace

int64_t weight_bytes(const config::Model& model, bool bf16) {
    int64_t bytes = 0;
    for (const ParameterSpec& spec : gpt2_parameters(model)) {
        const bool matrix = spec.shape.size() == 2 && spec.name != "wpe.weight";
        bytes += element_count(spec) * (bf16 && matrix ? 2 : 4);
    }
    return bytes;
}

std::vector<MemoryTerm> inference_terms(const config::Model& model, const InferenceShape& shape) {
    const int64_t together = std::min(shape.batch * shape.prompt, kTokensAtOnce);
    const int64_t tokens = std::max({shape.batch, shape.prompt, together});
    return {{"weights", weight_bytes(model, shape.bf16)},
            {fmt::format("keys and values of {} x {} tokens", shape.batch, shape.slots),
             shape.batch * shape.slots * cache_slot_bytes(model, shape.bf16)},
            {"logits", 4 * shape.batch * model.vocab_size},
            {fmt::format("activations of {} tokens", tokens), tokens * token_bytes(model)}};
}

std::vector<MemoryTerm> loss_terms(const config::Model& model, const ScoringShape& shape) {
    std::vector<MemoryTerm> terms = weight_terms(model, shape);
    terms.push_back(text_term(shape));
    const bool own = shape.device.is_cpu() && !shape.bf16_weights;
    int64_t bytes =
        own ? pass_bytes(model, shape.batch, shape.length, shape.bf16, false, shape.threads) : 0;
    if (bytes == 0) {
        bytes = activation_bytes(model, shape.batch, shape.length, false, shape.device);
        if (shape.device.is_cpu())
            terms.push_back({"freed and kept", std::min(kMostFreedKept, bytes / 5)});
    }
    terms.push_back(
        {fmt::format("activations of {} x {} tokens", shape.batch, shape.length), bytes});
    return terms;
}

std::vector<MemoryTerm> scoring_terms(const config::Model& model, const ScoringShape& shape) {
    const bool decoder = shape.device.is_cpu() && model.attention == "causal" &&
                         model.attention_backend != config::AttentionBackend::kReference;
    if (!decoder) return loss_terms(model, shape);
    const int64_t tokens =
        std::max(shape.length, std::min(shape.batch * shape.length, kTokensAtOnce));
    std::vector<MemoryTerm> terms = weight_terms(model, shape);
    terms.push_back(text_term(shape));
    terms.push_back({"logits", 4 * std::min(kScoredRows, tokens) * model.vocab_size});
    terms.push_back({fmt::format("activations of {} tokens", tokens), tokens * token_bytes(model)});
    return terms;
}

}  // namespace knlp::model
