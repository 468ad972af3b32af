#pragma once

#include <cstdint>
#include <string>

namespace knlp::config {

class Symbols;

struct Data {
    // linuxdoc shakespeare finewebedu openwebtext tinystories custom synthetic
    std::string dataset = "linuxdoc";
    std::string custom_path;          // for custom: a directory of token files, or a text file
    std::string tokenizer = "byte";   // byte char bpe gpt2
    int64_t bpe_vocab = 8192;         // for a trained BPE
    bool allow_substitute = false;    // the default text may stand in for missing files
    bool synthetic_fallback = false;  // synthetic data may stand in
    int64_t eval_tokens = 262144;     // fixed evaluation windows, in tokens
};
Data read_data(const Symbols& symbols);

}  // namespace knlp::config
