#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace knlp::data {

/// One mapped token file, or several shards seen as one: headerless uint16/uint32 (nanoGPT), or
/// with the llm.c header. Error{kData} names file, byte offset, expected and found.
class TokenFile {
public:
    /// width_bytes 2 or 4 for headerless files. A shard has at least `least` tokens; two are an
    /// input and its target.
    static TokenFile open(const std::vector<std::filesystem::path>& shards, int64_t width_bytes = 2,
                          int64_t least = 2);
    ~TokenFile();
    TokenFile(TokenFile&&) noexcept;
    TokenFile& operator=(TokenFile&&) noexcept;

    int64_t size() const;  // tokens
    /// Copies tokens [begin, begin + out.size()) as int64 ids.
    void read(int64_t begin, std::span<int64_t> out) const;
    /// Largest id of all shards; cached as check_vocabulary says.
    int64_t max_id() const;
    /// Every id checked against vocab_size; the result is cached beside the file or, where that
    /// cannot be written, in the user's cache directory. Error: "data/train.bin: token 50300 at
    /// position 123456 is outside vocabulary 50257".
    void check_vocabulary(int64_t vocab_size) const;
    const std::vector<std::filesystem::path>& paths() const;

private:
    struct State;
    TokenFile();
    std::unique_ptr<State> state_;
};

/// Bytes of a token in headerless files.
int64_t token_width(int64_t vocab_size);

enum class TokenLayout { kPlain, kLlmc };
/// Writes ids atomically: uint16 when vocab_size <= 65536, else uint32 (plain layout only).
void write_tokens(const std::filesystem::path& path, std::span<const int32_t> ids,
                  int64_t vocab_size, TokenLayout layout);

/// Sidecar meta.json of a prepared dataset directory.
struct DatasetMeta {
    std::string name, tokenizer, tokenizer_sha256, dtype = "uint16", tool_version, created_utc;
    int64_t vocab_size = 0, eot = -1;
    int64_t train_tokens = 0, val_tokens = 0;
    int64_t train_bytes = 0, val_bytes = 0;  // of the text; 0 when not known
    std::string train_sha256, val_sha256;    // as split_sha256 gives them
    bool synthetic = false;
    double entropy_nats = -1;  // known entropy rate, -1 when not known
    struct Source {
        std::string path, sha256;
        int64_t bytes = 0;
    };
    std::vector<Source> sources;  // one entry for the list file sources.sha256 when there are many
    std::string package_version;  // linux-doc's, or ""
};

/// Strict: a key that is missing, of another type or out of range is Error{kData} that names it.
DatasetMeta read_dataset_meta(const std::filesystem::path& file);
void write_dataset_meta(const std::filesystem::path& file, const DatasetMeta& meta);

/// A directory with train and val tokens: ours (meta.json), nanoGPT's (train.bin, val.bin) or
/// llm.c's (*_train_*.bin, *_val_*.bin).
struct Dataset {
    DatasetMeta meta;
    std::filesystem::path directory;
    TokenFile train, val;
};
/// `tokenizer` names one for directories without a sidecar ("" = required from the sidecar).
/// Error{kData} when the token files are not those the sidecar tells of, by length and SHA-256.
Dataset open_dataset(const std::filesystem::path& directory, const std::string& tokenizer = "");

/// Files of a split ("train" or "val") in a dataset directory, sorted; empty when there are none.
std::vector<std::filesystem::path> split_files(const std::filesystem::path& directory,
                                               const std::string& split);
/// SHA-256 of a split: its file's, or of the "<sha256>  <name>\n" lines of its shards.
std::string split_sha256(const std::vector<std::filesystem::path>& files);

}  // namespace knlp::data
