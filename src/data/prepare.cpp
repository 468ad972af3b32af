#include "knlp/data/prepare.h"

#include "knlp/config/build_info.h"
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/core/staged_directory.h"
#include "knlp/data/tokenizer.h"
#include "src/data/code_points.h"
#include "src/data/corpus.h"
#include "src/data/pretoken.h"
#include "src/data/token_layout.h"
#include "src/data/token_writer.h"

namespace knlp::data {

namespace fs = std::filesystem;

namespace {

constexpr size_t kEncodeBytes = size_t{4} << 20;      // bounds the ids held at once
constexpr size_t kTrainingBytes = size_t{512} << 20;  // text a BPE is trained on, at most
constexpr size_t kSourcesInMeta = 64;

/// Trains on the training pieces of a corpus, or on all; sets `bytes` to the text used.
std::unique_ptr<Tokenizer> train_on(const Corpus& corpus, bool all, int64_t vocab_size,
                                    int64_t threads, int64_t& bytes) {
    std::string text;
    std::vector<std::pair<size_t, size_t>> spans;
    bool full = false;
    corpus.visit([&](const Piece& piece) {
        if (full || (piece.validation && !all)) return;
        const size_t room = kTrainingBytes - text.size();
        full = piece.text.size() > room;
        const std::string_view used = piece.text.substr(0, room);
        spans.emplace_back(text.size(), used.size());
        text += used;
    });
    if (full) log::info("training the BPE on the first {} MiB of the text", kTrainingBytes >> 20);
    std::vector<std::string_view> documents;
    for (const auto& [begin, size] : spans)
        documents.push_back(std::string_view(text).substr(begin, size));
    bytes = std::ssize(text);
    return train_bpe(documents, vocab_size, threads);
}

std::unique_ptr<Tokenizer> tokenizer_for(const Corpus& corpus, const PrepareOptions& options) {
    const std::string& kind = options.tokenizer;
    if (kind == "byte") return make_byte_tokenizer();
    if (kind == "char") {
        CodePoints seen;
        corpus.visit([&](const Piece& piece) { seen.add(piece.text); });
        return load_char_tokenizer(seen.sorted_text());
    }
    int64_t bytes = 0;
    if (kind == "bpe" && options.tokenizer_files.empty())
        return train_on(corpus, false, options.bpe_vocab, options.threads, bytes);
    if (kind != "bpe" && kind != "gpt2")
        fail(kUsage, "tokenizer '{}', expected byte, char, bpe or gpt2", kind);
    if (options.tokenizer_files.empty())
        fail(kData,
             "the gpt2 tokenizer needs its files: --tokenizer-files DIR with vocab.json and "
             "merges.txt, or a rank file such as gpt2.tiktoken");
    std::unique_ptr<Tokenizer> loaded = load_bpe(options.tokenizer_files);
    if (kind == "gpt2" && loaded->kind() != "gpt2")
        fail(kData, "{}: {} ids, expected GPT-2's 50257", options.tokenizer_files.string(),
             loaded->vocab_size());
    return loaded;
}

/// Both splits of a corpus, tokenized.
void write_splits(const Corpus& corpus, const Tokenizer& tokenizer, const PrepareOptions& options,
                  const fs::path& directory, DatasetMeta& meta) {
    TokenWriter train(directory, meta.name, "train", tokenizer.vocab_size(), options.layout);
    TokenWriter val(directory, meta.name, "val", tokenizer.vocab_size(), options.layout);
    log::LiveLine progress;
    std::vector<int32_t> ids;
    int64_t done = 0;
    corpus.visit([&](const Piece& piece) {
        TokenWriter& writer = piece.validation ? val : train;
        (piece.validation ? meta.val_bytes : meta.train_bytes) += std::ssize(piece.text);
        for (const std::string_view part : cut_at_words(piece.text, kEncodeBytes)) {
            throw_if_stopped();
            ids.clear();
            tokenizer.encode(part, ids);
            writer.append(ids);
            done += std::ssize(part);
            if (progress.active())
                progress.update(
                    fmt::format("tokenizing {} of {} MB", done / 1000000, corpus.bytes / 1000000));
        }
        if (piece.end_of_text && tokenizer.eot() >= 0) {
            const int32_t eot = tokenizer.eot();
            writer.append({&eot, 1});
        }
    });
    meta.train_tokens = train.tokens();
    meta.val_tokens = val.tokens();
    for (const auto& [split, tokens] :
         {std::pair("training", meta.train_tokens), std::pair("validation", meta.val_tokens)})
        if (tokens < 2)
            fail(kData, "{}: the {} part has {} tokens, expected at least 2; use more text",
                 corpus.sources.empty() ? corpus.name : corpus.sources.front().path, split, tokens);
    meta.train_sha256 = train.finish();
    meta.val_sha256 = val.finish();
}

}  // namespace

void finish_meta(const fs::path& directory, DatasetMeta& meta) {
    meta.tool_version = config::build_info().version;
    meta.created_utc = utc_now();
    if (meta.sources.size() <= kSourcesInMeta) return;
    std::string list;
    for (const DatasetMeta::Source& source : meta.sources)
        list += source.sha256 + "  " + source.path + "\n";
    write_file_atomic(directory / "sources.sha256", list);
    meta.sources = {
        {.path = "sources.sha256", .sha256 = sha256_hex(list), .bytes = std::ssize(list)}};
}

DatasetMeta make_dataset(const Corpus& corpus, const PrepareOptions& options, const fs::path& out) {
    StagedDirectory staged(out, options.force);
    const std::unique_ptr<Tokenizer> tokenizer = tokenizer_for(corpus, options);
    DatasetMeta meta{.name = options.name.empty() ? corpus.name : options.name,
                     .tokenizer = std::string(tokenizer->kind()),
                     .tokenizer_sha256 = tokenizer->sha256(),
                     .dtype = tokenizer->vocab_size() <= kMaxVocab16 ? "uint16" : "uint32",
                     .vocab_size = tokenizer->vocab_size(),
                     .eot = tokenizer->eot(),
                     .synthetic = corpus.synthetic,
                     .entropy_nats = corpus.entropy_nats,
                     .sources = corpus.sources,
                     .package_version = corpus.package_version};
    write_splits(corpus, *tokenizer, options, staged.path(), meta);
    tokenizer->save(staged.path());
    finish_meta(staged.path(), meta);
    write_dataset_meta(staged.path() / "meta.json", meta);
    if (!staged.publish()) {
        log::info("{}: another process made it meanwhile; using that", out.string());
        return read_dataset_meta(out / "meta.json");
    }
    return meta;
}

TrainedBpe train_bpe_into(const fs::path& out, const std::vector<fs::path>& files,
                          int64_t vocab_size, int64_t threads, bool force) {
    const fs::path linuxdoc = files.empty() ? find_linuxdoc() : fs::path();
    if (files.empty() && linuxdoc.empty())
        fail(kData,
             "no text to train on: give --text FILE, or make setup, which installs linux-doc");
    constexpr double kAnySplit = 0.5;  // all pieces of files are used
    const Corpus corpus = files.empty() ? linuxdoc_corpus(linuxdoc, false)
                                        : text_corpus(files, TextFormat::kText, kAnySplit, false);
    StagedDirectory staged(out, force);
    TrainedBpe result;
    const std::unique_ptr<Tokenizer> tokenizer =
        train_on(corpus, !files.empty(), vocab_size, threads, result.bytes);
    tokenizer->save(staged.path());
    result.vocab_size = tokenizer->vocab_size();
    result.sha256 = tokenizer->sha256();
    staged.publish();
    return result;
}

std::string dataset_directory_name(const std::string& name, const std::string& tokenizer,
                                   int64_t bpe_vocab) {
    return tokenizer == "bpe" ? fmt::format("{}-bpe{}", name, bpe_vocab) : name + "-" + tokenizer;
}

}  // namespace knlp::data
