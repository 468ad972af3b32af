#include "knlp/data/tokenizer.h"

#include "knlp/core/error.h"
#include "knlp/core/json.h"

#include <nlohmann/json.hpp>

namespace knlp::data {

namespace fs = std::filesystem;

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
    std::vector<int32_t> ids;
    encode(text, ids);
    return ids;
}

std::vector<int32_t> Tokenizer::encode_with_special(std::string_view text) const {
    std::vector<int32_t> ids;
    size_t begin = 0;
    for (;;) {
        const size_t mark = eot() < 0 ? std::string_view::npos : text.find(kEndOfText, begin);
        encode(text.substr(begin, mark == std::string_view::npos ? mark : mark - begin), ids);
        if (mark == std::string_view::npos) return ids;
        ids.push_back(eot());
        begin = mark + kEndOfText.size();
    }
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
    std::string text;
    for (int32_t id : ids) text += bytes_of(id);
    return text;
}

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& directory) {
    if (fs::is_regular_file(directory)) return load_bpe(directory);
    const bool has_bpe =
        (fs::exists(directory / "vocab.json") && fs::exists(directory / "merges.txt")) ||
        fs::exists(directory / "ranks.tiktoken");
    if (has_bpe) return load_bpe(directory);

    const fs::path file = directory / "tokenizer.json";
    if (!fs::exists(file))
        fail(kData,
             "{}: no tokenizer here; expected tokenizer.json (byte, char), vocab.json with "
             "merges.txt, or ranks.tiktoken",
             directory.string());
    const nlohmann::json document = read_json(file, int64_t{64} << 20);
    const std::string type =
        document.is_object() && document.contains("type") && document["type"].is_string()
            ? document["type"].get<std::string>()
            : "";
    if (type == "knlp.byte") return make_byte_tokenizer();
    if (type == "knlp.char" && document.contains("characters") &&
        document["characters"].is_string())
        return load_char_tokenizer(document["characters"].get<std::string>());
    fail(kData,
         "{}: 'type' is \"{}\", expected \"knlp.byte\", or \"knlp.char\" with its 'characters'; a "
         "byte-level BPE is read from vocab.json and merges.txt beside it",
         file.string(), type);
}

}  // namespace knlp::data
