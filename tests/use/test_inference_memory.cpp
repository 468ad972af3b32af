#include "knlp/model/decoder.h"
#include "knlp/model/inference_memory.h"

#include "tests/use/toy_model.h"

#include <ATen/core/Tensor.h>

#include <gtest/gtest.h>

namespace knlp::model {
namespace {

int64_t term(const std::vector<MemoryTerm>& terms, const std::string& begin) {
    for (const MemoryTerm& one : terms)
        if (one.name.starts_with(begin)) return one.bytes;
    ADD_FAILURE() << "no term " << begin;
    return -1;
}

TEST(InferenceMemory, CountsWeightsAndCacheAsTheyAreAllocated) {
    for (const bool bf16 : {false, true}) {
        Gpt2 gpt2 = test::toy_model();
        prepare_weights(gpt2, bf16);
        int64_t weights = 0;
        for (const Parameter& p : gpt2.parameters())
            weights += static_cast<int64_t>(p.value.nbytes());
        const Decoder decoder(gpt2, bf16);
        const KvCache cache(decoder.cache_specs(), 3, 20);
        const auto terms =
            inference_terms(gpt2.config(), {.batch = 3, .prompt = 5, .slots = 20, .bf16 = bf16});
        EXPECT_EQ(term(terms, "weights"), weights) << bf16;
        EXPECT_EQ(term(terms, "keys and values of 3 x 20 tokens"), cache.bytes()) << bf16;
        EXPECT_EQ(term(terms, "logits"), 3 * 257 * 4);
    }
}

TEST(InferenceMemory, ActivationsAreThoseOfTheTokensThatRunTogether) {
    const config::Model m = test::toy_config();
    const auto activations = [&](int64_t batch, int64_t prompt) {
        return term(inference_terms(m, {.batch = batch, .prompt = prompt}), "activations");
    };
    EXPECT_EQ(activations(10, 200), activations(1, 2000));
    // A long batch goes in pieces; a long text, and one token of each of many, in one.
    EXPECT_EQ(activations(1000, 200), activations(1, kTokensAtOnce));
    EXPECT_EQ(activations(1000, 5000), activations(1, 5000));
    EXPECT_EQ(activations(9000, 1), 2 * activations(4500, 1));
}

TEST(InferenceMemory, LossesHoldOneLayerOfAllTheirTokens) {
    const config::Model m = test::toy_config();
    const auto activations = [&](int64_t batch, bool held_bf16) {
        return term(loss_terms(m, {.batch = batch, .length = 24, .bf16_weights = held_bf16}),
                    "activations of " + std::to_string(batch) + " x 24 tokens");
    };
    EXPECT_EQ(activations(50, false), pass_bytes(m, 50, 24, false, false, 1));
    EXPECT_EQ(activations(50, true), activation_bytes(m, 50, 24, false, {}));
    // Stream, norm, queries with keys and values, joined heads: more than ten numbers a column.
    EXPECT_GT(activations(5000, false), 5000 * 24 * 10 * 4 * m.d_model);
    // Products in bfloat16 take copies of weights that are in float32, and of no others.
    const auto count = [&](bool held_bf16) {
        return std::ssize(loss_terms(m, {.bf16_weights = held_bf16, .bf16 = true})) -
               std::ssize(loss_terms(m, {.bf16_weights = held_bf16}));
    };
    EXPECT_EQ(count(false), 1);
    EXPECT_EQ(count(true), 0);
}

TEST(InferenceMemory, ScoringHoldsAPieceOfItsBatchAndLogitsOfAFewRows) {
    const config::Model m = test::toy_config();
    const auto of = [&](int64_t batch, const std::string& what) {
        return term(scoring_terms(m, {.batch = batch, .length = 24}), what);
    };
    EXPECT_EQ(of(200, "activations"), of(20000, "activations"));
    EXPECT_EQ(of(200, "logits"), of(20000, "logits"));
    EXPECT_EQ(of(20000, "ids"), 100 * of(200, "ids"));
    config::Model reference = m;
    reference.attention_backend = config::AttentionBackend::kReference;
    const ScoringShape shape{.batch = 20, .length = 24};
    EXPECT_EQ(term(scoring_terms(reference, shape), "activations"),
              activation_bytes(reference, 20, 24, false, {}));
}

}  // namespace
}  // namespace knlp::model
