#pragma once

#include "knlp/config/data.h"
#include "knlp/data/token_file.h"

#include <filesystem>
#include <string>
#include <vector>

namespace knlp::data {

/// How a text becomes a dataset directory.
struct PrepareOptions {
    std::string name;                // of the dataset; "" = the maker's own
    std::string tokenizer = "byte";  // byte char bpe gpt2
    int64_t bpe_vocab = 8192;        // of a BPE that is trained on the training part
    double val_fraction = 0.1;       // the tail of the text, in characters; (0, 1)
    bool special = false;            // "<|endoftext|>" in the text ends a document
    /// Loads this BPE instead of training one; required for gpt2.
    std::filesystem::path tokenizer_files = {};
    TokenLayout layout = TokenLayout::kPlain;
    int64_t threads = 1;
    bool force = false;  // replaces a directory that is there
};

/// All makers below write into a temporary directory beside `out` and rename it, so `out` is whole
/// or absent; when two make it at once, the first one's stays. Error{kUsage} when `out` is there
/// and not `force`. They throw Stopped (core/signals.h) when a stop signal came, and leave nothing.

/// English kernel documentation (all languages with_translations): the tree of Debian's linux-doc
/// or a kernel source tree. A document is validation iff FNV-1a-64 of its path (without .gz, from
/// "Documentation/") mod 10 is 0; an end of text follows each.
DatasetMeta make_linuxdoc(const std::filesystem::path& source, bool with_translations,
                          const PrepareOptions& options, const std::filesystem::path& out);
/// The newest linux-doc-* with a Documentation directory, below /usr/share/doc or where set-up
/// keeps it in the user's cache; empty when there is none.
std::filesystem::path find_linuxdoc();

enum class TextFormat { kText, kJsonLines };
/// Text files (a directory: all files below it, by path; .gz is unpacked), each one document, or
/// JSON Lines with "text". Documents are joined by the end of text; the tail is validation. Bytes
/// that are not UTF-8 become U+FFFD, with a warning that counts them.
DatasetMeta make_text(const std::vector<std::filesystem::path>& files, TextFormat format,
                      const PrepareOptions& options, const std::filesystem::path& out);

/// Token files of another program. Those with "val" in their name are validation; without any the
/// tail is. vocab_size 0: the tokenizer's, or the largest id + 1. Every id is checked.
DatasetMeta make_from_tokens(const std::vector<std::filesystem::path>& files, int64_t width_bytes,
                             bool require_llmc, int64_t vocab_size, const PrepareOptions& options,
                             const std::filesystem::path& out);

/// Synthetic text with a known entropy rate: kind markov, copy, induction or arith. n_tokens in
/// all.
DatasetMeta make_synthetic(const std::string& kind, int64_t n_tokens, uint64_t seed,
                           const PrepareOptions& options, const std::filesystem::path& out);

/// Trains a byte-level BPE on text files (all of them; none: the training part of the installed
/// kernel documentation) and saves it in the directory `out`.
struct TrainedBpe {
    int64_t vocab_size = 0, bytes = 0;  // ids; text it was trained on
    std::string sha256;
};
TrainedBpe train_bpe_into(const std::filesystem::path& out,
                          const std::vector<std::filesystem::path>& files, int64_t vocab_size,
                          int64_t threads, bool force);

/// "linuxdoc-byte", "linuxdoc-bpe8192": where a dataset lies in the data directory.
std::string dataset_directory_name(const std::string& name, const std::string& tokenizer,
                                   int64_t bpe_vocab);

/// GPT-2's tokenizer files as users put them into the data directory: gpt2.tiktoken, or a directory
/// gpt2 with a rank file or vocab.json and merges.txt. Empty when there are none.
std::filesystem::path find_gpt2_tokenizer(const std::filesystem::path& data_dir);

/// What a run trains on, after substitutions.
struct Resolved {
    Dataset dataset;
    std::filesystem::path tokenizer_directory;  // for load_tokenizer(); empty if none is known
    std::string wanted;                         // dataset asked for
    /// "" or why and what stands in: shown in banner, manifest and figures.
    std::string substitute;
};

/// Finds DATA_DIR/<dataset>-<tokenizer> or DATA_DIR/<dataset>; makes it where it can be made here
/// (linuxdoc from the installed package, a custom text file or a directory of them, synthetic).
/// Custom tokens of another tokenizer than the configured one are Error{kData}. Otherwise: the
/// allowed substitute, or Error{kData} with the `knlp data` command that makes it. strict: no
/// substitute, Error{kData} (status 3).
Resolved resolve_dataset(const config::Data& data, const std::filesystem::path& data_dir,
                         bool strict);

}  // namespace knlp::data
