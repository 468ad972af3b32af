#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/data/tokenizer.h"

#include <array>
#include <nlohmann/json.hpp>

namespace knlp::data {

namespace {

constexpr int32_t kEot = 256;

class ByteTokenizer final : public Tokenizer {
public:
    ByteTokenizer() {
        for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<char>(i);
    }
    std::string_view kind() const override { return "byte"; }
    int64_t vocab_size() const override { return kEot + 1; }
    int32_t eot() const override { return kEot; }

    void encode(std::string_view text, std::vector<int32_t>& out) const override {
        const size_t begin = out.size();
        out.resize(begin + text.size());
        for (size_t i = 0; i < text.size(); ++i)
            out[begin + i] = static_cast<unsigned char>(text[i]);
    }

    std::string_view bytes_of(int32_t id) const override {
        if (id == kEot) return kEndOfText;
        if (id < 0 || id > kEot) fail(kData, "token {} is outside vocabulary {}", id, vocab_size());
        return {&bytes_[static_cast<size_t>(id)], 1};
    }

    void save(const std::filesystem::path& directory) const override {
        write_file_atomic(
            directory / "tokenizer.json",
            pretty_json({{"type", "knlp.byte"}, {"vocab_size", vocab_size()}, {"eot", kEot}}));
    }
    std::string sha256() const override { return sha256_hex("knlp.byte 257"); }

private:
    std::array<char, 256> bytes_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer() {
    return std::make_unique<ByteTokenizer>();
}

}  // namespace knlp::data
