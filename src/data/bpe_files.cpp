// Files of a byte-level BPE: GPT-2's vocab.json + merges.txt, and rank files ("base64 rank" lines).
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/core/parse.h"
#include "src/data/bpe_tokenizer.h"
#include "src/data/utf8.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

namespace knlp::data {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kLargestFile = int64_t{256} << 20;
constexpr const char* kRankFile = "ranks.tiktoken";

/// GPT-2 writes each byte as one printable character: 33..126, 161..172 and 174..255 as themselves,
/// the other 68 as U+0100 and up, in order.
struct ByteAlphabet {
    std::array<std::string, 256> text_of;
    std::unordered_map<uint32_t, char> byte_of;

    ByteAlphabet() {
        uint32_t next = 256;
        for (uint32_t byte = 0; byte < 256; ++byte) {
            const bool printable =
                (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
            const uint32_t code_point = printable ? byte : next++;
            append_utf8(text_of[byte], code_point);
            byte_of[code_point] = static_cast<char>(byte);
        }
    }
    std::string text(std::string_view bytes) const {
        std::string out;
        for (const char c : bytes) out += text_of[static_cast<unsigned char>(c)];
        return out;
    }
    /// nullopt for a character outside the alphabet.
    std::optional<std::string> bytes(std::string_view text) const {
        std::string out;
        const auto* p = reinterpret_cast<const unsigned char*>(text.data());
        const unsigned char* const end = p + text.size();
        while (p < end) {
            uint32_t code_point;
            const int length = decode_utf8(p, end, code_point);
            const auto found = length == 0 ? byte_of.end() : byte_of.find(code_point);
            if (found == byte_of.end()) return std::nullopt;
            out += found->second;
            p += length;
        }
        return out;
    }
};

const ByteAlphabet& alphabet() {
    static const ByteAlphabet instance;
    return instance;
}

/// Calls visit(line, line number from 1) for each line, without its end; a last empty one is left
/// out.
template <class Visit>
void for_each_line(std::string_view text, Visit visit) {
    for (int64_t number = 1; !text.empty(); ++number) {
        const size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);
        visit(line, number);
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
    }
}

BpeDefinition read_ranks(const fs::path& path) {
    const std::string text = read_file(path, kLargestFile);
    BpeDefinition definition;
    for_each_line(text, [&](std::string_view line, int64_t number) {
        const size_t blank = line.find(' ');
        const std::optional<int64_t> rank =
            blank == std::string_view::npos ? std::nullopt : parse_int(line.substr(blank + 1));
        if (!rank || *rank != std::ssize(definition.tokens))
            fail(kData, "{}:{}: '{}', expected \"<base64 of the token> {}\"", path.string(), number,
                 line.substr(0, 60), definition.tokens.size());
        try {
            definition.tokens.push_back(base64_decode(line.substr(0, blank)));
        } catch (const Error& error) {
            fail(kData, "{}:{}: {}", path.string(), number, error.what());
        }
        if (definition.tokens.back().empty())
            fail(kData, "{}:{}: the token is empty", path.string(), number);
        if (number <= 256 && definition.tokens.back().size() != 1)
            fail(kData,
                 "{}:{}: a token of {} bytes, expected one byte in each of the first 256 lines",
                 path.string(), number, definition.tokens.back().size());
    });
    if (definition.tokens.size() < 256)
        fail(kData, "{}: {} tokens, expected at least the 256 bytes; the file is cut short",
             path.string(), definition.tokens.size());
    definition.merges = merges_of_ranks(definition.tokens, path.string());
    definition.eot = static_cast<int32_t>(definition.tokens.size());
    definition.tokens.emplace_back(kEndOfText);
    return definition;
}

/// Tokens by id, from vocab.json; sets eot.
void read_vocab(const fs::path& path, BpeDefinition& definition) {
    const nlohmann::json vocab = read_json(path, kLargestFile);
    const std::string name = path.string();
    if (!vocab.is_object() || vocab.empty())
        fail(kData, "{}: expected an object of \"token\": id", name);
    definition.tokens.resize(vocab.size());
    std::vector<bool> seen(vocab.size());
    for (const auto& [text, id] : vocab.items()) {
        const bool in_range = id.is_number_integer() && id >= 0 && id < vocab.size();
        if (!in_range)
            fail(kData, "{}: token \"{}\" has id {}, expected 0..{} ({} tokens)", name, text,
                 id.dump(), vocab.size() - 1, vocab.size());
        const auto index = id.get<size_t>();
        if (seen[index])
            fail(kData, "{}: token \"{}\" has id {}, which another token has too", name, text,
                 index);
        seen[index] = true;
        if (text == kEndOfText) {
            definition.eot = static_cast<int32_t>(index);
            definition.tokens[index] = text;
            continue;
        }
        // Added tokens (<pad> and the like) are decoded as they are written and never come from
        // encoding.
        definition.tokens[index] = alphabet().bytes(text).value_or(text);
    }
}

BpeDefinition read_vocab_and_merges(const fs::path& directory) {
    BpeDefinition definition;
    read_vocab(directory / "vocab.json", definition);
    std::unordered_map<std::string_view, int32_t> id_of;
    for (size_t id = 0; id < definition.tokens.size(); ++id)
        if (static_cast<int32_t>(id) != definition.eot)
            id_of.emplace(definition.tokens[id], static_cast<int32_t>(id));

    const fs::path path = directory / "merges.txt";
    const std::string text = read_file(path, kLargestFile);
    for_each_line(text, [&](std::string_view line, int64_t number) {
        if (line.empty() || (number == 1 && line.starts_with("#version"))) return;
        const size_t blank = line.find(' ');
        const auto part = [&](std::string_view written) {
            const std::optional<std::string> bytes = alphabet().bytes(written);
            const auto found = bytes ? id_of.find(*bytes) : id_of.end();
            if (found == id_of.end())
                fail(kData, "{}:{}: '{}' is not a token of vocab.json", path.string(), number,
                     written.substr(0, 60));
            return found->second;
        };
        if (blank == std::string_view::npos || line.find(' ', blank + 1) != std::string_view::npos)
            fail(kData, "{}:{}: '{}', expected two tokens with a blank between them", path.string(),
                 number, line.substr(0, 60));
        const int32_t left = part(line.substr(0, blank));
        definition.merges.emplace_back(left, part(line.substr(blank + 1)));
    });
    return definition;
}

}  // namespace

void BpeTokenizer::save(const fs::path& directory) const {
    nlohmann::json vocab = nlohmann::json::object();
    const auto written = [&](int32_t id) {
        const std::string& bytes = definition_.tokens[static_cast<size_t>(id)];
        return id == definition_.eot ? bytes : alphabet().text(bytes);
    };
    for (int32_t id = 0; id < vocab_size(); ++id) vocab[written(id)] = id;
    std::string merges = "#version: 0.2\n";
    for (const auto& [left, right] : definition_.merges)
        merges += written(left) + " " + written(right) + "\n";
    write_file_atomic(directory / "vocab.json", canonical_json(vocab) + "\n");
    write_file_atomic(directory / "merges.txt", merges);
    // A rank file has no place for ids that are not the order of the merges.
    if (!ids_are_ranks()) return;
    std::string ranks;
    for (int32_t id = 0; id < 256 + std::ssize(definition_.merges); ++id)
        ranks += fmt::format("{} {}\n", base64_encode(std::as_bytes(std::span(bytes_of(id)))), id);
    write_file_atomic(directory / kRankFile, ranks);
}

std::unique_ptr<Tokenizer> load_bpe(const fs::path& path) {
    if (fs::is_regular_file(path))
        return std::make_unique<BpeTokenizer>(read_ranks(path), path.string());
    if (!fs::is_directory(path))
        fail(kData,
             "{}: no such file or directory; expected vocab.json and merges.txt in it, or a rank "
             "file",
             path.string());
    if (fs::exists(path / "vocab.json") && fs::exists(path / "merges.txt"))
        return std::make_unique<BpeTokenizer>(read_vocab_and_merges(path), path.string());
    if (fs::exists(path / kRankFile))
        return std::make_unique<BpeTokenizer>(read_ranks(path / kRankFile),
                                              (path / kRankFile).string());
    fail(kData, "{}: expected vocab.json and merges.txt, or {}", path.string(), kRankFile);
}

}  // namespace knlp::data
