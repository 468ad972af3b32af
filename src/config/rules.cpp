#include "knlp/config/symbols.h"

#include "knlp/core/error.h"

#include <initializer_list>

// Rules that Kconfig cannot say, because they compare numbers of different symbols. What a line of
// .config can break is checked before a build too: scripts/kconfig/rules.py.
namespace knlp::config {
namespace {

/// Ids of the published GPT-2 tokenizer.
constexpr int64_t kGpt2Vocab = 50257;

struct Rules {
    const Symbols& symbols;
    const Lines& lines;

    /// ".config:12: ", the first line that set one of these; "" where an override did.
    std::string at(std::initializer_list<std::string_view> names) const {
        std::string place;
        for (const std::string_view name : names) {
            const Origin origin = symbols.origin(name);
            if (origin != Origin::kDefault && origin != Origin::kDotConfig) return "";
            if (const auto line = lines.find(name); place.empty() && line != lines.end())
                place = line->second + ": ";
        }
        return place;
    }
    void check_model() const;
    void check_training() const;
    void check_optimizer() const;
};

void Rules::check_model() const {
    if (symbols.on("GPT2_MODEL_CUSTOM")) {
        const int64_t d_model = symbols.integer("GPT2_N_EMBD"),
                      n_head = symbols.integer("GPT2_N_HEAD");
        if (d_model % n_head != 0)
            fail_code(kConfig, "E_RANGE",
                      "{}GPT2_N_EMBD={} is no multiple of GPT2_N_HEAD={}; heads share the width "
                      "equally, so take {} or {}",
                      at({"GPT2_N_EMBD", "GPT2_N_HEAD"}), d_model, n_head,
                      d_model / n_head * n_head, (d_model / n_head + 1) * n_head);
    }
    const int64_t vocab = symbols.integer("GPT2_VOCAB_SIZE"),
                  pad = symbols.integer("GPT2_PAD_VOCAB");
    if (vocab > 0 && pad > vocab)
        fail_code(kConfig, "E_RANGE",
                  "{}GPT2_PAD_VOCAB={} is larger than GPT2_VOCAB_SIZE={}; allowed 1..{}",
                  at({"GPT2_PAD_VOCAB", "GPT2_VOCAB_SIZE"}), pad, vocab, vocab);
    const int64_t needed = symbols.on("GPT2_TOKENIZER_GPT2") ? kGpt2Vocab
                           : symbols.on("GPT2_TOKENIZER_BPE_TRAINED")
                               ? symbols.integer("GPT2_BPE_VOCAB")
                               : 0;
    if (vocab > 0 && vocab < needed)
        fail_code(
            kConfig, "E_RANGE",
            "{}GPT2_VOCAB_SIZE={} is smaller than the tokenizer's vocabulary of {}; allowed 0 "
            "(take the tokenizer's) or {} and more",
            at({"GPT2_VOCAB_SIZE"}), vocab, needed, needed);
}

void Rules::check_training() const {
    if (symbols.integer("GPT2_MAX_ITERS") == 0 && symbols.integer("GPT2_MAX_TOKENS") == 0 &&
        symbols.integer("GPT2_MAX_TIME") == 0)
        fail_code(kConfig, "E_RANGE",
                  "{}GPT2_MAX_ITERS=0, GPT2_MAX_TOKENS=0 and GPT2_MAX_TIME=0: the run would never "
                  "end; set one of them to more than 0",
                  at({"GPT2_MAX_ITERS", "GPT2_MAX_TOKENS", "GPT2_MAX_TIME"}));
    if (symbols.on("GPT2_DECAY_LR")) {
        const double lr = symbols.real("LEARNING_RATE"), min_lr = symbols.real("GPT2_MIN_LR");
        if (min_lr > lr)
            fail_code(kConfig, "E_RANGE",
                      "{}GPT2_MIN_LR={} is above LEARNING_RATE={}; allowed [0, {}]",
                      at({"GPT2_MIN_LR", "LEARNING_RATE"}), symbols.text("GPT2_MIN_LR"),
                      symbols.text("LEARNING_RATE"), symbols.text("LEARNING_RATE"));
    }
    if (symbols.on("GPT2_DATASET_CUSTOM") && symbols.text("GPT2_CUSTOM_DATASET_PATH").empty())
        fail_code(
            kConfig, "E_RANGE",
            "{}GPT2_CUSTOM_DATASET_PATH is empty, but GPT2_DATASET_CUSTOM=y; give a text file "
            "or a directory of token files",
            at({"GPT2_CUSTOM_DATASET_PATH", "GPT2_DATASET_CUSTOM"}));
}

void Rules::check_optimizer() const {
    if (!symbols.on("OPTIMIZER_SELECT_ADAMWSPAM")) return;
    const int64_t interval = symbols.integer("SPAM_INTERVAL");
    if (interval == 0) return;
    const int64_t warmup = symbols.integer("SPAM_WARMUP_STEPS");
    if (warmup > interval)
        fail_code(kConfig, "E_RANGE",
                  "{}SPAM_WARMUP_STEPS={} does not end by the next reset, SPAM_INTERVAL={}; "
                  "allowed 0..{}",
                  at({"SPAM_WARMUP_STEPS", "SPAM_INTERVAL"}), warmup, interval, interval);
}

}  // namespace

void check_rules(const Symbols& symbols, const Lines& lines) {
    const Rules rules{symbols, lines};
    rules.check_model();
    rules.check_training();
    rules.check_optimizer();
}

}  // namespace knlp::config
