#include "knlp/model/parameter.h"
#include "knlp/model/scoring.h"

#include "knlp/core/error.h"
#include "knlp/core/safetensors.h"
#include "knlp/data/token_file.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/decoder.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/tensor_device.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <optional>

namespace knlp::model {
namespace {

/// Sequences side by side, padded on the right; targets -1 where nothing is scored.
struct Padded {
    at::Tensor ids, targets;  // [B, T] int64
    int64_t* row(const at::Tensor& tensor, int64_t index) const {
        return tensor.data_ptr<int64_t>() + index * tensor.size(1);
    }
};

Padded padded(int64_t rows, int64_t length) {
    return {at::zeros({rows, length}, at::kLong), at::full({rows, length}, -1, at::kLong)};
}

/// Runs a model over batches of sequences.
class Scorer {
public:
    Scorer(Gpt2& model, bool bf16) : model_(model), bf16_(bf16) {
        if (Decoder::suits(model)) decoder_.emplace(model, bf16);
    }

    /// NLL of every target, [B, T] fp32 on the CPU, 0 where there is none.
    at::Tensor run(const Padded& input) {
        if (decoder_) {
            at::Tensor nll = at::empty(input.ids.sizes(), at::kFloat);
            decoder_->token_nll(span_of(input.ids), span_of(input.targets), nll.size(0),
                                nll.data_ptr<float>());
            return nll;
        }
        ForwardContext context;
        context.bf16 = bf16_;
        const at::Device device = tensor_device(model_.device());
        return model_.token_nll(input.ids.to(device), input.targets.to(device), context)
            .to(at::kCPU, at::kFloat)
            .contiguous();
    }

private:
    static std::span<const int64_t> span_of(const at::Tensor& ids) {
        return {ids.const_data_ptr<int64_t>(), static_cast<size_t>(ids.numel())};
    }

    Gpt2& model_;
    bool bf16_;
    std::optional<Decoder> decoder_;
};

double row_sum(const at::Tensor& nll, int64_t row) {
    const float* values = nll.data_ptr<float>() + row * nll.size(1);
    return std::accumulate(values, values + nll.size(1), 0.0);
}

void check_fits(const Continuation& text, int64_t n_ctx, size_t index) {
    if (text.context.empty() || text.ending.empty())
        fail(kData, "continuation {}: {} is empty", index,
             text.context.empty() ? "context" : "ending");
    if (std::ssize(text.ending) >= n_ctx)
        fail(kData, "continuation {}: its ending has {} tokens, a context of {} leaves room for {}",
             index, text.ending.size(), n_ctx, n_ctx - 1);
}

/// Tokens of the sequence as it is run: at most n_ctx.
int64_t length_of(const Continuation& text, int64_t n_ctx) {
    return std::min(n_ctx, std::ssize(text.context) + std::ssize(text.ending));
}

/// Puts one continuation into a row: its last token is only ever a target.
void place(const Continuation& text, int64_t n_ctx, const Padded& input, int64_t row) {
    const int64_t length = length_of(text, n_ctx);
    const int64_t context = length - std::ssize(text.ending);
    std::vector<int64_t> ids(text.context.end() - context, text.context.end());
    ids.insert(ids.end(), text.ending.begin(), text.ending.end());
    std::copy(ids.begin(), ids.end() - 1, input.row(input.ids, row));
    std::copy(ids.begin() + context, ids.end(), input.row(input.targets, row) + context - 1);
}

}  // namespace

std::vector<ContinuationScore> score_continuations(Gpt2& model, std::span<const Continuation> all,
                                                   int64_t batch, bool bf16,
                                                   const ScoreProgress& progress) {
    KNLP_CHECK(batch > 0);
    const at::NoGradGuard no_grad;
    const int64_t n_ctx = model.config().n_ctx;
    for (size_t i = 0; i < all.size(); ++i) check_fits(all[i], n_ctx, i);

    Scorer scorer(model, bf16);
    std::vector<ContinuationScore> scores(all.size());
    // Batches are neighbours in the caller's order, so that an interruption leaves a prefix.
    for (size_t first = 0; first < all.size(); first += static_cast<size_t>(batch)) {
        const auto group =
            all.subspan(first, std::min<size_t>(static_cast<size_t>(batch), all.size() - first));
        int64_t longest = 0;
        for (const Continuation& text : group) longest = std::max(longest, length_of(text, n_ctx));
        const Padded input = padded(std::ssize(group), longest - 1);
        for (size_t i = 0; i < group.size(); ++i)
            place(group[i], n_ctx, input, static_cast<int64_t>(i));
        const at::Tensor nll = scorer.run(input);
        for (size_t i = 0; i < group.size(); ++i) {
            const auto total = std::ssize(group[i].context) + std::ssize(group[i].ending);
            scores[first + i] = {.log_prob = -row_sum(nll, static_cast<int64_t>(i)),
                                 .tokens = std::ssize(group[i].ending),
                                 .truncated = std::max<int64_t>(0, total - n_ctx)};
        }
        const auto done = static_cast<int64_t>(first + group.size());
        if (progress && !progress(done, std::ssize(all))) {
            scores.resize(static_cast<size_t>(done));
            break;
        }
    }
    return scores;
}

std::vector<ChoiceScore> score_hellaswag(Gpt2& model, const data::Tokenizer& tokenizer,
                                         std::span<const HellaswagItem> items, HellaswagStyle style,
                                         int64_t batch, bool bf16, const ScoreProgress& progress) {
    std::vector<Continuation> texts;
    for (const HellaswagItem& item : items) {
        Continuation text;
        tokenizer.encode(item.context, text.context);
        if (text.context.empty() && tokenizer.eot() >= 0) text.context.push_back(tokenizer.eot());
        for (const std::string& ending : item.endings) {
            text.ending = tokenizer.encode(" " + ending);
            if (std::ssize(text.ending) >= model.config().n_ctx)
                fail(kData, "line {}: an ending of {} tokens does not fit a context of {}",
                     item.line, text.ending.size(), model.config().n_ctx);
            texts.push_back(text);
        }
    }
    const ScoreProgress in_items = [&](int64_t done, int64_t total) {
        return !progress || progress(done / 4, total / 4);
    };
    const std::vector<ContinuationScore> parts =
        score_continuations(model, texts, batch, bf16, in_items);

    std::vector<ChoiceScore> scores(parts.size() / 4);
    for (size_t i = 0; i < scores.size(); ++i) {
        scores[i].line = items[i].line;
        scores[i].label = items[i].label;
        for (size_t j = 0; j < 4; ++j) {
            scores[i].log_prob[j] = parts[4 * i + j].log_prob;
            scores[i].normalizer[j] = static_cast<double>(
                style == HellaswagStyle::kHarness ? count_characters(items[i].endings[j])
                                                  : parts[4 * i + j].tokens);
        }
        choose(scores[i]);
    }
    return scores;
}

std::vector<ScoredWindow> perplexity_windows(int64_t n_tokens, int64_t n_ctx, int64_t stride) {
    if (n_tokens < 2) fail(kData, "{} tokens; at least 2 are needed for a perplexity", n_tokens);
    if (stride < 0 || stride >= n_ctx)
        fail(kUsage, "stride {} is outside 1..{} (the context is {})", stride, n_ctx - 1, n_ctx);
    std::vector<ScoredWindow> windows;
    int64_t scored_to = 0;  // first token no window has scored yet
    for (int64_t begin = 0; begin<n_tokens; begin += stride> 0 ? stride : n_ctx) {
        const int64_t end = std::min(n_tokens, begin + n_ctx);
        const int64_t first = std::max(begin + 1, stride > 0 ? scored_to : begin + 1);
        if (first < end) windows.push_back({begin, end, first});
        scored_to = end;
        if (end == n_tokens) break;
    }
    return windows;
}

double Perplexity::loss() const {
    return nll / static_cast<double>(tokens);
}
double Perplexity::perplexity() const {
    return std::exp(loss());
}
double Perplexity::bits_per_byte() const {
    if (bytes == 0) return std::numeric_limits<double>::quiet_NaN();
    return nll / (std::numbers::ln2 * static_cast<double>(bytes));
}

int64_t text_bytes(std::span<const int64_t> ids, const data::Tokenizer& tokenizer) {
    int64_t bytes = 0;
    for (int64_t id : ids)
        if (id != tokenizer.eot())
            bytes += std::ssize(tokenizer.bytes_of(static_cast<int32_t>(id)));
    return bytes;
}

Perplexity measure_perplexity(Gpt2& model, const data::TokenFile& tokens,
                              const data::Tokenizer* tokenizer, int64_t stride, int64_t batch,
                              bool bf16, const ScoreProgress& progress) {
    KNLP_CHECK(batch > 0);
    const at::NoGradGuard no_grad;
    const std::vector<ScoredWindow> windows =
        perplexity_windows(tokens.size(), model.config().n_ctx, stride);
    Scorer scorer(model, bf16);
    Perplexity total;
    double sum = 0, sum_squares = 0;  // of the windows' mean losses
    std::vector<int64_t> ids;
    for (size_t at = 0; at < windows.size(); at += static_cast<size_t>(batch)) {
        const auto group = std::span(windows).subspan(
            at, std::min<size_t>(static_cast<size_t>(batch), windows.size() - at));
        const Padded input = padded(std::ssize(group), group.front().end - group.front().begin - 1);
        for (size_t i = 0; i < group.size(); ++i) {
            const ScoredWindow& window = group[i];
            const auto row = static_cast<int64_t>(i);
            ids.resize(static_cast<size_t>(window.end - window.begin));
            tokens.read(window.begin, ids);
            const auto scored = ids.begin() + (window.first_scored - window.begin);
            std::copy(ids.begin(), ids.end() - 1, input.row(input.ids, row));
            std::copy(scored, ids.end(),
                      input.row(input.targets, row) + (scored - ids.begin()) - 1);
            total.tokens += window.end - window.first_scored;
            if (tokenizer) total.bytes += text_bytes({scored, ids.end()}, *tokenizer);
        }
        const at::Tensor nll = scorer.run(input);
        for (size_t i = 0; i < group.size(); ++i) {
            const double window_nll = row_sum(nll, static_cast<int64_t>(i));
            const double mean =
                window_nll / static_cast<double>(group[i].end - group[i].first_scored);
            total.nll += window_nll;
            sum += mean;
            sum_squares += mean * mean;
        }
        total.windows += std::ssize(group);
        if (progress && !progress(total.windows, std::ssize(windows))) break;
    }
    const auto n = static_cast<double>(total.windows);
    total.standard_error =
        total.windows > 1 ? std::sqrt(std::max(0.0, (sum_squares - sum * sum / n) / (n - 1)) / n)
                          : std::numeric_limits<double>::quiet_NaN();
    return total;
}

void write_logits(Gpt2& model, std::span<const int64_t> ids, const std::filesystem::path& path) {
    const at::NoGradGuard no_grad;
    const config::Model& config = model.config();
    if (ids.empty() || std::ssize(ids) > config.n_ctx)
        fail(kData, "{} ids; between 1 and the context of {} are wanted", ids.size(), config.n_ctx);
    for (size_t i = 0; i < ids.size(); ++i)
        if (ids[i] < 0 || ids[i] >= config.vocab_size)
            fail(kData, "token {} at position {} is outside vocabulary {}", ids[i], i,
                 config.vocab_size);
    ForwardContext context;
    context.bf16 = model.find("wte.weight")->value.scalar_type() == at::kBFloat16;
    const at::Tensor input = at::tensor(at::ArrayRef<int64_t>(ids.data(), ids.size()), at::kLong)
                                 .unsqueeze(0)
                                 .to(tensor_device(model.device()));
    const at::Tensor logits = model.logits(model.hidden(input, context), context)
                                  .squeeze(0)
                                  .slice(1, 0, config.vocab_size)
                                  .to(at::kCPU, at::kFloat)
                                  .contiguous();
    const auto bytes =
        std::as_bytes(std::span(logits.data_ptr<float>(), static_cast<size_t>(logits.numel())));
    write_safetensors(path,
                      {{.name = "logits",
                        .dtype = Dtype::kF32,
                        .shape = logits.sizes().vec(),
                        .bytes = [bytes] { return bytes; }}},
                      {});
}

}  // namespace knlp::model
