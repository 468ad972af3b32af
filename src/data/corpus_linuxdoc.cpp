// The kernel's documentation as a corpus: Debian's linux-doc package or a kernel source tree.
#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/log.h"
#include "knlp/core/signals.h"
#include "src/data/corpus.h"
#include "src/data/utf8.h"

#include <algorithm>
#include <charconv>

namespace knlp::data {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPackages = "/usr/share/doc";
constexpr uint64_t kValidationEvery = 10;

struct DocFile {
    std::string name;  // "Documentation/a/b.rst"
    fs::path path;     // with .gz where it has it
};

struct Document {
    std::string text;
    bool validation;
};

/// Numbers of "linux-doc-6.1", for comparison: 6.10 is newer than 6.9.
std::vector<unsigned> version_of(const std::string& name) {
    std::vector<unsigned> numbers;
    const char* p = name.data();
    const char* const end = p + name.size();
    while (p < end) {
        // Without a sign: the hyphen before a version is none.
        unsigned value = 0;
        const auto [next, error] = std::from_chars(p, end, value);
        if (error == std::errc()) numbers.push_back(value);
        p = error == std::errc() ? next : p + 1;
    }
    return numbers;
}

/// The directory that holds Documentation/, from itself, from Documentation/, or from the tree of
/// an unpacked package.
fs::path tree_of(const fs::path& source) {
    fs::path clean = source.lexically_normal();
    if (!clean.has_filename()) clean = clean.parent_path();
    if (clean.filename() == "Documentation" && fs::is_directory(clean)) return clean.parent_path();
    if (fs::is_directory(clean / "Documentation")) return clean;
    fail(kData,
         "{}: no Documentation directory in it; expected an unpacked linux-doc package or a kernel "
         "source tree (make setup installs it below {} or in the cache directory)",
         source.string(), kPackages);
}

std::vector<DocFile> list_documents(const fs::path& tree, bool with_translations) {
    std::vector<DocFile> files;
    for (const fs::directory_entry& entry :
         fs::recursive_directory_iterator(tree / "Documentation")) {
        if (!entry.is_regular_file() || entry.is_symlink()) continue;
        std::string name = entry.path().lexically_relative(tree).string();
        if (name.ends_with(".rst.gz")) name.resize(name.size() - 3);
        if (!name.ends_with(".rst")) continue;
        if (!with_translations && name.starts_with("Documentation/translations/")) continue;
        files.push_back({std::move(name), entry.path()});
    }
    std::sort(files.begin(), files.end(),
              [](const DocFile& a, const DocFile& b) { return a.name < b.name; });
    return files;
}

/// Debian's version from the package's changelog, or a source tree's from its Makefile; "" when
/// neither is there.
std::string version_of_tree(const fs::path& tree) {
    const fs::path changelog = tree / "changelog.Debian.gz", makefile = tree / "Makefile";
    if (fs::exists(changelog)) {
        const std::string text = read_gzip(changelog);
        const size_t open = text.find('('), close = text.find(')');
        if (open < close && close < 200) return text.substr(open + 1, close - open - 1);
    }
    if (!fs::exists(makefile)) return "";
    const std::string text = read_file(makefile, int64_t{16} << 20);
    std::string version;
    for (const std::string key : {"VERSION = ", "PATCHLEVEL = ", "SUBLEVEL = "}) {
        const size_t at = text.find("\n" + key);
        if (at == std::string::npos) return "";
        const size_t begin = at + 1 + key.size();
        version +=
            (version.empty() ? "" : ".") + text.substr(begin, text.find('\n', begin) - begin);
    }
    return version;
}

}  // namespace

fs::path find_linuxdoc() {
    // Set-up unpacks the package into the cache where the system leaves out kPackages.
    std::vector<fs::path> roots = {kPackages};
    if (const fs::path cache = cache_directory(); !cache.empty())
        roots.push_back(cache / "linux-doc" / fs::path(kPackages).relative_path());
    fs::path best;
    for (const fs::path& root : roots) {
        std::error_code error;
        for (const fs::directory_entry& entry : fs::directory_iterator(root, error)) {
            const std::string name = entry.path().filename().string();
            if (!name.starts_with("linux-doc-") ||
                !fs::is_directory(entry.path() / "Documentation", error))
                continue;
            if (best.empty() || version_of(best.filename().string()) < version_of(name))
                best = entry.path();
        }
    }
    return best;
}

Corpus linuxdoc_corpus(const fs::path& source, bool with_translations) {
    const fs::path tree = tree_of(source);
    Corpus corpus{.name = "linuxdoc", .package_version = version_of_tree(tree)};
    std::vector<Document> documents;
    int64_t replaced = 0;
    for (const DocFile& file : list_documents(tree, with_translations)) {
        throw_if_stopped();
        corpus.sources.push_back({.path = file.path.lexically_relative(tree).string(),
                                  .sha256 = sha256_file(file.path),
                                  .bytes = static_cast<int64_t>(fs::file_size(file.path))});
        const std::string raw =
            file.path.extension() == ".gz" ? read_gzip(file.path) : read_file(file.path);
        documents.push_back(
            {repair_utf8(raw, replaced), fnv1a64(file.name) % kValidationEvery == 0});
        corpus.bytes += std::ssize(documents.back().text);
    }
    if (documents.empty())
        fail(kData, "{}: no .rst or .rst.gz file below Documentation", tree.string());
    if (replaced > 0)
        log::warn("{}: {} bytes that are not UTF-8 became U+FFFD", tree.string(), replaced);
    corpus.visit = [documents = std::move(documents)](const Corpus::Visitor& visitor) {
        for (const Document& document : documents)
            visitor(
                {.text = document.text, .validation = document.validation, .end_of_text = true});
    };
    return corpus;
}

DatasetMeta make_linuxdoc(const fs::path& source, bool with_translations,
                          const PrepareOptions& options, const fs::path& out) {
    return make_dataset(linuxdoc_corpus(source, with_translations), options, out);
}

}  // namespace knlp::data
