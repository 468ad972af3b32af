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

}  // namespace
}  // namespace knlp::model
