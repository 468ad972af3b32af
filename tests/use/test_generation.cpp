#include "knlp/model/generation.h"

#include "knlp/data/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/use/toy_model.h"

namespace knlp::model {
namespace {

using Prompts = std::vector<std::vector<int32_t>>;
using test::toy_model;

const data::Tokenizer& bytes() {
    static const std::unique_ptr<data::Tokenizer> tokenizer = data::make_byte_tokenizer();
    return *tokenizer;
}

GenerationOptions greedy(int64_t max_tokens) {
    return {.sampling = {.temperature = 0}, .max_tokens = max_tokens, .stop_at_eot = false};
}

std::vector<int32_t> ids_after(Gpt2& model, const std::vector<int32_t>& prompt,
                               const GenerationOptions& options) {
    return generate(model, bytes(), Prompts{prompt}, options).rows.front().ids;
}

/// Greedy by the plainest means: the whole context through the model for every token.
std::vector<int32_t> greedy_by_hand(Gpt2& model, std::vector<int32_t> context, int64_t count) {
    const at::NoGradGuard no_grad;
    std::vector<int32_t> out;
    while (std::ssize(out) < count) {
        ForwardContext forward;
        const at::Tensor ids = at::tensor(at::ArrayRef<int32_t>(context), at::kLong).unsqueeze(0);
        const at::Tensor logits = model.logits(model.hidden(ids, forward), forward);
        context.push_back(static_cast<int32_t>(logits[0][-1].argmax().item<int64_t>()));
        out.push_back(context.back());
    }
    return out;
}

const std::vector<int32_t> kPrompt = {72, 101, 108, 108, 111};

TEST(Generate, GreedyIsArgmaxOfTheWholeContextUpToTheEndOfTheContext) {
    for (uint64_t seed : {1, 2, 3}) {
        Gpt2 model = toy_model(seed);
        const auto expected = greedy_by_hand(model, kPrompt, 20);  // 5 + 20 = n_ctx + 1
        EXPECT_EQ(ids_after(model, kPrompt, greedy(20)), expected);
        GenerationOptions uncached = greedy(20);
        uncached.use_cache = false;
        EXPECT_EQ(ids_after(model, kPrompt, uncached), expected);
    }
}

TEST(Generate, ChunkSizesOfThePromptChangeNothing) {
    Gpt2 model = toy_model();
    const std::vector<int32_t> prompt = bytes().encode("a prompt of 19 byte");
    const auto expected = greedy_by_hand(model, prompt, 6);
    for (int64_t chunk : {1, 7, 9, 19, 64}) {
        GenerationOptions options = greedy(6);
        options.prefill_chunk = chunk;
        EXPECT_EQ(ids_after(model, prompt, options), expected) << "chunk " << chunk;
    }
}

// The reference attention takes LibTorch's operators all the way.
TEST(Generate, TheGenericPathChoosesTheSameTokens) {
    config::Model reference = test::toy_config();
    reference.attention_backend = config::AttentionBackend::kReference;
    Gpt2 plain = toy_model(2, 8, reference), model = toy_model(2);
    const Prompts prompts = {bytes().encode("nine byte"), kPrompt};
    for (const bool use_cache : {true, false}) {
        GenerationOptions options = greedy(12);
        options.use_cache = use_cache;
        options.prefill_chunk = 4;
        const GenerationResult wanted = generate(plain, bytes(), prompts, options);
        const GenerationResult result = generate(model, bytes(), prompts, options);
        for (size_t i = 0; i < prompts.size(); ++i)
            EXPECT_EQ(result.rows[i].ids, wanted.rows[i].ids) << "row " << i;
    }
}

// Lengths 1, 9 and 14 of a context of 24: the short rows outlive the long one, whose padding they
// carry.
TEST(Generate, ARowOfABatchIsAsIfItWereAlone) {
    Gpt2 model = toy_model();
    const Prompts prompts = {bytes().encode("x"), bytes().encode("nine byte"),
                             bytes().encode("fourteen bytes")};
    for (const Overflow overflow : {Overflow::kStop, Overflow::kSlide})
        for (int64_t chunk : {1, 7, 64}) {
            GenerationOptions options = greedy(40);
            options.overflow = overflow;
            options.prefill_chunk = chunk;
            const GenerationResult together = generate(model, bytes(), prompts, options);
            for (size_t i = 0; i < prompts.size(); ++i)
                EXPECT_EQ(together.rows[i].ids, ids_after(model, prompts[i], options))
                    << "row " << i << ", chunk " << chunk;
        }
}

TEST(Generate, SampledTextIsTheSameWithAndWithoutCacheAndDependsOnTheSeed) {
    Gpt2 model = toy_model(1, 4);
    GenerationOptions options{.sampling = {.temperature = 1, .top_k = 50, .top_p = 0.95, .seed = 7},
                              .max_tokens = 15,
                              .stop_at_eot = false};
    const auto cached = ids_after(model, kPrompt, options);
    EXPECT_EQ(ids_after(model, kPrompt, options), cached);
    options.use_cache = false;
    EXPECT_EQ(ids_after(model, kPrompt, options), cached);
    options.sampling.seed = 8;
    EXPECT_NE(ids_after(model, kPrompt, options), cached);
}

TEST(Generate, EqualPromptsOfABatchAreDrawnDifferently) {
    Gpt2 model = toy_model(1, 1);
    const GenerationOptions options{
        .sampling = {.temperature = 1}, .max_tokens = 12, .stop_at_eot = false};
    const auto result = generate(model, bytes(), Prompts{kPrompt, kPrompt}, options);
    EXPECT_NE(result.rows[0].ids, result.rows[1].ids);
    EXPECT_EQ(result.rows[0].ids, ids_after(model, kPrompt, options));
}

TEST(Generate, StopsWhenTheContextIsFull) {
    Gpt2 model = toy_model();
    const auto result = generate(model, bytes(), Prompts{kPrompt}, greedy(100));
    EXPECT_EQ(result.rows[0].reason, FinishReason::kContextFull);
    EXPECT_EQ(result.rows[0].ids.size(), 20u);  // 5 + 20 - 1 tokens were read: the context of 24
}

TEST(Generate, SlidingGoesOnWithTheLastHalfOfTheContext) {
    Gpt2 model = toy_model();
    GenerationOptions options = greedy(50);
    options.overflow = Overflow::kSlide;
    std::vector<int32_t> context = kPrompt, expected;
    while (std::ssize(expected) < 50) {
        expected.push_back(greedy_by_hand(model, context, 1).front());
        context.push_back(expected.back());
        if (context.size() > 24) context.erase(context.begin(), context.end() - 12);
    }
    EXPECT_EQ(ids_after(model, kPrompt, options), expected);
    options.use_cache = false;
    EXPECT_EQ(ids_after(model, kPrompt, options), expected);
}

TEST(Generate, AnEmptyPromptStartsFromEndOfText) {
    Gpt2 model = toy_model();
    EXPECT_EQ(ids_after(model, {}, greedy(8)), ids_after(model, {bytes().eot()}, greedy(8)));
}

TEST(Generate, PromptsTooLongAreRefusedOrLoseTheirBeginning) {
    Gpt2 model = toy_model();
    const std::vector<int32_t> prompt(30, 65), kept(24, 65);
    test::expect_error(kUsage, {"prompt has 30 tokens, context is 24 (use --truncate left)"},
                       [&] { ids_after(model, prompt, greedy(1)); });
    GenerationOptions options = greedy(1);
    options.truncate_left = true;
    const auto result = generate(model, bytes(), Prompts{prompt}, options);
    EXPECT_EQ(result.rows[0].truncated_tokens, 6);
    EXPECT_EQ(result.rows[0].ids, ids_after(model, kept, greedy(1)));
}

TEST(Generate, IdsOutsideTheVocabularyAreRefused) {
    Gpt2 model = toy_model();
    test::expect_error(kData, {"token 257 at position 1", "vocabulary 257"}, [&] {
        ids_after(model, {0, 257}, greedy(1));
    });
    test::expect_error(kData, {"token -1 at position 0"},
                       [&] { ids_after(model, {-1}, greedy(1)); });
}

TEST(Generate, OptionsOutOfRangeAreRefused) {
    Gpt2 model = toy_model();
    GenerationOptions options = greedy(-1);
    test::expect_error(kUsage, {"-1 is negative"}, [&] { ids_after(model, kPrompt, options); });
    options = greedy(1);
    options.prefill_chunk = 0;
    test::expect_error(kUsage, {"prefill chunk 0"}, [&] { ids_after(model, kPrompt, options); });
}

TEST(Generate, PiecesHeardAreTheTextOfEachRow) {
    Gpt2 model = toy_model(1, 2);
    const GenerationOptions options{.sampling = {.temperature = 1}, .max_tokens = 18};
    std::vector<std::string> heard(2);
    const auto result = generate(
        model, bytes(), Prompts{kPrompt, {1, 2}}, options,
        [&](int64_t row, std::string_view text) { heard[static_cast<size_t>(row)] += text; });
    for (size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(heard[i], result.rows[i].text);
        EXPECT_EQ(result.rows[i].text, bytes().decode(result.rows[i].ids));
    }
}

TEST(Generate, EndsBeforeAStopText) {
    Gpt2 model = toy_model();
    const std::string text = bytes().decode(ids_after(model, kPrompt, greedy(18)));
    GenerationOptions options = greedy(18);
    options.stop = {text.substr(9, 3)};
    const auto result = generate(model, bytes(), Prompts{kPrompt}, options);
    EXPECT_EQ(result.rows[0].text, text.substr(0, text.find(options.stop[0])));
    EXPECT_EQ(result.rows[0].reason, FinishReason::kStopText);
}

/// A model that says `token` whatever it reads: only that row of the tied embedding meets the final
/// bias.
Gpt2 model_saying(int32_t token) {
    Gpt2 model = toy_model(1, 1);
    const at::NoGradGuard no_grad;
    model.find("ln_f.weight")->value.zero_();
    model.find("ln_f.bias")->value.fill_(1);
    model.find("wte.weight")->value.zero_();
    model.find("wte.weight")->value[token].fill_(1);
    return model;
}

TEST(Generate, EndOfTextEndsARowUnlessToldOtherwise) {
    Gpt2 model = model_saying(bytes().eot());
    GenerationOptions options = greedy(3);
    EXPECT_EQ(generate(model, bytes(), Prompts{kPrompt}, options).rows[0].text,
              "<|endoftext|><|endoftext|><|endoftext|>");
    options.stop_at_eot = true;
    const auto result = generate(model, bytes(), Prompts{kPrompt}, options);
    EXPECT_EQ(result.rows[0].reason, FinishReason::kEndOfText);
    EXPECT_TRUE(result.rows[0].ids.empty());
    EXPECT_EQ(result.rows[0].text, "");
}

TEST(Generate, TokensTheTokenizerDoesNotHaveAreNeverChosen) {
    Gpt2 model = model_saying(200);
    const auto letters = data::make_char_tokenizer("abc");
    const auto result = generate(model, *letters, Prompts{{0}}, greedy(4));
    for (int32_t id : result.rows[0].ids) EXPECT_LT(id, 3);
    EXPECT_EQ(result.rows[0].ids.size(), 4u);
}

TEST(Generate, StopsBetweenTokensWhenAsked) {
    Gpt2 model = toy_model();
    GenerationOptions options = greedy(20);
    int asked = 0;
    options.should_stop = [&] { return ++asked > 4; };
    options.prefill_chunk = 64;
    const auto result = generate(model, bytes(), Prompts{kPrompt}, options);
    EXPECT_EQ(result.rows[0].reason, FinishReason::kInterrupted);
    EXPECT_EQ(result.rows[0].ids, greedy_by_hand(model, kPrompt, 4));
}

TEST(Generate, NothingIsRunForNoTokens) {
    Gpt2 model = toy_model();
    const auto result = generate(model, bytes(), Prompts{kPrompt}, greedy(0));
    EXPECT_TRUE(result.rows[0].ids.empty());
    EXPECT_EQ(result.rows[0].reason, FinishReason::kLength);
    EXPECT_EQ(result.stats.cache_bytes, 0);
}

// 5 prompt tokens and 7 new ones, the last of which is never read: 11 slots of 2 layers * K and V *
// 16 floats.
TEST(Generate, ReportsTheCacheItAllocated) {
    Gpt2 model = toy_model();
    const auto result = generate(model, bytes(), Prompts{kPrompt}, greedy(7));
    EXPECT_EQ(result.stats.cache_bytes, 11 * 2 * 2 * 16 * 4);
    EXPECT_EQ(result.stats.prompt_tokens, 5);
    EXPECT_EQ(result.stats.new_tokens, 7);
}

TEST(GenerateText, ContinuesWithoutThePrompt) {
    Gpt2 model = toy_model();
    EXPECT_EQ(generate_text(model, bytes(), "Hello", greedy(9)),
              bytes().decode(greedy_by_hand(model, kPrompt, 9)));
}

}  // namespace
}  // namespace knlp::model
