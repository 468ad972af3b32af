// Token files of other programs, checked and copied into a dataset directory of ours.
#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/signals.h"
#include "knlp/core/staged_directory.h"
#include "knlp/data/tokenizer.h"
#include "src/data/corpus.h"
#include "src/data/token_layout.h"
#include "src/data/token_writer.h"

#include <algorithm>
#include <cstdio>
#include <optional>

namespace knlp::data {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kChunk = int64_t{1} << 20;

/// Tokenizer that the ids are said to be of; null when its files are not known.
std::unique_ptr<Tokenizer> known_tokenizer(const PrepareOptions& options) {
    if (!options.tokenizer_files.empty()) {
        std::unique_ptr<Tokenizer> loaded = load_tokenizer(options.tokenizer_files);
        if (loaded->kind() != options.tokenizer)
            fail(kData, "{}: a {} tokenizer, expected {}", options.tokenizer_files.string(),
                 loaded->kind(), options.tokenizer);
        return loaded;
    }
    return options.tokenizer == "byte" ? make_byte_tokenizer() : nullptr;
}

struct Splits {
    std::vector<fs::path> train, val;
};

Splits sort_files(std::vector<fs::path> files) {
    if (files.size() == 1 && fs::is_directory(files.front())) {
        Splits splits{split_files(files.front(), "train"), split_files(files.front(), "val")};
        if (splits.train.empty())
            fail(kData, "{}: no train.bin and no *_train_*.bin", files.front().string());
        return splits;
    }
    Splits splits;
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
        const bool val = file.filename().string().find("val") != std::string::npos;
        (val ? splits.val : splits.train).push_back(file);
    }
    if (splits.train.empty())
        fail(kData, "{}: only validation files (\"val\" in the name), expected training files too",
             files.front().string());
    return splits;
}

void require_llmc_header(const std::vector<fs::path>& files) {
    for (const fs::path& file : files) {
        int32_t magic = 0;
        std::FILE* const stream = std::fopen(file.c_str(), "rb");
        const bool read = stream != nullptr && std::fread(&magic, sizeof magic, 1, stream) == 1;
        if (stream != nullptr) std::fclose(stream);
        if (!read || magic != kLlmcMagic)
            fail(kData,
                 "{}: byte 0: {} instead of llm.c's {}; headerless files are --format tokens",
                 file.string(), magic, kLlmcMagic);
    }
}

/// Copies tokens [begin, end); returns the bytes of text they stand for, 0 without a tokenizer.
int64_t copy_tokens(const TokenFile& from, int64_t begin, int64_t end, const Tokenizer* tokenizer,
                    TokenWriter& to) {
    std::vector<int64_t> wide;
    std::vector<int32_t> ids;
    int64_t bytes = 0;
    for (int64_t at = begin; at < end; at += kChunk) {
        throw_if_stopped();
        wide.resize(static_cast<size_t>(std::min(kChunk, end - at)));
        from.read(at, wide);
        ids.assign(wide.begin(), wide.end());
        to.append(ids);
        if (tokenizer == nullptr) continue;
        for (const int32_t id : ids)
            if (id != tokenizer->eot()) bytes += std::ssize(tokenizer->bytes_of(id));
    }
    return bytes;
}

int64_t vocabulary_of(const TokenFile& train, const TokenFile* val, const Tokenizer* tokenizer,
                      int64_t asked, const std::string& kind) {
    const int64_t known = tokenizer != nullptr ? tokenizer->vocab_size()
                          : kind == "gpt2"     ? 50257
                                               : 0;
    if (asked > 0 && known > 0 && asked != known)
        fail(kUsage, "vocabulary of {} was given, the {} tokenizer has {}", asked, kind, known);
    const int64_t largest = std::max(train.max_id(), val != nullptr ? val->max_id() : 0);
    const int64_t vocab_size = asked > 0 ? asked : known > 0 ? known : largest + 1;
    if (vocab_size > INT32_MAX)
        fail(kData, "{}: token {} is too large", train.paths().front().string(), largest);
    return vocab_size;
}

}  // namespace

DatasetMeta make_from_tokens(const std::vector<fs::path>& files, int64_t width_bytes,
                             bool require_llmc, int64_t vocab_size, const PrepareOptions& options,
                             const fs::path& out) {
    const Splits splits = sort_files(files);
    if (require_llmc) {
        require_llmc_header(splits.train);
        require_llmc_header(splits.val);
    }
    const TokenFile train = TokenFile::open(splits.train, width_bytes);
    std::optional<TokenFile> val;
    if (!splits.val.empty()) val.emplace(TokenFile::open(splits.val, width_bytes));
    const std::unique_ptr<Tokenizer> tokenizer = known_tokenizer(options);

    DatasetMeta meta{.name = options.name, .tokenizer = options.tokenizer};
    meta.vocab_size =
        vocabulary_of(train, val ? &*val : nullptr, tokenizer.get(), vocab_size, options.tokenizer);
    train.check_vocabulary(meta.vocab_size);
    if (val) val->check_vocabulary(meta.vocab_size);
    meta.dtype = meta.vocab_size <= kMaxVocab16 ? "uint16" : "uint32";
    if (tokenizer) {
        meta.tokenizer_sha256 = tokenizer->sha256();
        meta.eot = tokenizer->eot();
    } else if (options.tokenizer == "gpt2") {
        meta.eot = meta.vocab_size - 1;
    }
    for (const std::vector<fs::path>* list : {&splits.train, &splits.val})
        for (const fs::path& file : *list)
            meta.sources.push_back({.path = file.string(),
                                    .sha256 = sha256_file(file),
                                    .bytes = static_cast<int64_t>(fs::file_size(file))});

    StagedDirectory staged(out, options.force);
    TokenWriter train_writer(staged.path(), meta.name, "train", meta.vocab_size, options.layout);
    TokenWriter val_writer(staged.path(), meta.name, "val", meta.vocab_size, options.layout);
    const int64_t cut = val ? train.size()
                            : static_cast<int64_t>(static_cast<double>(train.size()) *
                                                   (1.0 - options.val_fraction));
    meta.train_bytes = copy_tokens(train, 0, cut, tokenizer.get(), train_writer);
    meta.val_bytes = val ? copy_tokens(*val, 0, val->size(), tokenizer.get(), val_writer)
                         : copy_tokens(train, cut, train.size(), tokenizer.get(), val_writer);
    meta.train_tokens = train_writer.tokens();
    meta.val_tokens = val_writer.tokens();
    if (meta.train_tokens < 2 || meta.val_tokens < 2)
        fail(kData,
             "{}: {} training and {} validation tokens, expected at least 2 of each; use another "
             "--val-fraction",
             splits.train.front().string(), meta.train_tokens, meta.val_tokens);
    meta.train_sha256 = train_writer.finish();
    meta.val_sha256 = val_writer.finish();
    if (tokenizer) tokenizer->save(staged.path());
    finish_meta(staged.path(), meta);
    write_dataset_meta(staged.path() / "meta.json", meta);
    if (!staged.publish()) return read_dataset_meta(out / "meta.json");
    return meta;
}

}  // namespace knlp::data
