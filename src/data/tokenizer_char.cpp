#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/data/tokenizer.h"
#include "src/data/code_points.h"
#include "src/data/utf8.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace knlp::data {

namespace {

/// Calls visit(code point, byte offset) for each code point; Error{kData} at the first invalid
/// byte.
template <class Visit>
void for_each_code_point(std::string_view text, Visit visit) {
    const auto* const begin = reinterpret_cast<const unsigned char*>(text.data());
    const unsigned char* const end = begin + text.size();
    for (const unsigned char* p = begin; p < end;) {
        uint32_t code_point;
        const int length = decode_utf8(p, end, code_point);
        if (length == 0)
            fail(kData,
                 "byte 0x{:02x} at offset {} is not UTF-8; the char tokenizer reads text only "
                 "(byte and bpe take any bytes)",
                 *p, p - begin);
        visit(code_point, p - begin);
        p += length;
    }
}

class CharTokenizer final : public Tokenizer {
public:
    explicit CharTokenizer(const std::vector<uint32_t>& code_points) {
        if (code_points.empty()) fail(kData, "a char tokenizer needs at least one character");
        const uint32_t largest = *std::max_element(code_points.begin(), code_points.end());
        ids_.assign(largest + 1, -1);
        for (uint32_t code_point : code_points) {
            if (ids_[code_point] >= 0)
                fail(kData, "char tokenizer: U+{:04X} is there twice", code_point);
            ids_[code_point] = static_cast<int32_t>(texts_.size());
            append_utf8(texts_.emplace_back(), code_point);
        }
    }
    std::string_view kind() const override { return "char"; }
    int64_t vocab_size() const override { return std::ssize(texts_); }
    int32_t eot() const override { return -1; }

    void encode(std::string_view text, std::vector<int32_t>& out) const override {
        for_each_code_point(text, [&](uint32_t code_point, int64_t offset) {
            const int32_t id = code_point < ids_.size() ? ids_[code_point] : -1;
            if (id < 0)
                fail(kData,
                     "U+{:04X} at byte {} is not among the {} characters of this char tokenizer",
                     code_point, offset, texts_.size());
            out.push_back(id);
        });
    }

    std::string_view bytes_of(int32_t id) const override {
        if (id < 0 || id >= vocab_size())
            fail(kData, "token {} is outside vocabulary {}", id, vocab_size());
        return texts_[static_cast<size_t>(id)];
    }

    void save(const std::filesystem::path& directory) const override {
        write_file_atomic(directory / "tokenizer.json",
                          pretty_json({{"type", "knlp.char"},
                                       {"vocab_size", vocab_size()},
                                       {"characters", characters()}}));
    }
    std::string sha256() const override { return sha256_hex("knlp.char " + characters()); }

private:
    std::string characters() const {
        std::string all;
        for (const std::string& text : texts_) all += text;
        return all;
    }

    std::vector<std::string> texts_;  // by id
    std::vector<int32_t> ids_;        // by code point, -1 where it has none
};

}  // namespace

void CodePoints::add(std::string_view text) {
    for_each_code_point(text, [&](uint32_t code_point, int64_t) { seen_[code_point] = true; });
}

std::string CodePoints::sorted_text() const {
    std::string text;
    for (uint32_t code_point = 0; code_point < seen_.size(); ++code_point)
        if (seen_[code_point]) append_utf8(text, code_point);
    return text;
}

std::unique_ptr<Tokenizer> make_char_tokenizer(std::string_view text) {
    CodePoints seen;
    seen.add(text);
    return load_char_tokenizer(seen.sorted_text());
}

std::unique_ptr<Tokenizer> load_char_tokenizer(std::string_view text) {
    std::vector<uint32_t> code_points;
    for_each_code_point(text,
                        [&](uint32_t code_point, int64_t) { code_points.push_back(code_point); });
    return std::make_unique<CharTokenizer>(code_points);
}

}  // namespace knlp::data
