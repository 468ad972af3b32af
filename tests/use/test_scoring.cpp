#include "knlp/model/parameter.h"
#include "knlp/model/scoring.h"

#include "knlp/core/file.h"
#include "knlp/core/safetensors.h"
#include "knlp/data/token_file.h"
#include "knlp/data/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_dir.h"
#include "tests/use/toy_model.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <random>

namespace knlp::model {
namespace {

using test::toy_config;
using test::toy_model;

const data::Tokenizer& bytes() {
    static const std::unique_ptr<data::Tokenizer> tokenizer = data::make_byte_tokenizer();
    return *tokenizer;
}

/// A GPT-2 whose blocks and positions do nothing: log p(next | previous) is a table that plain
/// loops can compute.
Gpt2 bigram_model() {
    Gpt2 model = toy_model(5, 8);
    const at::NoGradGuard no_grad;
    for (Parameter& parameter : model.parameters())
        if (parameter.spec.name.find("c_proj") != std::string::npos ||
            parameter.spec.name == "wpe.weight")
            parameter.value.zero_();
    return model;
}

/// LN(wte[previous]) . wte[next] - log sum over all tokens, in double.
double bigram_log_prob(Gpt2& model, int64_t previous, int64_t next) {
    const at::Tensor table = model.find("wte.weight")->value.detach().to(at::kDouble).contiguous();
    const int64_t width = table.size(1);
    const double* row = table.data_ptr<double>() + previous * width;
    double mean = 0, variance = 0;
    for (int64_t c = 0; c < width; ++c) mean += row[c] / static_cast<double>(width);
    for (int64_t c = 0; c < width; ++c)
        variance += (row[c] - mean) * (row[c] - mean) / static_cast<double>(width);
    std::vector<double> logits;
    double sum = 0;
    for (int64_t v = 0; v < table.size(0); ++v) {
        double dot = 0;
        for (int64_t c = 0; c < width; ++c)
            dot += (row[c] - mean) / std::sqrt(variance + 1e-5) *
                   table.data_ptr<double>()[v * width + c];
        logits.push_back(dot);
        sum += std::exp(dot);
    }
    return logits[static_cast<size_t>(next)] - std::log(sum);
}

double log_prob_by_hand(Gpt2& model, const std::string& context, const std::string& ending) {
    const std::string text = context + ending;
    double sum = 0;
    for (size_t i = context.size(); i < text.size(); ++i)
        sum += bigram_log_prob(model, static_cast<unsigned char>(text[i - 1]),
                               static_cast<unsigned char>(text[i]));
    return sum;
}

Continuation continuation(const std::string& context, const std::string& ending) {
    return {bytes().encode(context), bytes().encode(ending)};
}

HellaswagItem item_of(const std::string& context, const std::array<std::string, 4>& endings,
                      int64_t label) {
    return {.line = 1, .context = context, .endings = endings, .label = label};
}

TEST(Continuations, ScoreIsTheSumOfLogProbabilitiesOfTheEnding) {
    Gpt2 model = bigram_model();
    const std::vector<Continuation> all = {continuation("ab", "cde"), continuation("x", "y")};
    const auto scores = score_continuations(model, all, 2);
    // fp32 against double: sums of at most 4 terms of a few nats each.
    EXPECT_NEAR(scores[0].log_prob, log_prob_by_hand(model, "ab", "cde"), 1e-5);
    EXPECT_NEAR(scores[1].log_prob, log_prob_by_hand(model, "x", "y"), 1e-5);
    EXPECT_EQ(scores[0].tokens, 3);
    EXPECT_EQ(scores[0].truncated, 0);
}

TEST(Continuations, PaddingAndBatchesDoNotChangeTheScore) {
    Gpt2 model = toy_model();
    std::mt19937 random(3);
    std::vector<Continuation> all;
    for (int i = 0; i < 13; ++i) {
        Continuation one;
        for (size_t n = 1 + random() % 12; n > 0; --n)
            one.context.push_back(static_cast<int32_t>(random() % 257));
        for (size_t n = 1 + random() % 9; n > 0; --n)
            one.ending.push_back(static_cast<int32_t>(random() % 257));
        all.push_back(one);
    }
    const auto alone = score_continuations(model, all, 1);
    for (int64_t batch : {2, 4, 13, 50}) {
        const auto together = score_continuations(model, all, batch);
        for (size_t i = 0; i < all.size(); ++i)
            EXPECT_NEAR(together[i].log_prob, alone[i].log_prob, 1e-5) << "batch " << batch;
    }
}

// 30 + 4 tokens in a context of 24: the last 20 of the context stay, the ending stays whole.
TEST(Continuations, TooLongLosesContextFromTheLeft) {
    Gpt2 model = toy_model();
    const std::string context = "thirty bytes of some context..";
    const auto scores = score_continuations(
        model, std::vector{continuation(context, "tail"), continuation(context.substr(10), "tail")},
        1);
    EXPECT_EQ(scores[0].truncated, 10);
    EXPECT_EQ(scores[0].log_prob, scores[1].log_prob);
}

TEST(Continuations, AnEndingWithoutRoomForContextIsRefused) {
    Gpt2 model = toy_model();
    EXPECT_NO_THROW(
        score_continuations(model, std::vector{continuation("c", std::string(23, 'e'))}, 1));
    test::expect_error(kData, {"24 tokens", "context of 24"}, [&] {
        score_continuations(model, std::vector{continuation("c", std::string(24, 'e'))}, 1);
    });
    test::expect_error(kData, {"context is empty"}, [&] {
        score_continuations(model, std::vector{Continuation{{}, {1}}}, 1);
    });
}

TEST(Hellaswag, ScoresAndChoosesAsComputedByHand) {
    Gpt2 model = bigram_model();
    const HellaswagItem item = item_of("it", {"a", "bc", "d", "efg"}, 2);
    for (const HellaswagStyle style : {HellaswagStyle::kHarness, HellaswagStyle::kCompletion}) {
        const auto scores = score_hellaswag(model, bytes(), std::vector{item}, style, 3);
        ASSERT_EQ(scores.size(), 1u);
        std::array<double, 4> by_hand{}, normalized{};
        for (size_t j = 0; j < 4; ++j) {
            by_hand[j] = log_prob_by_hand(model, "it", " " + item.endings[j]);
            EXPECT_NEAR(scores[0].log_prob[j], by_hand[j], 1e-5);
            // Characters of the ending without the blank; tokens with it (one a byte here).
            const double length = static_cast<double>(item.endings[j].size());
            EXPECT_EQ(scores[0].normalizer[j],
                      style == HellaswagStyle::kHarness ? length : length + 1);
            normalized[j] = by_hand[j] / scores[0].normalizer[j];
        }
        EXPECT_EQ(scores[0].choice,
                  std::max_element(by_hand.begin(), by_hand.end()) - by_hand.begin());
        EXPECT_EQ(scores[0].choice_normalized,
                  std::max_element(normalized.begin(), normalized.end()) - normalized.begin());
        EXPECT_EQ(scores[0].label, 2);
    }
}

TEST(Hellaswag, EqualEndingsTieToTheLowestIndex) {
    Gpt2 model = toy_model();
    const auto scores =
        score_hellaswag(model, bytes(), std::vector{item_of("it", {"z", "z", "z", "z"}, 3)},
                        HellaswagStyle::kHarness, 4);
    EXPECT_EQ(scores[0].choice, 0);
    EXPECT_EQ(scores[0].choice_normalized, 0);
}

TEST(Hellaswag, AnEndingThatDoesNotFitNamesItsLine) {
    Gpt2 model = toy_model();
    HellaswagItem item = item_of("it", {"a", "b", "c", std::string(30, 'd')}, 0);
    item.line = 17;
    test::expect_error(kData, {"line 17", "31 tokens", "context of 24"}, [&] {
        score_hellaswag(model, bytes(), std::vector{item}, HellaswagStyle::kHarness, 4);
    });
}

TEST(PerplexityWindows, DisjointOnesScoreAllButTheirFirstToken) {
    const auto windows = perplexity_windows(21, 10, 0);
    ASSERT_EQ(windows.size(), 2u);  // the last token is alone: nothing to score
    EXPECT_EQ(windows[1].begin, 10);
    EXPECT_EQ(windows[1].end, 20);
    EXPECT_EQ(windows[1].first_scored, 11);
}

TEST(PerplexityWindows, StridedOnesScoreEveryTokenButTheFirstOnce) {
    for (int64_t n : {2, 9, 10, 11, 37, 40})
        for (int64_t stride : {1, 3, 9}) {
            std::vector<int> times(static_cast<size_t>(n));
            int64_t begin = 0;
            for (const ScoredWindow& window : perplexity_windows(n, 10, stride)) {
                EXPECT_EQ(window.begin, begin);
                EXPECT_LE(window.end - window.begin, 10);
                EXPECT_GT(window.first_scored, window.begin);
                for (int64_t t = window.first_scored; t < window.end; ++t)
                    ++times[static_cast<size_t>(t)];
                begin += stride;
            }
            EXPECT_EQ(times[0], 0);
            for (size_t t = 1; t < times.size(); ++t)
                EXPECT_EQ(times[t], 1) << "n " << n << " token " << t;
        }
}

TEST(PerplexityWindows, WrongUseIsRefused) {
    test::expect_error(kUsage, {"stride 10", "1..9"}, [] { perplexity_windows(50, 10, 10); });
    test::expect_error(kUsage, {"stride -1"}, [] { perplexity_windows(50, 10, -1); });
    test::expect_error(kData, {"1 tokens"}, [] { perplexity_windows(1, 10, 0); });
}

class PerplexityOfText : public testing::Test {
protected:
    const std::string text_ = "the quick brown fox jumps over the lazy dog, twice over";
    test::TempDir dir_;
    data::TokenFile tokens_ = make();

    data::TokenFile make() {
        std::vector<int32_t> ids = bytes().encode(text_);
        ids.push_back(bytes().eot());
        data::write_tokens(dir_.file("t.bin"), ids, 257, data::TokenLayout::kPlain);
        return data::TokenFile::open({dir_.file("t.bin")});
    }
    int64_t id(int64_t at) const {
        return at < std::ssize(text_) ? static_cast<unsigned char>(text_[static_cast<size_t>(at)])
                                      : bytes().eot();
    }
};

TEST_F(PerplexityOfText, SumsTheLogProbabilitiesOfItsWindows) {
    Gpt2 model = bigram_model();
    for (int64_t stride : {0, 5, 23}) {
        const Perplexity result = measure_perplexity(model, tokens_, &bytes(), stride, 2);
        double nll = 0;
        int64_t count = 0, text = 0;
        for (const ScoredWindow& window : perplexity_windows(tokens_.size(), 24, stride))
            for (int64_t t = window.first_scored; t < window.end; ++t, ++count) {
                nll -= bigram_log_prob(model, id(t - 1), id(t));
                text += id(t) < 256;
            }
        EXPECT_NEAR(result.nll, nll, 1e-4);  // up to 55 terms in fp32
        EXPECT_EQ(result.tokens, count);
        EXPECT_EQ(result.bytes, text);  // end-of-text stands for no byte
        EXPECT_NEAR(result.bits_per_byte(), nll / (std::numbers::ln2 * static_cast<double>(text)),
                    1e-6);
        EXPECT_NEAR(result.perplexity(), std::exp(nll / static_cast<double>(count)), 1e-3);
    }
}

TEST_F(PerplexityOfText, DoesNotDependOnTheBatch) {
    Gpt2 model = toy_model();
    const double one = measure_perplexity(model, tokens_, nullptr, 7, 1).nll;
    for (int64_t batch : {2, 3, 100})
        EXPECT_NEAR(measure_perplexity(model, tokens_, nullptr, 7, batch).nll, one, 1e-4);
    EXPECT_TRUE(std::isnan(measure_perplexity(model, tokens_, nullptr, 7, 1).bits_per_byte()));
}

TEST(PerplexityValue, OverflowIsInfinityNotAClip) {
    EXPECT_EQ((Perplexity{.nll = 1e6, .tokens = 1}.perplexity()),
              std::numeric_limits<double>::infinity());
}

TEST(WriteLogits, HasARowATokenAndNoPadding) {
    config::Model config = toy_config();
    config.pad_vocab = 64;
    Gpt2 model = toy_model(1, 8, config);
    test::TempDir dir;
    const std::vector<int64_t> ids = {5, 6, 7, 256};
    write_logits(model, ids, dir.file("l.safetensors"));
    const SafetensorsFile file(dir.file("l.safetensors"));
    const TensorView* logits = file.find("logits");
    ASSERT_NE(logits, nullptr);
    EXPECT_EQ(logits->shape, (std::vector<int64_t>{4, 257}));
    // The last row's softmax scores what score_continuations says of any next token but the last.
    std::vector<float> values(4 * 257);
    std::memcpy(values.data(), logits->bytes.data(), logits->bytes.size());
    double sum = 0;
    for (int v = 0; v < 257; ++v) sum += std::exp(static_cast<double>(values[2 * 257 + v]));
    const auto score = score_continuations(model, std::vector<Continuation>{{{5, 6, 7}, {256}}}, 1);
    EXPECT_NEAR(values[2 * 257 + 256] - std::log(sum), score[0].log_prob, 1e-5);
}

TEST(WriteLogits, RefusesWhatTheModelCannotRead) {
    Gpt2 model = toy_model();
    test::TempDir dir;
    const auto refused = [&](const std::vector<int64_t>& ids, const char* says) {
        test::expect_error(kData, {says}, [&] { write_logits(model, ids, dir.file("x")); });
        EXPECT_FALSE(std::filesystem::exists(dir.file("x")));
    };
    refused({}, "0 ids");
    refused(std::vector<int64_t>(25, 1), "25 ids; between 1 and the context of 24");
    refused({1, 257}, "token 257 at position 1 is outside vocabulary 257");
    refused({-1}, "token -1");
}

}  // namespace
}  // namespace knlp::model
