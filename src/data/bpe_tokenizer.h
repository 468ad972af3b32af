#pragma once

#include "knlp/data/tokenizer.h"
#include "src/data/bpe_merges.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace knlp::data {

/// What defines a byte-level BPE. Tokens are named by id here.
struct BpeDefinition {
    std::vector<std::string> tokens;  // [V] bytes by id; the end of text as kEndOfText
    std::vector<std::pair<int32_t, int32_t>> merges;  // ids of the two parts, by rank
    int32_t eot = -1;
};

class BpeTokenizer final : public Tokenizer {
public:
    /// Error{kData} naming `origin` unless every byte has a token, and every merge joins two tokens
    /// to one.
    BpeTokenizer(BpeDefinition definition, const std::string& origin);
    ~BpeTokenizer() override;
    std::string_view kind() const override;
    int64_t vocab_size() const override { return std::ssize(definition_.tokens); }
    int32_t eot() const override { return definition_.eot; }
    void encode(std::string_view text, std::vector<int32_t>& out) const override;
    std::string_view bytes_of(int32_t id) const override;
    void save(const std::filesystem::path& directory) const override;
    std::string sha256() const override;

private:
    struct Cache;
    struct CachePool;
    void encode_word(std::string_view word, Cache& cache, std::vector<int32_t>& out) const;
    bool ids_are_ranks() const;

    BpeDefinition definition_;
    MergeTable table_;
    std::vector<int32_t> id_of_symbol_;
    std::unique_ptr<CachePool> pool_;
};

/// Finds the merges that make each token of a rank file: token r >= 256 is the join of the two
/// tokens that the merges before it leave of its bytes. `tokens` by rank, the 256 bytes first.
/// Error{kData} naming `origin` and the rank of a token that is not such a join.
std::vector<std::pair<int32_t, int32_t>> merges_of_ranks(const std::vector<std::string>& tokens,
                                                         const std::string& origin);

}  // namespace knlp::data
