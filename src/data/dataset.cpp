#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/data/token_file.h"
#include "knlp/data/tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace knlp::data {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int64_t kSchema = 1;
constexpr int64_t kLargestCount = int64_t{1} << 53;  // what JSON numbers keep exactly

/// Reads members of one JSON object, naming file and key in every error.
class Reader {
public:
    Reader(const json& object, std::string file, std::string prefix = "")
        : object_(object), file_(std::move(file)), prefix_(std::move(prefix)) {
        if (!object_.is_object()) fail(kData, "{}: {}expected an object", file_, prefix_);
    }
    const json& at(const char* key) const {
        if (!object_.contains(key))
            fail(kData, "{}: '{}{}' is missing; make the dataset again with knlp data", file_,
                 prefix_, key);
        return object_.at(key);
    }
    std::string text(const char* key) const {
        if (!at(key).is_string()) wrong(key, "a string");
        return at(key).get<std::string>();
    }
    std::string sha256(const char* key) const {
        const std::string value = text(key);
        if (value.size() != 64 || value.find_first_not_of("0123456789abcdef") != std::string::npos)
            wrong(key, "64 hexadecimal digits");
        return value;
    }
    int64_t integer(const char* key, int64_t min, int64_t max) const {
        const json& value = at(key);
        const bool fits = value.is_number_integer() && value <= max && value >= min;
        if (!fits) wrong(key, fmt::format("an integer in {}..{}", min, max));
        return value.get<int64_t>();
    }
    bool flag(const char* key) const {
        if (!at(key).is_boolean()) wrong(key, "true or false");
        return at(key).get<bool>();
    }
    Reader object(const char* key) const { return {at(key), file_, prefix_ + key + "."}; }
    bool has(const char* key) const { return object_.contains(key); }
    [[noreturn]] void wrong(const char* key, const std::string& expected) const {
        const std::string found = at(key).dump(-1, ' ', false, json::error_handler_t::replace);
        fail(kData, "{}: '{}{}' is {}, expected {}", file_, prefix_, key, found.substr(0, 60),
             expected);
    }

private:
    const json& object_;
    std::string file_, prefix_;
};

void read_sources(const Reader& reader, const std::string& file, DatasetMeta& meta) {
    const json& list = reader.at("source");
    if (!list.is_array()) reader.wrong("source", "an array");
    for (size_t i = 0; i < list.size(); ++i) {
        const Reader entry(list[i], file, fmt::format("source[{}].", i));
        meta.sources.push_back({.path = entry.text("path"),
                                .sha256 = entry.sha256("sha256"),
                                .bytes = entry.integer("bytes", 0, kLargestCount)});
    }
}

void check_counts(const TokenFile& file, int64_t expected, const std::string& split) {
    if (file.size() != expected)
        fail(kData, "{}: {} tokens, but meta.json says n_tokens.{} = {}; make the dataset again",
             file.paths().front().string(), file.size(), split, expected);
}

/// A file edited in place keeps its length; what the sidecar says of it would go into manifests.
void check_hash(const TokenFile& file, const std::string& expected, const std::string& split,
                int64_t vocab_size) {
    const std::string found = split_sha256(file.paths());
    if (found == expected) return;
    file.check_vocabulary(vocab_size);  // says more, where it finds something
    const fs::path& first = file.paths().front();
    const std::string name =
        file.paths().size() == 1
            ? first.string()
            : fmt::format("{} and {} more", first.string(), file.paths().size() - 1);
    fail(kData,
         "{}: SHA-256 {}, but meta.json says sha256.{} = {}: changed after it was made; put the "
         "file back or make the dataset again",
         name, found, split, expected);
}

std::vector<fs::path> require_split(const fs::path& directory, const std::string& split) {
    std::vector<fs::path> files = split_files(directory, split);
    if (files.empty())
        fail(
            kData,
            "{}: no {}.bin and no *_{}_*.bin; `knlp data import` or `knlp data prepare` makes them",
            directory.string(), split, split);
    return files;
}

/// Meta of a directory without a sidecar, from the tokenizer named or found beside the tokens.
void describe_foreign(Dataset& dataset, const std::string& tokenizer) {
    DatasetMeta& meta = dataset.meta;
    meta.name = dataset.directory.filename().string();
    meta.tokenizer = tokenizer;
    const bool beside = fs::exists(dataset.directory / "vocab.json") ||
                        fs::exists(dataset.directory / "ranks.tiktoken") ||
                        fs::exists(dataset.directory / "tokenizer.json");
    if (tokenizer == "byte") {
        const auto byte = make_byte_tokenizer();
        meta.vocab_size = byte->vocab_size();
        meta.eot = byte->eot();
        meta.tokenizer_sha256 = byte->sha256();
    } else if (tokenizer == "gpt2" && !beside) {
        meta.vocab_size = 50257;
        meta.eot = 50256;
    } else if (beside) {
        const auto found = load_tokenizer(dataset.directory);
        if (found->kind() != tokenizer)
            fail(kData, "{}: holds a {} tokenizer, asked for {}", dataset.directory.string(),
                 found->kind(), tokenizer);
        meta.vocab_size = found->vocab_size();
        meta.eot = found->eot();
        meta.tokenizer_sha256 = found->sha256();
    } else {
        meta.vocab_size = std::max(dataset.train.max_id(), dataset.val.max_id()) + 1;
    }
    meta.train_tokens = dataset.train.size();
    meta.val_tokens = dataset.val.size();
    meta.train_sha256 = split_sha256(dataset.train.paths());
    meta.val_sha256 = split_sha256(dataset.val.paths());
}

}  // namespace

DatasetMeta read_dataset_meta(const fs::path& file) {
    const json document = read_json(file, int64_t{64} << 20);
    const std::string name = file.string();
    const Reader reader(document, name);
    DatasetMeta meta;
    if (const int64_t schema = reader.integer("schema", 0, INT32_MAX); schema != kSchema)
        fail(kData, "{}: schema {}, this knlp reads {}", name, schema, kSchema);
    meta.name = reader.text("name");
    meta.tokenizer = reader.text("tokenizer");
    // A sidecar of another maker may know the tokenizer only by name.
    if (reader.has("tokenizer_sha256") && reader.at("tokenizer_sha256") != "")
        meta.tokenizer_sha256 = reader.sha256("tokenizer_sha256");
    meta.vocab_size = reader.integer("vocab_size", 1, INT32_MAX);
    meta.dtype = reader.text("dtype");
    if (meta.dtype != "uint16" && meta.dtype != "uint32")
        reader.wrong("dtype", "\"uint16\" or \"uint32\"");
    meta.eot = reader.integer("eot", -1, meta.vocab_size - 1);
    const Reader tokens = reader.object("n_tokens"), bytes = reader.object("n_bytes"),
                 hashes = reader.object("sha256");
    meta.train_tokens = tokens.integer("train", 0, kLargestCount);
    meta.val_tokens = tokens.integer("val", 0, kLargestCount);
    meta.train_bytes = bytes.integer("train", 0, kLargestCount);
    meta.val_bytes = bytes.integer("val", 0, kLargestCount);
    meta.train_sha256 = hashes.sha256("train");
    meta.val_sha256 = hashes.sha256("val");
    if (reader.has("synthetic")) meta.synthetic = reader.flag("synthetic");
    if (reader.has("entropy_nats")) {
        if (!reader.at("entropy_nats").is_number() || reader.at("entropy_nats") < 0)
            reader.wrong("entropy_nats", "a number of nats >= 0");
        meta.entropy_nats = reader.at("entropy_nats").get<double>();
    }
    if (reader.has("source")) read_sources(reader, name, meta);
    if (reader.has("package_version")) meta.package_version = reader.text("package_version");
    if (reader.has("tool_version")) meta.tool_version = reader.text("tool_version");
    if (reader.has("created_utc")) meta.created_utc = reader.text("created_utc");
    return meta;
}

void write_dataset_meta(const fs::path& file, const DatasetMeta& meta) {
    json document = {{"schema", kSchema},
                     {"name", meta.name},
                     {"tokenizer", meta.tokenizer},
                     {"tokenizer_sha256", meta.tokenizer_sha256},
                     {"vocab_size", meta.vocab_size},
                     {"dtype", meta.dtype},
                     {"eot", meta.eot},
                     {"n_tokens", {{"train", meta.train_tokens}, {"val", meta.val_tokens}}},
                     {"n_bytes", {{"train", meta.train_bytes}, {"val", meta.val_bytes}}},
                     {"sha256", {{"train", meta.train_sha256}, {"val", meta.val_sha256}}},
                     {"synthetic", meta.synthetic},
                     {"tool_version", meta.tool_version},
                     {"created_utc", meta.created_utc},
                     {"source", json::array()}};
    if (meta.entropy_nats >= 0) document["entropy_nats"] = meta.entropy_nats;
    if (!meta.package_version.empty()) document["package_version"] = meta.package_version;
    for (const DatasetMeta::Source& source : meta.sources)
        document["source"].push_back(
            {{"path", source.path}, {"bytes", source.bytes}, {"sha256", source.sha256}});
    write_file_atomic(file, pretty_json(document));
}

std::vector<fs::path> split_files(const fs::path& directory, const std::string& split) {
    if (const fs::path plain = directory / (split + ".bin"); fs::is_regular_file(plain))
        return {plain};
    std::vector<fs::path> shards;
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
        const std::string name = entry.path().filename().string();
        if (name.ends_with(".bin") && name.find("_" + split + "_") != std::string::npos &&
            entry.is_regular_file())
            shards.push_back(entry.path());
    }
    std::sort(shards.begin(), shards.end());
    return shards;
}

std::string split_sha256(const std::vector<fs::path>& files) {
    if (files.size() == 1) return sha256_file(files.front());
    std::string list;
    for (const fs::path& file : files)
        list += fmt::format("{}  {}\n", sha256_file(file), file.filename().string());
    return sha256_hex(list);
}

Dataset open_dataset(const fs::path& directory, const std::string& tokenizer) {
    if (!fs::is_directory(directory))
        fail(kData, "{}: no such dataset directory; `knlp data list` shows what there is",
             directory.string());
    const fs::path sidecar = directory / "meta.json";
    const bool known = fs::exists(sidecar);
    if (!known && tokenizer.empty())
        fail(kData,
             "{}: no meta.json, so the tokenizer must be named (--tokenizer byte, char, bpe or "
             "gpt2)",
             directory.string());

    DatasetMeta meta;
    if (known) meta = read_dataset_meta(sidecar);
    const int64_t width = meta.dtype == "uint32" ? 4 : 2;
    Dataset dataset{.meta = std::move(meta),
                    .directory = directory,
                    .train = TokenFile::open(require_split(directory, "train"), width),
                    .val = TokenFile::open(require_split(directory, "val"), width)};
    if (!known) {
        describe_foreign(dataset, tokenizer);
        return dataset;
    }
    if (!tokenizer.empty() && tokenizer != dataset.meta.tokenizer)
        fail(kData, "{}: tokens are of tokenizer '{}', asked for '{}'", sidecar.string(),
             dataset.meta.tokenizer, tokenizer);
    check_counts(dataset.train, dataset.meta.train_tokens, "train");
    check_counts(dataset.val, dataset.meta.val_tokens, "val");
    check_hash(dataset.train, dataset.meta.train_sha256, "train", dataset.meta.vocab_size);
    check_hash(dataset.val, dataset.meta.val_sha256, "val", dataset.meta.vocab_size);
    return dataset;
}

}  // namespace knlp::data
