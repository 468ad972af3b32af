#include "knlp/model/decoder.h"
#include "knlp/model/parameter.h"

#include "tests/support/lower_isas.h"
#include "tests/use/toy_model.h"

#include <ATen/core/Tensor.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace knlp::model {
namespace {

using Ids = std::vector<int32_t>;
using test::toy_model;

config::Model middle() {
    return {.name = "toy",
            .size = "custom",
            .n_layer = 2,
            .n_head = 3,
            .d_model = 48,
            .n_ctx = 80,
            .vocab_size = 131,
            .pad_vocab = 64,
            .dropout = 0.0};
}

Ids some_ids(int64_t n, uint32_t seed = 1) {
    Ids ids;
    for (int64_t i = 0; i < n; ++i) {
        seed = seed * 1664525u + 1013904223u;
        ids.push_back(static_cast<int32_t>((seed >> 8) % 131));
    }
    return ids;
}

/// Logits [rows, V] that follow each token of a text by the generic path, without a cache.
at::Tensor generic_logits(Gpt2& model, const Ids& text) {
    const at::NoGradGuard no_grad;
    ForwardContext context;
    const at::Tensor ids = at::tensor(at::ArrayRef<int32_t>(text), at::kLong).unsqueeze(0);
    return model.logits(model.hidden(ids, context), context)
        .squeeze(0)
        .narrow(1, 0, model.config().vocab_size)
        .to(at::kFloat);
}

/// Reads texts padded on the left, `prompt` tokens of the longest in chunks and the rest token by
/// token; logits of every call that asks for them, [calls][rows, V].
struct Reading {
    std::vector<at::Tensor> logits;
    std::vector<int64_t> read;  // slots filled when each was made
};
Reading read_all(Decoder& decoder, const config::Model& m, const std::vector<Ids>& texts,
                 int64_t prompt, int64_t chunk) {
    const auto rows = static_cast<int64_t>(texts.size());
    int64_t longest = 0;
    for (const Ids& text : texts) longest = std::max(longest, std::ssize(text));
    KvCache cache(decoder.cache_specs(), rows, longest);
    for (const Ids& text : texts) cache.row_start.push_back(longest - std::ssize(text));
    Reading reading;
    for (int64_t from = 0; from < longest;) {
        const int64_t to = from < prompt ? std::min(prompt, from + chunk) : from + 1;
        Ids ids;
        bool all_begun = true;
        for (size_t row = 0; row < texts.size(); ++row)
            for (int64_t slot = from; slot < to; ++slot) {
                const int64_t at = slot - cache.row_start[row];
                ids.push_back(at < 0 ? 0 : texts[row][static_cast<size_t>(at)]);
                all_begun &= slot + 1 < to || at >= 0;
            }
        const at::Tensor logits = at::full({rows, m.vocab_size}, -7.0f);
        decoder.read(ids, rows, cache, all_begun ? logits.data_ptr<float>() : nullptr);
        EXPECT_EQ(cache.length(), to);
        from = to;
        if (!all_begun) continue;
        reading.logits.push_back(logits);
        reading.read.push_back(to);
    }
    return reading;
}

void expect_near(const at::Tensor& a, const at::Tensor& b, double tolerance,
                 const std::string& where) {
    EXPECT_LE((a - b).abs().max().item<double>(), tolerance) << where;
}

/// The decoder against the generic path for every text, chunk and call.
void compare(Gpt2& model, Decoder& decoder, Gpt2& reference) {
    for (const std::vector<int64_t>& lengths :
         std::vector<std::vector<int64_t>>{{75}, {70, 41, 66}, {1, 80, 79}}) {
        std::vector<Ids> texts;
        std::vector<at::Tensor> wanted;
        for (int64_t length : lengths) {
            texts.push_back(some_ids(length, static_cast<uint32_t>(length)));
            wanted.push_back(generic_logits(reference, texts.back()));
        }
        const int64_t longest = *std::max_element(lengths.begin(), lengths.end());
        for (int64_t chunk : {1, 7, 20, 64}) {
            const Reading reading = read_all(decoder, model.config(), texts, 68, chunk);
            for (size_t call = 0; call < reading.read.size(); ++call)
                for (size_t row = 0; row < texts.size(); ++row) {
                    const int64_t at = reading.read[call] - (longest - lengths[row]) - 1;
                    // Logits are of order 1; what rounding leaves is 1e-6.
                    expect_near(
                        reading.logits[call][static_cast<int64_t>(row)], wanted[row][at], 1e-4,
                        "row " + std::to_string(row) + " of " + std::to_string(texts.size()) +
                            ", chunk " + std::to_string(chunk) + ", token " + std::to_string(at));
                }
        }
    }
}

TEST(Decoder, LogitsAreThoseOfTheGenericPathAtEveryStep) {
    for (bool bias : {true, false})
        for (bool tied : {true, false}) {
            config::Model m = middle();
            m.bias = bias;
            m.weight_tying = tied;
            m.gelu = tied ? config::Gelu::kTanh : config::Gelu::kErf;
            Gpt2 model = toy_model(3, 6, m);
            Decoder decoder(model);
            compare(model, decoder, model);
        }
}

at::Tensor rounded(const at::Tensor& x) {
    return x.to(at::kBFloat16).to(at::kFloat);
}

/// Logits [T, V] after each token by the formulas of GPT-2 (Radford et al., 2019), both operands of
/// every product of weights rounded to bfloat16.
at::Tensor rounded_logits(Gpt2& model, const Ids& text) {
    const at::NoGradGuard no_grad;
    const config::Model& m = model.config();
    const int64_t n = std::ssize(text), d = m.d_model / m.n_head;
    const auto value = [&](const std::string& name) { return model.find(name)->value.detach(); };
    const auto norm = [&](const at::Tensor& x, const std::string& name) {
        return at::layer_norm(x, {m.d_model}, value(name + ".weight"), value(name + ".bias"));
    };
    const auto linear = [&](const at::Tensor& x, const std::string& name) {
        return at::linear(rounded(x), rounded(value(name + ".weight")), value(name + ".bias"));
    };
    const at::Tensor embedding = rounded(value("wte.weight"));
    const at::Tensor ids = at::tensor(at::ArrayRef<int32_t>(text), at::kLong);
    const at::Tensor unseen = at::ones({n, n}, at::kBool).triu(1);
    at::Tensor x = embedding.index_select(0, ids) + value("wpe.weight").narrow(0, 0, n);
    for (int64_t layer = 0; layer < m.n_layer; ++layer) {
        const std::string h = "h." + std::to_string(layer) + ".";
        const at::Tensor qkv = linear(norm(x, h + "ln_1"), h + "attn.c_attn")
                                   .view({n, 3, m.n_head, d})
                                   .permute({1, 2, 0, 3});
        const at::Tensor scores = at::matmul(qkv[0], qkv[1].transpose(1, 2)) / std::sqrt(d);
        const at::Tensor weights = at::softmax(scores.masked_fill(unseen, -INFINITY), -1);
        const at::Tensor y = at::matmul(weights, qkv[2]).transpose(0, 1).reshape({n, m.d_model});
        x = x + linear(y, h + "attn.c_proj");
        const at::Tensor hidden = at::gelu(linear(norm(x, h + "ln_2"), h + "mlp.c_fc"), "tanh");
        x = x + linear(hidden, h + "mlp.c_proj");
    }
    return at::matmul(rounded(norm(x, "ln_f")), embedding.t()).narrow(1, 0, m.vocab_size);
}

TEST(Decoder, Bf16WeightsAndWhatTheyMultiplyAreRoundedInShortAndInLongChunks) {
    Gpt2 model = toy_model(3, 6, middle());
    Decoder decoder(model, true, false);
    const std::vector<Ids> texts = {some_ids(60), some_ids(33, 9)};
    const at::Tensor wanted[] = {rounded_logits(model, texts[0]), rounded_logits(model, texts[1])};
    for (const int64_t chunk : {7, 60}) {
        const Reading reading =
            read_all(decoder, model.config(), texts, chunk == 7 ? 30 : 60, chunk);
        for (size_t call = 0; call < reading.read.size(); ++call)
            for (size_t row = 0; row < 2; ++row) {
                const int64_t at = reading.read[call] - (60 - std::ssize(texts[row])) - 1;
                // Sums in another order may round an activation to the other neighbour, 2^-8 of it.
                expect_near(reading.logits[call][static_cast<int64_t>(row)], wanted[row][at], 2e-3,
                            "chunks of " + std::to_string(chunk) + ", token " + std::to_string(at));
            }
    }
    EXPECT_GT((generic_logits(model, texts[0]) - wanted[0]).abs().max().item<double>(), 5e-3)
        << "rounding would not be seen";
}

TEST(Decoder, ABf16CacheIsHalfTheBytesAndRoundsKeysAndValuesAlone) {
    Gpt2 model = toy_model(3, 6, middle());
    const auto bytes = [](const Decoder& decoder) {
        return cache_bytes_per_token(decoder.cache_specs().front());
    };
    Decoder wide(model), narrow(model, false, true), bf16(model, true);
    EXPECT_EQ(bytes(wide), 2 * 48 * 4);
    EXPECT_EQ(bytes(narrow), 2 * 48 * 2);
    EXPECT_EQ(bytes(bf16), 2 * 48 * 2) << "the type of the weights";
    const std::vector<Ids> texts = {some_ids(60), some_ids(33, 9)};
    const Reading exact = read_all(wide, model.config(), texts, 30, 7);
    const Reading rounded = read_all(narrow, model.config(), texts, 30, 7);
    double most = 0;
    for (size_t call = 0; call < exact.logits.size(); ++call)
        most =
            std::max(most, (exact.logits[call] - rounded.logits[call]).abs().max().item<double>());
    // Scores and values are off by 2^-9 of themselves at most, logits of order 1 by little more.
    EXPECT_LT(most, 0.02);
    EXPECT_GT(most, 1e-5);
}

// A text read at once rounds keys and values as the cache does, or greedy texts would differ.
TEST(Decoder, ABf16CacheHoldsWhatATextWithoutOneSees) {
    Gpt2 model = toy_model(3, 6, middle());
    for (bool weights : {false, true}) {
        Decoder decoder(model, weights, true);
        const Ids text = some_ids(16);  // few enough for products with fp32 activations
        for (int64_t chunk : {1, 5, 8, 16}) {
            const Reading reading = read_all(decoder, model.config(), {text}, 16, chunk);
            for (size_t call = 0; call < reading.read.size(); ++call) {
                const at::Tensor whole = at::empty({131});
                decoder.read(std::span(text).first(static_cast<size_t>(reading.read[call])),
                             whole.data_ptr<float>());
                // A sum in another order may round a key the other way: 2^-9 of one of 48 values
                // in one of up to 16 slots. Unrounded keys and values would be off ten times as
                // far.
                expect_near(reading.logits[call][0], whole, 2e-4,
                            "chunk " + std::to_string(chunk) + ", call " + std::to_string(call));
            }
        }
    }
}

TEST(Decoder, WeightsLoadedAsBf16AreTakenWhereTheyLie) {
    Gpt2 model = toy_model(3, 6, middle());
    Decoder converted(model, true);
    const std::unique_ptr<Gpt2> held = model.clone();
    for (Parameter& p : held->parameters())
        if (p.spec.shape.size() == 2 && p.spec.name != "wpe.weight")
            p.value = p.value.detach().to(at::kBFloat16);
    ASSERT_TRUE(Decoder::suits(*held));
    Decoder taken(*held);
    EXPECT_TRUE(taken.bf16());
    EXPECT_EQ(taken.weight_bytes(), converted.weight_bytes());
    const std::vector<Ids> texts = {some_ids(40)};
    const Reading a = read_all(converted, model.config(), texts, 20, 20);
    const Reading b = read_all(taken, model.config(), texts, 20, 20);
    for (size_t i = 0; i < a.logits.size(); ++i) EXPECT_TRUE(at::equal(a.logits[i], b.logits[i]));
}

TEST(Decoder, ARowHasTheSameBitsWhateverSharesItsBatch) {
    Gpt2 model = toy_model(3, 6, middle());
    for (bool bf16 : {false, true}) {
        Decoder decoder(model, bf16);
        std::vector<Ids> texts;
        for (uint32_t row = 0; row < 5; ++row) texts.push_back(some_ids(30, row));
        const Reading together = read_all(decoder, model.config(), texts, 3, 3);
        for (int64_t row = 0; row < 5; ++row) {
            const Reading alone =
                read_all(decoder, model.config(), {texts[static_cast<size_t>(row)]}, 3, 3);
            for (size_t i = 0; i < alone.logits.size(); ++i)
                EXPECT_TRUE(at::equal(alone.logits[i][0], together.logits[i][row]))
                    << "row " << row << ", call " << i;
        }
    }
}

TEST(Decoder, ThreadsChangeNoBit) {
    Gpt2 model = toy_model(3, 6, middle());
    const std::vector<Ids> texts = {some_ids(70), some_ids(50, 5)};
    Decoder decoder(model);
    const Reading one = read_all(decoder, model.config(), texts, 60, 40);
    for (int threads : {2, 3, 5}) {
        at::set_num_threads(threads);
        const Reading many = read_all(decoder, model.config(), texts, 60, 40);
        for (size_t i = 0; i < one.logits.size(); ++i)
            EXPECT_TRUE(at::equal(one.logits[i], many.logits[i])) << threads << " threads";
    }
    at::set_num_threads(1);
}

TEST(Decoder, AChunkHasTheSameBitsWhateverSharesItsBatch) {
    Gpt2 model = toy_model(3, 6, middle());
    for (bool bf16_cache : {false, true}) {
        Decoder decoder(model, false, bf16_cache);
        std::vector<Ids> texts;
        for (uint32_t row = 0; row < 3; ++row) texts.push_back(some_ids(75, row));
        const Reading together = read_all(decoder, model.config(), texts, 75, 25);
        for (int64_t row = 0; row < 3; ++row) {
            const Reading alone =
                read_all(decoder, model.config(), {texts[static_cast<size_t>(row)]}, 75, 25);
            for (size_t i = 0; i < alone.logits.size(); ++i)
                EXPECT_TRUE(at::equal(alone.logits[i][0], together.logits[i][row]))
                    << "row " << row << ", call " << i;
        }
    }
}

TEST(Decoder, MoreRowsThanFitTheFewGiveTheSameLogits) {
    Gpt2 model = toy_model(3, 6, middle());
    Decoder decoder(model);
    std::vector<Ids> texts;
    for (uint32_t row = 0; row < 19; ++row) texts.push_back(some_ids(9, row));
    const Reading reading = read_all(decoder, model.config(), texts, 5, 5);
    ASSERT_EQ(reading.logits.size(), 5u);
    for (int64_t row = 0; row < 19; ++row)
        expect_near(reading.logits.back()[row],
                    generic_logits(model, texts[static_cast<size_t>(row)])[8], 1e-4,
                    std::to_string(row));
}

TEST(Decoder, ATextWithoutACacheHasTheSameLogits) {
    Gpt2 model = toy_model(3, 6, middle());
    Decoder decoder(model);
    for (int64_t length : {1, 2, 16, 17, 80}) {
        const Ids text = some_ids(length);
        const at::Tensor logits = at::empty({131});
        decoder.read(text, logits.data_ptr<float>());
        expect_near(logits, generic_logits(model, text)[-1], 1e-4, std::to_string(length));
    }
}

TEST(Decoder, LossesOfTargetsAreThoseOfTheGenericPath) {
    Gpt2 model = toy_model(3, 6, middle());
    Decoder decoder(model);
    const int64_t rows = 5, length = 50;
    const Ids all = some_ids(rows * length);
    const at::Tensor ids = at::tensor(at::ArrayRef<int32_t>(all), at::kLong).view({rows, length});
    at::Tensor targets = ids.roll(-1, 1).contiguous();
    targets[0].fill_(-1);               // a row without targets
    targets[1].slice(0, 20).fill_(-1);  // a short one
    targets[2].slice(0, 0, 40).fill_(-1);
    targets[3].slice(0, 3, 30).fill_(-1);
    ForwardContext context;
    const at::Tensor wanted = model.token_nll(ids, targets, context);
    const at::Tensor nll = at::full({rows, length}, -1.0f);
    decoder.token_nll({ids.const_data_ptr<int64_t>(), static_cast<size_t>(ids.numel())},
                      {targets.const_data_ptr<int64_t>(), static_cast<size_t>(ids.numel())}, rows,
                      nll.data_ptr<float>());
    expect_near(nll, wanted, 1e-5, "nll");
}

TEST(Decoder, SuitsCausalAttentionInTypesThatTheKernelsTake) {
    Gpt2 model = toy_model(1, 8, middle());
    EXPECT_TRUE(Decoder::suits(model));
    model.to(at::kDouble);
    EXPECT_FALSE(Decoder::suits(model));
    config::Model reference = middle();
    reference.attention_backend = config::AttentionBackend::kReference;
    Gpt2 plain = toy_model(1, 8, reference);
    EXPECT_FALSE(Decoder::suits(plain));
}

TEST(Decoder, CountsTheWeightsOfAToken) {
    Gpt2 model = toy_model(1, 8, middle());
    const int64_t matrices = 2 * 12 * 48 * 48 + 131 * 48, biases = 2 * 9 * 48;
    EXPECT_EQ(Decoder(model).weight_bytes(), 4 * (matrices + biases));
    EXPECT_EQ(Decoder(model, true).weight_bytes(), 2 * matrices + 4 * biases);
}

TEST(DecoderSlow, HoldsUnderLowerInstructionSets) {
    test::expect_to_pass_under_lower_isas("Decoder.*");
}

}  // namespace
}  // namespace knlp::model
