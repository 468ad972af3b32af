#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp::data {

/// Text to ids and back. decode(encode(x)) == x for every byte string (char: for every text of its
/// own code points; others are Error{kData} naming the code point and byte offset).
class Tokenizer {
public:
    virtual ~Tokenizer() = default;
    virtual std::string_view kind() const = 0;  // byte char bpe gpt2
    virtual int64_t vocab_size() const = 0;
    virtual int32_t eot() const = 0;  // -1 when it has none
    virtual void encode(std::string_view text, std::vector<int32_t>& out) const = 0;  // appends
    /// Bytes of one id; Error{kData} outside the vocabulary.
    virtual std::string_view bytes_of(int32_t id) const = 0;
    /// Writes the files another run needs to load it (vocab.json + merges.txt + ranks.tiktoken; or
    /// tokenizer.json for byte and char) into `directory`.
    virtual void save(const std::filesystem::path& directory) const = 0;
    /// SHA-256 of the definition: equal tokenizers have equal hashes.
    virtual std::string sha256() const = 0;

    std::vector<int32_t> encode(std::string_view text) const;
    /// As encode, with each `<|endoftext|>` in the text read as eot() instead of as ordinary
    /// characters.
    std::vector<int32_t> encode_with_special(std::string_view text) const;
    /// Bytes of all ids; eot() gives "<|endoftext|>".
    std::string decode(std::span<const int32_t> ids) const;
};

inline constexpr std::string_view kEndOfText = "<|endoftext|>";

/// Ids 0..255 are the bytes, 256 is the end of text.
std::unique_ptr<Tokenizer> make_byte_tokenizer();
/// `text`: its distinct code points, sorted, become the ids.
std::unique_ptr<Tokenizer> make_char_tokenizer(std::string_view text);
/// Ids are the given code points in this order: distinct, valid. Error{kData} otherwise.
std::unique_ptr<Tokenizer> load_char_tokenizer(std::string_view code_points);
/// Byte-level BPE from a directory with vocab.json + merges.txt (or ranks.tiktoken), or from a rank
/// file. GPT-2's when it has 50,257 ids. Text is split into words by GPT-2's pattern
/// (docs/data.md).
std::unique_ptr<Tokenizer> load_bpe(const std::filesystem::path& directory_or_rank_file);
/// Deterministic byte-level BPE of `vocab_size` ids (256 bytes, merges, EOT last), equal for any
/// number of threads; ties go to the lexicographically smaller pair of byte strings.
std::unique_ptr<Tokenizer> train_bpe(std::span<const std::string_view> documents,
                                     int64_t vocab_size, int64_t threads);
bool is_valid_utf8(std::string_view text);

/// Whatever `save` or another tool wrote into this directory. Error{kData} saying which files it
/// wants.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);

}  // namespace knlp::data
