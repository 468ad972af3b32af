#include "knlp/config/model.h"

#include "knlp/config/symbols.h"

#include "knlp/core/error.h"

namespace knlp::config {
namespace {

/// Published sizes, and two of ours for small machines.
struct Size {
    const char* symbol;
    const char* name;
    int64_t n_layer, n_head, d_model;
};
constexpr Size kSizes[] = {
    {"GPT2_MODEL_NANO", "nano", 4, 4, 128},    {"GPT2_MODEL_TINY", "tiny", 6, 8, 512},
    {"GPT2_MODEL_124M", "124M", 12, 12, 768},  {"GPT2_MODEL_350M", "350M", 24, 16, 1024},
    {"GPT2_MODEL_774M", "774M", 36, 20, 1280}, {"GPT2_MODEL_1558M", "1558M", 48, 25, 1600},
};

void read_size(const Symbols& symbols, Model& m) {
    for (const Size& size : kSizes) {
        if (!symbols.on(size.symbol)) continue;
        m.size = size.name;
        m.n_layer = size.n_layer;
        m.n_head = size.n_head;
        m.d_model = size.d_model;
        return;
    }
    KNLP_CHECK(symbols.on("GPT2_MODEL_CUSTOM"));
    m.size = "custom";
    m.n_layer = symbols.integer("GPT2_N_LAYER");
    m.n_head = symbols.integer("GPT2_N_HEAD");
    m.d_model = symbols.integer("GPT2_N_EMBD");
}

}  // namespace

Model read_model(const Symbols& symbols) {
    Model m;
    KNLP_CHECK(symbols.on("MODEL_GPT2"));
    read_size(symbols, m);
    m.n_ctx = symbols.integer("GPT2_BLOCK_SIZE");
    m.vocab_size = symbols.integer("GPT2_VOCAB_SIZE");
    m.pad_vocab = symbols.integer("GPT2_PAD_VOCAB");
    m.dropout = symbols.real("GPT2_DROPOUT", {.min = 0.0, .below = 1.0});
    m.bias = symbols.on("GPT2_BIAS");
    m.weight_tying = symbols.on("GPT2_WEIGHT_TYING");
    m.gelu = symbols.on("GPT2_GELU_ERF") ? Gelu::kErf : Gelu::kTanh;
    m.attention_backend = symbols.on("GPT2_ATTENTION_FUSED")       ? AttentionBackend::kFused
                          : symbols.on("GPT2_ATTENTION_REFERENCE") ? AttentionBackend::kReference
                                                                   : AttentionBackend::kAuto;
    m.loss_chunk = symbols.integer("LOSS_CHUNK");
    return m;
}

}  // namespace knlp::config
