#pragma once

#include "knlp/model/sampling.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::data {
class Tokenizer;
}

namespace knlp::model {

class Gpt2;

/// What happens when a row has filled the context of the model.
enum class Overflow {
    kStop,   // the row ends
    kSlide,  // its last n_ctx / 2 tokens are read again and it goes on
};

struct GenerationOptions {
    SamplingOptions sampling;
    int64_t max_tokens = 200;       // new tokens a row, at least 0
    std::vector<std::string> stop;  // a row ends before the first of these texts
    bool stop_at_eot = true;        // a row ends at the tokenizer's end-of-text, which is not shown
    bool use_cache = true;          // false: every step runs the whole context again
    int64_t prefill_chunk = 1024;   // prompt tokens of a row read at once
    Overflow overflow = Overflow::kStop;
    bool truncate_left = false;  // a prompt too long loses its first tokens instead of an error
    bool bf16 = false;           // matrix products in bfloat16
    std::function<bool()> should_stop;  // asked before every forward pass; true ends all rows
};

enum class FinishReason { kLength, kStopText, kEndOfText, kContextFull, kInterrupted };
std::string_view name_of(
    FinishReason reason);  // length stop_text end_of_text context_full interrupted

struct GeneratedRow {
    std::vector<int32_t> ids;  // new tokens, without the end-of-text that ended the row
    std::string text;          // their text, up to a stop text
    FinishReason reason = FinishReason::kLength;
    int64_t prompt_tokens = 0;     // as read, after truncation
    int64_t truncated_tokens = 0;  // dropped from the left
};

struct GenerationStats {
    int64_t prompt_tokens = 0, new_tokens = 0;  // over all rows
    double first_token_s = 0;                   // from the call to the first new token
    double decode_s = 0;                        // from the first new token to the end
    int64_t cache_bytes = 0;                    // largest allocation
    /// New tokens after the first of each row, per second of decode_s; 0 when there are none.
    double tokens_per_s = 0;
};

struct GenerationResult {
    std::vector<GeneratedRow> rows;
    GenerationStats stats;
};

/// Hears the text of a row as it becomes certain: whole UTF-8 characters only, nothing that may yet
/// turn out to be the start of a stop text. All pieces of a row together are its `text`.
using TextListener = std::function<void(int64_t row, std::string_view text)>;

/// Continues every prompt (token ids; an empty one starts from end-of-text). Prompts may differ in
/// length: rows are padded on the left, and a row's tokens do not depend on its neighbours.
/// Cached and uncached runs choose the same tokens when greedy.
/// Error{kUsage} when a prompt does not fit: "prompt has 1300 tokens, context is 1024 (use
/// --truncate left)". Error{kData} when a prompt has an id outside the vocabulary.
GenerationResult generate(Gpt2& model, const data::Tokenizer& tokenizer,
                          std::span<const std::vector<int32_t>> prompts,
                          const GenerationOptions& options, const TextListener& listener = {});

/// The continuation of one prompt, without the prompt.
std::string generate_text(Gpt2& model, const data::Tokenizer& tokenizer, std::string_view prompt,
                          const GenerationOptions& options);

}  // namespace knlp::model
