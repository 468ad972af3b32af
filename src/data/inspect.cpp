#include "knlp/data/inspect.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/signals.h"
#include "knlp/data/tokenizer.h"

#include <algorithm>
#include <cmath>

namespace knlp::data {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kChunk = int64_t{1} << 20;

/// The remembered hash would not notice a change behind the clock's back, so the bytes are read.
std::string hash_now(const fs::path& file) {
    const MappedFile mapped(file);
    Sha256 hash;
    std::span<const std::byte> rest = mapped.bytes();
    while (!rest.empty()) {
        throw_if_stopped();
        const std::span<const std::byte> part =
            rest.first(std::min<size_t>(rest.size(), size_t{1} << 24));
        hash.update(part);
        rest = rest.subspan(part.size());
    }
    return hash.hex();
}

std::string split_hash_now(const std::vector<fs::path>& files) {
    if (files.size() == 1) return hash_now(files.front());
    std::string list;
    for (const fs::path& file : files)
        list += hash_now(file) + "  " + file.filename().string() + "\n";
    return sha256_hex(list);
}

void require_hash(const std::string& what, const std::string& expected, const std::string& found) {
    if (expected != found)
        fail(kData, "{}: SHA-256 {}, but meta.json says {}; it was changed after it was made", what,
             found, expected);
}

}  // namespace

TokenStatistics token_statistics(const TokenFile& tokens) {
    TokenStatistics result{.tokens = tokens.size(), .max_id = tokens.max_id()};
    std::vector<int64_t> counts(static_cast<size_t>(result.max_id) + 1), ids;
    for (int64_t at = 0; at < tokens.size(); at += kChunk) {
        throw_if_stopped();
        ids.resize(static_cast<size_t>(std::min(kChunk, tokens.size() - at)));
        tokens.read(at, ids);
        for (const int64_t id : ids) ++counts[static_cast<size_t>(id)];
    }
    for (const int64_t count : counts) {
        if (count == 0) continue;
        ++result.unique;
        const double p = static_cast<double>(count) / static_cast<double>(result.tokens);
        result.entropy_nats -= p * std::log(p);
    }
    return result;
}

std::vector<std::string> check_dataset(const fs::path& directory, const std::string& tokenizer) {
    const Dataset dataset = open_dataset(directory, tokenizer);
    const DatasetMeta& meta = dataset.meta;
    std::vector<std::string> done;
    done.push_back(fmt::format("sizes: {} training and {} validation tokens", dataset.train.size(),
                               dataset.val.size()));
    dataset.train.check_vocabulary(meta.vocab_size);
    dataset.val.check_vocabulary(meta.vocab_size);
    done.push_back(fmt::format("vocabulary: every id below {}", meta.vocab_size));
    require_hash(dataset.train.paths().front().string(), meta.train_sha256,
                 split_hash_now(dataset.train.paths()));
    require_hash(dataset.val.paths().front().string(), meta.val_sha256,
                 split_hash_now(dataset.val.paths()));
    done.push_back("hashes: token files as when they were made");

    const bool has_tokenizer = fs::exists(directory / "tokenizer.json") ||
                               fs::exists(directory / "vocab.json") ||
                               fs::exists(directory / "ranks.tiktoken");
    if (!has_tokenizer) {
        done.push_back("tokenizer: no files here, known by name only (" + meta.tokenizer + ")");
        return done;
    }
    const auto loaded = load_tokenizer(directory);
    if (!meta.tokenizer_sha256.empty())
        require_hash(directory.string() + ": tokenizer", meta.tokenizer_sha256, loaded->sha256());
    if (loaded->vocab_size() > meta.vocab_size)
        fail(kData, "{}: tokenizer has {} ids, meta.json says {}", directory.string(),
             loaded->vocab_size(), meta.vocab_size);
    done.push_back(fmt::format("tokenizer: {} with {} ids, as when it was made", loaded->kind(),
                               loaded->vocab_size()));
    return done;
}

std::vector<ListedDataset> list_datasets(const fs::path& data_dir) {
    std::vector<ListedDataset> found;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(data_dir, error)) {
        // Directories being made have a leading dot.
        if (entry.path().filename().string().starts_with('.') || !entry.is_directory()) continue;
        if (!fs::exists(entry.path() / "meta.json") && split_files(entry.path(), "train").empty())
            continue;
        ListedDataset listed{.directory = entry.path()};
        try {
            if (fs::exists(entry.path() / "meta.json"))
                listed.meta = read_dataset_meta(entry.path() / "meta.json");
            else
                listed.problem = "no meta.json: name its tokenizer when it is used";
        } catch (const Error& damaged) {
            listed.problem = damaged.what();
        }
        found.push_back(std::move(listed));
    }
    std::sort(found.begin(), found.end(), [](const ListedDataset& a, const ListedDataset& b) {
        return a.directory < b.directory;
    });
    return found;
}

}  // namespace knlp::data
