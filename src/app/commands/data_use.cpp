// encode, decode, stats, check, list and hash of `knlp data`.
#include "src/app/commands/data_verbs.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/core/parse.h"
#include "knlp/core/signals.h"
#include "knlp/data/inspect.h"
#include "knlp/data/tokenizer.h"

#include <nlohmann/json.hpp>

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;

constexpr int kLookMs = 100;  // how often a wait for input looks for a stop signal

std::string read_input(const std::string& file) {
    if (!file.empty() && file != "-") return read_file(file);
    std::string text;
    std::array<char, 65536> buffer;
    for (;;) {
        // A read that waits is taken up again after a signal, so it must not be the one to wait.
        throw_if_stopped();
        pollfd input = {STDIN_FILENO, POLLIN, 0};
        const int ready = ::poll(&input, 1, kLookMs);
        if (ready < 0 && errno != EINTR) fail_io("standard input", "wait for", errno);
        if (ready <= 0) continue;
        const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (n == 0) return text;
        if (n > 0)
            text.append(buffer.data(), static_cast<size_t>(n));
        else if (errno != EINTR)
            fail_io("standard input", "read", errno);
    }
}

/// A path as it is, or a name in the data directory.
fs::path dataset_path(const Common& common, const DataOptions& options, const std::string& name) {
    if (fs::exists(name)) return name;
    const fs::path inside = data_directory(common, options) / name;
    return fs::exists(inside) ? inside : fs::path(name);
}

std::unique_ptr<data::Tokenizer> tokenizer_of(const Common& common, const DataOptions& options) {
    const std::string& which = options.tokenizer;
    if (which == "byte") return data::make_byte_tokenizer();
    if (which == "gpt2") {
        const fs::path data_dir = data_directory(common, options);
        const fs::path files = data::find_gpt2_tokenizer(data_dir);
        if (files.empty())
            fail(kData,
                 "no gpt2 tokenizer in {}: copy vocab.json and merges.txt to {}, or gpt2.tiktoken "
                 "to {}",
                 data_dir.string(), (data_dir / "gpt2").string(), data_dir.string());
        return data::load_bpe(files);
    }
    return data::load_tokenizer(dataset_path(common, options, which));
}

/// Ids written as numbers with blanks, commas or a JSON array around them.
std::vector<int32_t> parse_ids(const std::string& text, const std::string& name) {
    constexpr const char* kBetween = " \t\r\n,[]";
    std::vector<int32_t> ids;
    for (size_t at = text.find_first_not_of(kBetween); at != std::string::npos;) {
        const size_t end = std::min(text.find_first_of(kBetween, at), text.size());
        const std::string word = text.substr(at, end - at);
        const std::optional<int64_t> id = parse_int(word);
        if (!id || *id < 0 || *id > INT32_MAX)
            fail(kData, "{}: byte {}: '{}' is not a token id", name, at, word.substr(0, 40));
        ids.push_back(static_cast<int32_t>(*id));
        at = text.find_first_not_of(kBetween, end);
    }
    return ids;
}

/// Ids as encode writes them for a vocabulary of this size.
std::vector<int32_t> read_ids(const std::string& file, int64_t vocab_size) {
    if (!file.ends_with(".bin"))
        return parse_ids(read_input(file), file.empty() ? "standard input" : file);
    constexpr int64_t kNone = 0;  // nothing is learned from it, so no token needs a next one
    const data::TokenFile tokens =
        data::TokenFile::open({file}, data::token_width(vocab_size), kNone);
    std::vector<int64_t> wide(static_cast<size_t>(tokens.size()));
    tokens.read(0, wide);
    std::vector<int32_t> ids;
    for (const int64_t id : wide) {
        if (id >= vocab_size)
            fail(kData, "{}: token {} at position {} is outside vocabulary {}", file, id,
                 ids.size(), vocab_size);
        ids.push_back(static_cast<int32_t>(id));
    }
    return ids;
}

nlohmann::json split_json(const data::TokenFile& tokens, int64_t bytes) {
    const data::TokenStatistics s = data::token_statistics(tokens);
    nlohmann::json value = {{"tokens", s.tokens},
                            {"unique_ids", s.unique},
                            {"max_id", s.max_id},
                            {"entropy_nats", s.entropy_nats},
                            {"bytes", bytes}};
    if (bytes > 0)
        value["bytes_per_token"] = static_cast<double>(bytes) / static_cast<double>(s.tokens);
    return value;
}

std::string split_line(const char* split, const nlohmann::json& value) {
    const std::string ratio = value.contains("bytes_per_token")
                                  ? fmt::format("{:.3f}", value["bytes_per_token"].get<double>())
                                  : "-";
    return fmt::format("{:<11}{:>13}{:>13}{:>13}{:>15.4f}\n", split, value["tokens"].get<int64_t>(),
                       ratio, value["unique_ids"].get<int64_t>(),
                       value["entropy_nats"].get<double>());
}

}  // namespace

int data_encode(const Common& common, const DataOptions& options) {
    const auto tokenizer = tokenizer_of(common, options);
    const std::string text = read_input(options.file);
    const std::vector<int32_t> ids =
        options.special ? tokenizer->encode_with_special(text) : tokenizer->encode(text);
    if (!common.out.empty()) {
        if (!common.dry_run)
            data::write_tokens(common.out, ids, tokenizer->vocab_size(), data::TokenLayout::kPlain);
        return 0;
    }
    if (common.json) {
        put_text(canonical_json({{"ids", ids}, {"tokens", ids.size()}, {"bytes", text.size()}}) +
                 "\n");
        return 0;
    }
    std::string line;
    for (const int32_t id : ids) line += fmt::format("{}{}", line.empty() ? "" : " ", id);
    put_text(line + "\n");
    return 0;
}

int data_decode(const Common& common, const DataOptions& options) {
    const auto tokenizer = tokenizer_of(common, options);
    const std::string text = tokenizer->decode(read_ids(options.file, tokenizer->vocab_size()));
    if (!common.out.empty()) {
        if (!common.dry_run) write_file_atomic(common.out, text);
    } else if (common.json) {
        // JSON holds text only: other bytes come as base64.
        put_text(
            canonical_json(
                data::is_valid_utf8(text)
                    ? nlohmann::json{{"text", text}}
                    : nlohmann::json{{"base64", base64_encode(std::as_bytes(std::span(text)))}}) +
            "\n");
    } else {
        put_text(text);
    }
    return 0;
}

int data_stats(const Common& common, const DataOptions& options) {
    const fs::path directory = dataset_path(common, options, options.target);
    const data::Dataset dataset = data::open_dataset(directory, options.name);
    const nlohmann::json train = split_json(dataset.train, dataset.meta.train_bytes),
                         val = split_json(dataset.val, dataset.meta.val_bytes);
    if (common.json) {
        put_text(canonical_json({{"directory", directory.string()},
                                 {"tokenizer", dataset.meta.tokenizer},
                                 {"vocab_size", dataset.meta.vocab_size},
                                 {"train", train},
                                 {"val", val}}) +
                 "\n");
        return 0;
    }
    put_text(fmt::format("{}: {} tokenizer with {} ids\n{:<11}{:>13}{:>13}{:>13}{:>15}\n",
                         directory.string(), dataset.meta.tokenizer, dataset.meta.vocab_size, "",
                         "tokens", "bytes/token", "distinct ids", "entropy, nats"));
    put_text(split_line("training", train) + split_line("validation", val));
    return 0;
}

int data_check(const Common& common, const DataOptions& options) {
    const fs::path directory = dataset_path(common, options, options.target);
    const std::vector<std::string> checked = data::check_dataset(directory, options.name);
    if (common.json) {
        put_text(canonical_json(
                     {{"directory", directory.string()}, {"ok", true}, {"checked", checked}}) +
                 "\n");
        return 0;
    }
    for (const std::string& line : checked) put_text("ok  " + line + "\n");
    return 0;
}

int data_list(const Common& common, const DataOptions& options) {
    const fs::path data_dir = data_directory(common, options);
    nlohmann::json rows = nlohmann::json::array();
    std::string text;
    for (const data::ListedDataset& row : data::list_datasets(data_dir)) {
        const data::DatasetMeta& meta = row.meta;
        if (!row.problem.empty()) {
            rows.push_back({{"directory", row.directory.string()}, {"problem", row.problem}});
            text += fmt::format("{:<32} {}\n", row.directory.string(), row.problem);
            continue;
        }
        rows.push_back({{"directory", row.directory.string()},
                        {"name", meta.name},
                        {"tokenizer", meta.tokenizer},
                        {"vocab_size", meta.vocab_size},
                        {"train_tokens", meta.train_tokens},
                        {"val_tokens", meta.val_tokens},
                        {"synthetic", meta.synthetic},
                        {"train_sha256", meta.train_sha256},
                        {"val_sha256", meta.val_sha256}});
        text += fmt::format("{:<32} {:<5} {:>6} ids {:>12} training {:>10} validation tokens\n",
                            row.directory.string(), meta.tokenizer, meta.vocab_size,
                            meta.train_tokens, meta.val_tokens);
    }
    if (text.empty()) text = data_dir.string() + ": no dataset; knlp data linuxdoc makes one\n";
    put_text(common.json ? canonical_json(rows) + "\n" : text);
    return 0;
}

int data_hash(const Common& common, const DataOptions& options) {
    nlohmann::json rows = nlohmann::json::array();
    std::string text;
    const auto add = [&](const fs::path& path, const std::string& hash) {
        rows.push_back({{"path", path.string()}, {"sha256", hash}});
        text += hash + "  " + path.string() + "\n";
    };
    for (const std::string& name : options.files) {
        const fs::path path = dataset_path(common, options, name);
        if (!fs::is_directory(path)) {
            add(path, sha256_file(path));
            continue;
        }
        for (const char* split : {"train", "val"})
            for (const fs::path& file : data::split_files(path, split))
                add(file, sha256_file(file));
        for (const char* file :
             {"tokenizer.json", "vocab.json", "merges.txt", "ranks.tiktoken", "sources.sha256"})
            if (fs::exists(path / file)) add(path / file, sha256_file(path / file));
    }
    put_text(common.json ? canonical_json(rows) + "\n" : text);
    return 0;
}

}  // namespace knlp::app
