// Text files and JSON Lines as a corpus whose tail, counted in characters, is the validation text.
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "knlp/data/tokenizer.h"
#include "src/data/corpus.h"
#include "src/data/utf8.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace knlp::data {

namespace fs = std::filesystem;

namespace {

using DocumentVisitor = std::function<void(std::string_view text)>;

/// A text file in memory, unpacked when it is .gz.
class TextFile {
public:
    explicit TextFile(const fs::path& path) {
        if (path.extension() == ".gz")
            unpacked_ = read_gzip(path);
        else
            mapped_.emplace(path);
    }
    std::string_view text() const {
        return mapped_ ? mapped_->text() : std::string_view(unpacked_);
    }

private:
    std::optional<MappedFile> mapped_;
    std::string unpacked_;
};

/// Directories replaced by the files below them.
std::vector<fs::path> expand(const std::vector<fs::path>& inputs) {
    std::vector<fs::path> files;
    for (const fs::path& input : inputs) {
        if (!fs::is_directory(input)) {
            files.push_back(input);
            continue;
        }
        const std::vector<fs::path> below = text_files(input);
        files.insert(files.end(), below.begin(), below.end());
    }
    return files;
}

/// One text and what had to be repaired in all.
struct Repair {
    int64_t replaced = 0;
    std::string first;  // "file: byte n"

    void visit(std::string_view text, const std::string& place, const DocumentVisitor& visitor) {
        const size_t bad = find_invalid_utf8(text);
        if (bad == std::string_view::npos) return visitor(text);
        if (replaced == 0) first = fmt::format("{}: byte {}", place, bad);
        const std::string repaired = repair_utf8(text, replaced);
        visitor(repaired);
    }
};

void visit_text(const fs::path& path, bool special, Repair& repair,
                const DocumentVisitor& visitor) {
    const TextFile file(path);
    std::string_view text = file.text();
    if (const size_t nul = text.find('\0'); nul != std::string_view::npos)
        fail(kData,
             "{}: byte {} is NUL, so this is not a text file (token files: knlp data import "
             "--format tokens)",
             path.string(), nul);
    while (!text.empty()) {
        const size_t mark = special ? text.find(kEndOfText) : std::string_view::npos;
        if (const std::string_view document = text.substr(0, mark); !document.empty())
            repair.visit(document, path.string(), visitor);
        if (mark == std::string_view::npos) return;
        text.remove_prefix(mark + kEndOfText.size());
    }
}

void visit_json_lines(const fs::path& path, const DocumentVisitor& visitor) {
    const TextFile file(path);
    std::string_view rest = file.text();
    for (int64_t number = 1; !rest.empty(); ++number) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        const nlohmann::json value = nlohmann::json::parse(line, nullptr, false);
        if (value.is_discarded())
            fail(kData, "{}:{}: not JSON: '{}'", path.string(), number, line.substr(0, 60));
        if (!value.is_object() || !value.contains("text") || !value["text"].is_string())
            fail(kData, "{}:{}: expected an object with the string \"text\"", path.string(),
                 number);
        if (const auto& text = value["text"].get_ref<const std::string&>(); !text.empty())
            visitor(text);
    }
}

/// Byte offset after n code points of valid UTF-8.
size_t offset_of(std::string_view text, int64_t n) {
    size_t at = 0;
    for (; at < text.size(); ++at)
        if ((static_cast<unsigned char>(text[at]) & 0xC0u) != 0x80u && n-- == 0) break;
    return at;
}

/// What the first pass over the text finds.
struct Size {
    int64_t documents = 0, characters = 0, bytes = 0;
};

/// Hands on documents as pieces, cut where training ends.
void split_documents(const Size& size, double val_fraction,
                     const std::function<void(const DocumentVisitor&)>& documents,
                     const Corpus::Visitor& visitor) {
    // As Python's int(n * (1 - f)), which nanoGPT's published counts come from.
    const auto cut =
        static_cast<int64_t>(static_cast<double>(size.characters) * (1.0 - val_fraction));
    int64_t number = 0, done = 0;
    documents([&](std::string_view text) {
        throw_if_stopped();
        const int64_t characters = count_code_points(text);
        const bool last = ++number == size.documents;
        if (done < cut && cut < done + characters) {
            const size_t at = offset_of(text, cut - done);
            visitor({.text = text.substr(0, at)});
            visitor({.text = text.substr(at), .validation = true, .end_of_text = !last});
        } else {
            visitor({.text = text, .validation = done >= cut, .end_of_text = !last});
        }
        done += characters;
    });
}

}  // namespace

std::vector<fs::path> text_files(const fs::path& directory) {
    std::vector<fs::path> files;
    for (auto entry = fs::recursive_directory_iterator(directory);
         entry != fs::recursive_directory_iterator(); ++entry) {
        const bool hidden = entry->path().filename().string().starts_with('.');
        if (hidden && entry->is_directory()) entry.disable_recursion_pending();
        if (!hidden && entry->is_regular_file()) files.push_back(entry->path());
    }
    if (files.empty()) fail(kData, "{}: no file in this directory", directory.string());
    std::sort(files.begin(), files.end());
    return files;
}

Corpus text_corpus(const std::vector<fs::path>& inputs, TextFormat format, double val_fraction,
                   bool special) {
    if (!(val_fraction > 0.0 && val_fraction < 1.0))
        fail(kUsage, "validation fraction {}, expected more than 0 and less than 1", val_fraction);
    const std::vector<fs::path> files = expand(inputs);
    Corpus corpus{.name = files.front().stem().string()};
    for (const fs::path& file : files)
        corpus.sources.push_back({.path = file.string(),
                                  .sha256 = sha256_file(file),
                                  .bytes = static_cast<int64_t>(fs::file_size(file))});
    const auto documents = [files, format, special](Repair& repair,
                                                    const DocumentVisitor& visitor) {
        for (const fs::path& file : files)
            format == TextFormat::kText ? visit_text(file, special, repair, visitor)
                                        : visit_json_lines(file, visitor);
    };
    Size size;
    Repair repair;
    documents(repair, [&](std::string_view text) {
        throw_if_stopped();
        ++size.documents;
        size.characters += count_code_points(text);
        size.bytes += std::ssize(text);
    });
    if (size.documents == 0)
        fail(kData, "{}: no text in {} file{}", files.front().string(), files.size(),
             files.size() == 1 ? "" : "s");
    if (repair.replaced > 0)
        log::warn("{} bytes that are not UTF-8 became U+FFFD, the first at {}", repair.replaced,
                  repair.first);
    corpus.bytes = size.bytes;
    corpus.visit = [documents, size, val_fraction](const Corpus::Visitor& visitor) {
        Repair again;
        split_documents(
            size, val_fraction, [&](const DocumentVisitor& each) { documents(again, each); },
            visitor);
    };
    return corpus;
}

DatasetMeta make_text(const std::vector<fs::path>& files, TextFormat format,
                      const PrepareOptions& options, const fs::path& out) {
    return make_dataset(text_corpus(files, format, options.val_fraction, options.special), options,
                        out);
}

}  // namespace knlp::data
