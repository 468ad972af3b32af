#include "knlp/config/symbols.h"

#include "knlp/core/error.h"

// Rules that Kconfig cannot say, because they compare numbers of different symbols.
namespace knlp::config {
namespace {

/// Ids of the published GPT-2 tokenizer.
constexpr int64_t kGpt2Vocab = 50257;

void check_model(const Symbols& symbols) {
    if (symbols.on("GPT2_MODEL_CUSTOM")) {
        const int64_t d_model = symbols.integer("GPT2_N_EMBD"),
                      n_head = symbols.integer("GPT2_N_HEAD");
        if (d_model % n_head != 0)
            fail_code(kConfig, "E_RANGE",
                      "GPT2_N_EMBD={} is no multiple of GPT2_N_HEAD={}; heads share the width "
                      "equally, so take {} or {}",
                      d_model, n_head, d_model / n_head * n_head, (d_model / n_head + 1) * n_head);
    }
    const int64_t vocab = symbols.integer("GPT2_VOCAB_SIZE"),
                  pad = symbols.integer("GPT2_PAD_VOCAB");
    if (vocab > 0 && pad > vocab)
        fail_code(kConfig, "E_RANGE",
                  "GPT2_PAD_VOCAB={} is larger than GPT2_VOCAB_SIZE={}; allowed 1..{}", pad, vocab,
                  vocab);
    const int64_t needed = symbols.on("GPT2_TOKENIZER_GPT2") ? kGpt2Vocab
                           : symbols.on("GPT2_TOKENIZER_BPE_TRAINED")
                               ? symbols.integer("GPT2_BPE_VOCAB")
                               : 0;
    if (vocab > 0 && vocab < needed)
        fail_code(kConfig, "E_RANGE",
                  "GPT2_VOCAB_SIZE={} is smaller than the tokenizer's vocabulary of {}; allowed 0 "
                  "(take the tokenizer's) or {} and more",
                  vocab, needed, needed);
}

void check_training(const Symbols& symbols) {
    if (symbols.integer("GPT2_MAX_ITERS") == 0 && symbols.integer("GPT2_MAX_TOKENS") == 0 &&
        symbols.integer("GPT2_MAX_TIME") == 0)
        fail_code(kConfig, "E_RANGE",
                  "GPT2_MAX_ITERS=0, GPT2_MAX_TOKENS=0 and GPT2_MAX_TIME=0: the run would never "
                  "end; set one of them to more than 0");
    if (symbols.on("GPT2_DECAY_LR")) {
        const double lr = symbols.real("LEARNING_RATE"), min_lr = symbols.real("GPT2_MIN_LR");
        if (min_lr > lr)
            fail_code(kConfig, "E_RANGE",
                      "GPT2_MIN_LR={} is above LEARNING_RATE={}; allowed [0, {}]",
                      symbols.text("GPT2_MIN_LR"), symbols.text("LEARNING_RATE"),
                      symbols.text("LEARNING_RATE"));
    }
    if (symbols.on("GPT2_DATASET_CUSTOM") && symbols.text("GPT2_CUSTOM_DATASET_PATH").empty())
        fail_code(kConfig, "E_RANGE",
                  "GPT2_CUSTOM_DATASET_PATH is empty, but GPT2_DATASET_CUSTOM=y; give a text file "
                  "or a directory of token files");
}

void check_optimizer(const Symbols& symbols) {
    if (!symbols.on("OPTIMIZER_SELECT_ADAMWSPAM")) return;
    const int64_t interval = symbols.integer("SPAM_INTERVAL");
    if (interval == 0) return;
    const int64_t warmup = symbols.integer("SPAM_WARMUP_STEPS");
    if (warmup > interval)
        fail_code(kConfig, "E_RANGE",
                  "SPAM_WARMUP_STEPS={} does not end by the next reset, SPAM_INTERVAL={}; "
                  "allowed 0..{}",
                  warmup, interval, interval);
}

}  // namespace

void check_rules(const Symbols& symbols) {
    check_model(symbols);
    check_training(symbols);
    check_optimizer(symbols);
}

}  // namespace knlp::config
