#pragma once

#include "knlp/model/hellaswag.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

namespace knlp::data {
class TokenFile;
class Tokenizer;
}  // namespace knlp::data

namespace knlp::model {

class Gpt2;

/// How much of a job is done; false ends it with what there is.
using ScoreProgress = std::function<bool(int64_t done, int64_t total)>;

/// A text whose end is scored, as ids. `context` is not empty.
struct Continuation {
    std::vector<int32_t> context, ending;
};
struct ContinuationScore {
    double log_prob = 0;    // sum over the ending of log p(token | everything before), nats
    int64_t tokens = 0;     // of the ending
    int64_t truncated = 0;  // context tokens dropped from the left to fit n_ctx
};
/// Scores every continuation, `batch` sequences of like length at once, padded on the right; the
/// score of one does not depend on `batch` by more than 1e-5. Error{kData} when an ending leaves no
/// room for a token of context. `bf16`: matrix products in bfloat16. Shorter than asked only when
/// progress said so.
std::vector<ContinuationScore> score_continuations(Gpt2& model, std::span<const Continuation> all,
                                                   int64_t batch, bool bf16 = false,
                                                   const ScoreProgress& progress = {});

/// Scores the four endings of every item. An empty context starts from end-of-text.
std::vector<ChoiceScore> score_hellaswag(Gpt2& model, const data::Tokenizer& tokenizer,
                                         std::span<const HellaswagItem> items, HellaswagStyle style,
                                         int64_t batch, bool bf16 = false,
                                         const ScoreProgress& progress = {});

/// A window of a full pass: it reads tokens [begin, end) and scores those from first_scored on.
struct ScoredWindow {
    int64_t begin = 0, end = 0, first_scored = 0;
};
/// stride 0: disjoint windows of n_ctx tokens, all but the first token of each scored. Otherwise
/// windows advance by `stride` and each token but the file's first is scored once, by the earliest
/// window that has it. Error{kUsage} unless 0 <= stride < n_ctx; Error{kData} when there are fewer
/// than 2 tokens.
std::vector<ScoredWindow> perplexity_windows(int64_t n_tokens, int64_t n_ctx, int64_t stride);

struct Perplexity {
    double nll = 0;  // sum over the scored tokens, nats
    int64_t tokens = 0, windows = 0;
    int64_t bytes = 0;             // of the scored tokens' text; 0 without a tokenizer
    double loss() const;           // nll / tokens
    double standard_error = 0;     // of the loss, over windows; NaN for one window
    double perplexity() const;     // exp(loss); infinity when it overflows
    double bits_per_byte() const;  // nll / (ln 2 * bytes); NaN when bytes is 0
};
/// Full pass over `tokens`. `tokenizer` may be null.
Perplexity measure_perplexity(Gpt2& model, const data::TokenFile& tokens,
                              const data::Tokenizer* tokenizer, int64_t stride, int64_t batch,
                              bool bf16 = false, const ScoreProgress& progress = {});

/// Bytes of text of ids; end-of-text stands for none.
int64_t text_bytes(std::span<const int64_t> ids, const data::Tokenizer& tokenizer);

/// Writes safetensors `path` with tensor `logits` [T, V] F32 of one sequence, without padded
/// vocabulary. Error{kData} when ids is empty, longer than n_ctx, or has an id outside the
/// vocabulary.
void write_logits(Gpt2& model, std::span<const int64_t> ids, const std::filesystem::path& path);

}  // namespace knlp::model
