#include "knlp/model/inference_memory.h"

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

}  // namespace knlp::model
