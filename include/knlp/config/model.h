#pragma once

#include <cstdint>
#include <string>

namespace knlp::config {

class Symbols;

enum class Gelu { kTanh, kErf };
enum class AttentionBackend { kAuto, kFused, kReference };

/// A GPT-2 (docs/models.md). vocab_size 0: take the tokenizer's.
struct Model {
    std::string name = "gpt2";
    std::string size = "124M";         // nano tiny 124M 350M 774M 1558M custom
    std::string attention = "causal";  // row of the attention table
    int64_t n_layer = 12, n_head = 12, d_model = 768, n_ctx = 1024, vocab_size = 50257;
    int64_t pad_vocab = 1;  // V rounded up to a multiple; padded columns are masked
    double dropout = 0.1;   // [0, 1)
    bool bias = true, weight_tying = true;
    Gelu gelu = Gelu::kTanh;
    AttentionBackend attention_backend = AttentionBackend::kAuto;
    double layer_norm_epsilon = 1e-5;
    int64_t loss_chunk = 0;  // rows of logits at once; 0 = automatic

    int64_t d_head() const { return d_model / n_head; }
    int64_t padded_vocab() const { return (vocab_size + pad_vocab - 1) / pad_vocab * pad_vocab; }
};
Model read_model(const Symbols& symbols);

}  // namespace knlp::config
