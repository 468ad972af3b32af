#include "knlp/model/generation.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/decoder.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/parameter.h"
#include "knlp/model/tensor_device.h"
#include "knlp/model/text_stream.h"

#include <algorithm>
#include <optional>

namespace knlp::model {
namespace {

/// A prompt being continued.
struct Row {
    int64_t index = 0;             // in the caller's order; names the row's random numbers
    std::vector<int32_t> context;  // what the model sees: prompt and new tokens, less what slid out
    TextStream stream;
    GeneratedRow out;
    bool finished = false;

    int64_t length() const { return std::ssize(context); }
    int64_t drawn() const { return std::ssize(out.ids); }
};
using Rows = std::vector<Row*>;

/// Runs the model over the contexts of the active rows and gives the logits that follow each.
class Reader {
public:
    Reader(Gpt2& model, const GenerationOptions& options) : model_(model), options_(options) {
        if (Decoder::suits(model)) decoder_.emplace(model, options.bf16);
    }

    /// Logits [rows, V] after the last token of each context; null when asked to stop. Reads all
    /// contexts anew.
    const float* read(const Rows& rows) {
        return options_.use_cache ? prefill(rows) : read_uncached(rows);
    }

    /// The same when each context has grown by one token since the last call for these rows.
    const float* step(const Rows& rows) {
        // Rows padded on the left fill their slots before they fill their context: reading them
        // anew drops the padding that a longer row, finished by now, had caused.
        if (!options_.use_cache || cache_->length() == model_.config().n_ctx) return read(rows);
        if (stop_asked()) return nullptr;
        ids_.clear();
        for (const Row* row : rows) ids_.push_back(row->context.back());
        run(ids_, std::ssize(rows), &*cache_, logits_for(rows));
        return logits_.data();
    }

    /// Leaves only these rows (positions in the last call's list, ascending) in the cache.
    void keep(const std::vector<int64_t>& positions) {
        if (!cache_) return;
        const at::Tensor index =
            at::tensor(positions, at::kLong).to(tensor_device(model_.device()));
        for (int64_t layer = 0; layer < model_.config().n_layer; ++layer)
            for (at::Tensor& lane : cache_->layer(layer).lanes) lane = lane.index_select(0, index);
        if (cache_->row_start.empty()) return;
        std::vector<int64_t> starts;
        for (int64_t position : positions)
            starts.push_back(cache_->row_start[static_cast<size_t>(position)]);
        cache_->row_start = std::move(starts);
    }

    int64_t largest_cache_bytes() const { return largest_cache_bytes_; }

private:
    bool stop_asked() const { return options_.should_stop && options_.should_stop(); }

    float* logits_for(const Rows& rows) {
        logits_.resize(rows.size() * static_cast<size_t>(model_.config().vocab_size));
        return logits_.data();
    }

    /// ids [rows, q_len]; logits null: not wanted. Without a cache there is one row.
    void run(std::span<const int32_t> ids, int64_t rows, KvCache* cache, float* logits) {
        if (!decoder_)
            run_generic(ids, rows, cache, logits);
        else if (cache != nullptr)
            decoder_->read(ids, rows, *cache, logits);
        else
            decoder_->read(ids, logits);
    }

    /// Any attention variant on any device, by LibTorch's operators.
    void run_generic(std::span<const int32_t> ids, int64_t rows, KvCache* cache, float* logits) {
        ForwardContext context;
        context.bf16 = options_.bf16;
        const at::Tensor input =
            at::tensor(at::ArrayRef<int32_t>(ids.data(), ids.size()), at::kLong).view({rows, -1});
        const at::Tensor hidden =
            model_.hidden(input.to(tensor_device(model_.device())), context, cache);
        if (logits == nullptr) return;
        const int64_t vocab_size = model_.config().vocab_size;
        at::from_blob(logits, {rows, vocab_size}, at::kFloat)
            .copy_(model_.logits(hidden.select(1, -1), context).narrow(1, 0, vocab_size));
    }

    const float* read_uncached(const Rows& rows) {
        float* logits = logits_for(rows);
        for (const Row* row : rows) {
            if (stop_asked()) return nullptr;
            run(row->context, 1, nullptr, logits);
            logits += model_.config().vocab_size;
        }
        return logits_.data();
    }

    const float* prefill(const Rows& rows) {
        const int64_t n_ctx = model_.config().n_ctx;
        int64_t longest = 0, capacity = 0;
        for (const Row* row : rows) longest = std::max(longest, row->length());
        std::vector<int64_t> starts;
        for (const Row* row : rows) {
            const int64_t left = options_.max_tokens - row->drawn();
            starts.push_back(longest - row->length());
            // The last token drawn is never read: hence the - 1.
            capacity =
                std::max(capacity, starts.back() + row->length() + std::min(left, n_ctx) - 1);
        }
        capacity = std::min(capacity, n_ctx);
        cache_.reset();  // before the next is allocated
        cache_.emplace(decoder_ ? decoder_->cache_specs() : cache_specs(model_.config()),
                       std::ssize(rows), capacity, model_.device());
        if (std::ranges::max(starts) > 0) cache_->row_start = starts;
        largest_cache_bytes_ = std::max(largest_cache_bytes_, cache_->bytes());
        for (int64_t from = 0; from < longest; from += options_.prefill_chunk) {
            if (stop_asked()) return nullptr;
            const int64_t to = std::min(longest, from + options_.prefill_chunk);
            ids_.clear();
            for (size_t i = 0; i < rows.size(); ++i)
                for (int64_t slot = from; slot < to; ++slot)
                    ids_.push_back(slot < starts[i]
                                       ? 0
                                       : rows[i]->context[static_cast<size_t>(slot - starts[i])]);
            run(ids_, std::ssize(rows), &*cache_, to == longest ? logits_for(rows) : nullptr);
        }
        return logits_.data();
    }

    Gpt2& model_;
    const GenerationOptions& options_;
    std::optional<Decoder> decoder_;
    std::optional<KvCache> cache_;
    std::vector<int32_t> ids_;
    std::vector<float> logits_;
    int64_t largest_cache_bytes_ = 0;
};

/// Token a row starts from when its prompt is empty.
int32_t first_token(const data::Tokenizer& tokenizer) {
    if (tokenizer.eot() >= 0) return tokenizer.eot();
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
        if (tokenizer.bytes_of(id) == "\n") return id;
    return 0;
}

Row make_row(int64_t index, std::span<const int32_t> prompt, const config::Model& model,
             const data::Tokenizer& tokenizer, const GenerationOptions& options) {
    Row row{.index = index, .context = {}, .stream = TextStream(options.stop), .out = {}};
    for (size_t i = 0; i < prompt.size(); ++i)
        if (prompt[i] < 0 || prompt[i] >= model.vocab_size)
            fail(kData,
                 "prompt {}: token {} at position {} is outside vocabulary {}; was the prompt "
                 "encoded with this model's tokenizer?",
                 index, prompt[i], i, model.vocab_size);
    const auto n_tokens = std::ssize(prompt);
    if (n_tokens > model.n_ctx && !options.truncate_left)
        fail(kUsage, "prompt has {} tokens, context is {} (use --truncate left)", n_tokens,
             model.n_ctx);
    row.out.truncated_tokens = std::max<int64_t>(0, n_tokens - model.n_ctx);
    const auto kept = prompt.subspan(static_cast<size_t>(row.out.truncated_tokens));
    row.context.assign(kept.begin(), kept.end());
    if (row.context.empty()) row.context.push_back(first_token(tokenizer));
    row.out.prompt_tokens = row.length();
    return row;
}

void check_options(const GenerationOptions& options) {
    check_sampling(options.sampling);
    if (options.max_tokens < 0)
        fail(kUsage, "number of new tokens {} is negative", options.max_tokens);
    if (options.prefill_chunk < 1)
        fail(kUsage, "prefill chunk {} is not a positive number of tokens", options.prefill_chunk);
}

void tell(const TextListener& listener, const Row& row, const std::string& text) {
    if (listener && !text.empty()) listener(row.index, text);
}

void finish(Row& row, FinishReason reason, const TextListener& listener) {
    tell(listener, row, row.stream.finish());
    row.finished = true;
    row.out.reason = reason;
}

/// Adds a drawn token to its row; ends the row or lets its context slide when that is due. True
/// when the context slid, so that it must be read anew.
bool accept(Row& row, int32_t token, const data::Tokenizer& tokenizer, int64_t n_ctx,
            const GenerationOptions& options, const TextListener& listener) {
    if (options.stop_at_eot && token == tokenizer.eot()) {
        finish(row, FinishReason::kEndOfText, listener);
        return false;
    }
    row.out.ids.push_back(token);
    row.context.push_back(token);
    tell(listener, row,
         row.stream.push(token == tokenizer.eot() ? data::kEndOfText : tokenizer.bytes_of(token)));
    if (row.stream.stopped()) {
        finish(row, FinishReason::kStopText, listener);
    } else if (row.drawn() >= options.max_tokens) {
        finish(row, FinishReason::kLength, listener);
    } else if (row.length() > n_ctx) {
        if (options.overflow == Overflow::kStop) {
            finish(row, FinishReason::kContextFull, listener);
        } else {
            row.context.erase(row.context.begin(),
                              row.context.end() - std::max<int64_t>(1, n_ctx / 2));
            return true;
        }
    }
    return false;
}

}  // namespace

std::string_view name_of(FinishReason reason) {
    switch (reason) {
        case FinishReason::kLength:
            return "length";
        case FinishReason::kStopText:
            return "stop_text";
        case FinishReason::kEndOfText:
            return "end_of_text";
        case FinishReason::kContextFull:
            return "context_full";
        case FinishReason::kInterrupted:
            return "interrupted";
    }
    return "";
}

GenerationResult generate(Gpt2& model, const data::Tokenizer& tokenizer,
                          std::span<const std::vector<int32_t>> prompts,
                          const GenerationOptions& options, const TextListener& listener) {
    check_options(options);
    const at::NoGradGuard no_grad;
    const double started = steady_seconds();
    const config::Model& config = model.config();
    // A model may have more rows in its table than its tokenizer has tokens: those mean nothing.
    const auto known = static_cast<size_t>(std::min(config.vocab_size, tokenizer.vocab_size()));
    const Sampler sampler(options.sampling);

    std::vector<Row> rows;
    for (size_t i = 0; i < prompts.size(); ++i)
        rows.push_back(make_row(static_cast<int64_t>(i), prompts[i], config, tokenizer, options));
    Rows active;
    if (options.max_tokens > 0)
        for (Row& row : rows) active.push_back(&row);

    GenerationResult result;
    int64_t rounds = 0;
    Reader reader(model, options);
    bool read_anew = true;
    while (!active.empty()) {
        const float* logits = read_anew ? reader.read(active) : reader.step(active);
        if (logits == nullptr) {
            for (Row* row : active) finish(*row, FinishReason::kInterrupted, listener);
            break;
        }
        read_anew = false;
        Rows going;
        std::vector<int64_t> positions;
        for (size_t i = 0; i < active.size(); ++i) {
            Row& row = *active[i];
            const float* own = logits + static_cast<int64_t>(i) * config.vocab_size;
            const int32_t token = sampler.draw({own, known}, row.drawn(), row.index);
            read_anew |= accept(row, token, tokenizer, config.n_ctx, options, listener);
            if (row.finished) continue;
            going.push_back(&row);
            positions.push_back(static_cast<int64_t>(i));
        }
        if (++rounds == 1) result.stats.first_token_s = steady_seconds() - started;
        if (going.size() < active.size() && !going.empty() && !read_anew) reader.keep(positions);
        active = std::move(going);
    }

    GenerationStats& stats = result.stats;
    const double total = steady_seconds() - started;
    stats.cache_bytes = reader.largest_cache_bytes();
    int64_t later_tokens = 0;
    for (Row& row : rows) {
        row.out.text = row.stream.text();
        stats.prompt_tokens += row.out.prompt_tokens;
        stats.new_tokens += row.drawn();
        later_tokens += std::max<int64_t>(0, row.drawn() - 1);
        result.rows.push_back(std::move(row.out));
    }
    if (rounds > 0) stats.decode_s = total - stats.first_token_s;
    if (later_tokens > 0 && stats.decode_s > 0)
        stats.tokens_per_s = static_cast<double>(later_tokens) / stats.decode_s;
    return result;
}

std::string generate_text(Gpt2& model, const data::Tokenizer& tokenizer, std::string_view prompt,
                          const GenerationOptions& options) {
    const std::vector<std::vector<int32_t>> prompts = {tokenizer.encode(prompt)};
    return generate(model, tokenizer, prompts, options).rows.front().text;
}

}  // namespace knlp::model
