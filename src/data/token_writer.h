#pragma once

#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/data/token_file.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace knlp::data {

/// Writes the tokens of one split as they come. Plain: `<directory>/<split>.bin`. llm.c: shards of
/// kShardTokens named `<name>_<split>_000000.bin`, each held in memory until it is full because its
/// header says how many tokens follow. Nothing is seen in the directory before finish() but full
/// shards.
class TokenWriter {
public:
    static constexpr int64_t kShardTokens = 100'000'000;

    TokenWriter(std::filesystem::path directory, std::string name, std::string split,
                int64_t vocab_size, TokenLayout layout);
    ~TokenWriter();
    /// Ids in [0, vocab_size).
    void append(std::span<const int32_t> ids);
    int64_t tokens() const { return tokens_; }
    /// Commits; returns what split_sha256 gives for the files.
    std::string finish();

private:
    void write_shard();

    std::filesystem::path directory_;
    std::string name_, split_;
    int64_t vocab_size_ = 0, tokens_ = 0;
    TokenLayout layout_;
    std::unique_ptr<AtomicFile> file_;  // plain
    std::unique_ptr<Sha256> hash_;      // plain: of the bytes so far
    std::vector<uint16_t> shard_;       // llm.c: tokens of the shard being filled
    std::vector<std::byte> bytes_;      // scratch
    std::vector<std::filesystem::path> shards_;
};

}  // namespace knlp::data
