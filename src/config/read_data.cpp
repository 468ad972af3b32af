#include "knlp/config/data.h"

#include "knlp/config/symbols.h"

#include "knlp/core/error.h"

#include <span>

namespace knlp::config {
namespace {

struct Named {
    const char* symbol;
    const char* name;
};
constexpr Named kDatasets[] = {
    {"GPT2_DATASET_LINUXDOC", "linuxdoc"},       {"GPT2_DATASET_SHAKESPEARE", "shakespeare"},
    {"GPT2_DATASET_FINEWEBEDU", "finewebedu"},   {"GPT2_DATASET_OPENWEBTEXT", "openwebtext"},
    {"GPT2_DATASET_TINYSTORIES", "tinystories"}, {"GPT2_DATASET_CUSTOM", "custom"},
    {"GPT2_DATASET_SYNTHETIC", "synthetic"},
};
constexpr Named kTokenizers[] = {
    {"GPT2_TOKENIZER_BYTE", "byte"},
    {"GPT2_TOKENIZER_CHAR", "char"},
    {"GPT2_TOKENIZER_BPE_TRAINED", "bpe"},
    {"GPT2_TOKENIZER_GPT2", "gpt2"},
};

std::string chosen(const Symbols& symbols, std::span<const Named> members) {
    for (const Named& member : members)
        if (symbols.on(member.symbol)) return member.name;
    KNLP_CHECK(!"one member of a choice is on");
    return "";
}

}  // namespace

Data read_data(const Symbols& symbols) {
    Data d;
    d.dataset = chosen(symbols, kDatasets);
    if (symbols.on("GPT2_DATASET_CUSTOM")) d.custom_path = symbols.text("GPT2_CUSTOM_DATASET_PATH");
    d.tokenizer = chosen(symbols, kTokenizers);
    if (symbols.has("GPT2_BPE_VOCAB")) d.bpe_vocab = symbols.integer("GPT2_BPE_VOCAB");
    d.allow_substitute = symbols.on("DATA_SUBSTITUTE");
    d.synthetic_fallback = symbols.on("DATA_SYNTHETIC_FALLBACK");
    d.eval_tokens = symbols.integer("GPT2_EVAL_TOKENS");
    return d;
}

}  // namespace knlp::config
