// What a run trains on: the dataset asked for, made here where that is possible, or the substitute
// that the configuration allows.
#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/data/prepare.h"
#include "knlp/data/tokenizer.h"
#include "src/data/corpus.h"

#include <functional>
#include <optional>

namespace knlp::data {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kSyntheticTokens = 2'000'000;
// Data, not a run's randomness: every run sees the same text.
constexpr uint64_t kSyntheticSeed = 1;

fs::path tokenizer_files_of(const fs::path& directory) {
    for (const char* name : {"vocab.json", "ranks.tiktoken", "tokenizer.json"})
        if (fs::exists(directory / name)) return directory;
    return {};
}

bool holds_tokens(const fs::path& directory) {
    return fs::is_directory(directory) &&
           (fs::exists(directory / "meta.json") || !split_files(directory, "train").empty());
}

Resolved resolved(const fs::path& directory, const config::Data& data, const fs::path& data_dir) {
    const bool sidecar = fs::exists(directory / "meta.json");
    Resolved result{.dataset = open_dataset(directory, sidecar ? "" : data.tokenizer),
                    .tokenizer_directory = tokenizer_files_of(directory),
                    .wanted = data.dataset};
    // Token files of another program come without their tokenizer; GPT-2's is always the same.
    if (result.tokenizer_directory.empty() && !sidecar && data.tokenizer == "gpt2")
        result.tokenizer_directory = find_gpt2_tokenizer(data_dir);
    return result;
}

/// Why a dataset found under the plain name is not the one asked for; "" when it is.
std::string mismatch(const DatasetMeta& meta, const config::Data& data) {
    if (meta.tokenizer != data.tokenizer)
        return fmt::format("holds {} tokens, {} is configured", meta.tokenizer, data.tokenizer);
    if (meta.tokenizer == "bpe" && meta.vocab_size != data.bpe_vocab)
        return fmt::format("has a vocabulary of {}, {} is configured", meta.vocab_size,
                           data.bpe_vocab);
    return "";
}

/// The dataset in DATA_DIR under its full or plain name. `passed_over` tells of one that does not
/// fit.
std::optional<Resolved> find_prepared(const config::Data& data, const fs::path& data_dir,
                                      std::string& passed_over) {
    const fs::path full =
        data_dir / dataset_directory_name(data.dataset, data.tokenizer, data.bpe_vocab);
    if (holds_tokens(full)) return resolved(full, data, data_dir);
    const fs::path plain = data_dir / data.dataset;
    if (!holds_tokens(plain)) return std::nullopt;
    Resolved found = resolved(plain, data, data_dir);
    passed_over = mismatch(found.dataset.meta, data);
    if (passed_over.empty()) return found;
    passed_over = fmt::format(" ({} {})", plain.string(), passed_over);
    return std::nullopt;
}

/// Runs the maker of `out` unless it is there, or another process finishes it meanwhile.
void make_once(const fs::path& out, const std::function<void()>& make) {
    if (holds_tokens(out)) return;
    try {
        make();
    } catch (const Error&) {
        if (!holds_tokens(out)) throw;
    }
}

PrepareOptions options_for(const config::Data& data, const fs::path& data_dir) {
    PrepareOptions options{.name = data.dataset,
                           .tokenizer = data.tokenizer,
                           .bpe_vocab = data.bpe_vocab,
                           .threads = usable_cores()};
    if (data.tokenizer == "gpt2") options.tokenizer_files = find_gpt2_tokenizer(data_dir);
    return options;
}

/// Says how to get what cannot be made here.
std::string recipe(const config::Data& data) {
    const auto import = [&](const char* arguments) {
        return fmt::format("knlp data import --name {} --tokenizer {} {}", data.dataset,
                           data.tokenizer, arguments);
    };
    if (data.dataset == "linuxdoc")
        return "make setup (it installs linux-doc), or knlp data linuxdoc --src DIR with a kernel "
               "source tree";
    if (data.dataset == "shakespeare") return import("--format txt input.txt");
    if (data.dataset == "tinystories")
        return import("--format txt --special --val-fraction 0.05 TinyStories.txt");
    if (data.dataset == "finewebedu")
        return import("--format llmc DIR (llm.c's *_train_*.bin and *_val_*.bin)");
    return import("--format tokens DIR (nanoGPT's train.bin and val.bin)");
}

bool can_make_linuxdoc(const config::Data& data, const fs::path& data_dir) {
    return !find_linuxdoc().empty() &&
           (data.tokenizer != "gpt2" || !find_gpt2_tokenizer(data_dir).empty());
}

Resolved make_linuxdoc_here(const config::Data& data, const fs::path& data_dir) {
    const fs::path out =
        data_dir / dataset_directory_name("linuxdoc", data.tokenizer, data.bpe_vocab);
    const fs::path source = find_linuxdoc();
    log::info("preparing {} from {}", out.string(), source.string());
    make_once(out, [&] { make_linuxdoc(source, false, options_for(data, data_dir), out); });
    return resolved(out, data, data_dir);
}

Resolved make_synthetic_here(const config::Data& data, const fs::path& data_dir) {
    const fs::path out = data_dir / "synthetic-byte";
    PrepareOptions options{.name = "synthetic"};
    make_once(out,
              [&] { make_synthetic("markov", kSyntheticTokens, kSyntheticSeed, options, out); });
    return resolved(out, data, data_dir);
}

/// The dataset as it is, which must hold what the configuration says.
Resolved custom_tokens(const fs::path& path, const config::Data& data, const fs::path& data_dir) {
    Resolved found = resolved(path, data, data_dir);
    const std::string differs = mismatch(found.dataset.meta, data);
    if (!differs.empty())
        fail(kData,
             "{}: {}; set GPT2_TOKENIZER and GPT2_BPE_VOCAB to what it holds, or another path "
             "(GPT2_CUSTOM_DATASET_PATH)",
             path.string(), differs);
    return found;
}

/// SHA-256 of a text file, or of the list of a directory's.
std::string text_sha256(const fs::path& path) {
    if (!fs::is_directory(path)) return sha256_file(path);
    std::string list;
    for (const fs::path& file : text_files(path))
        list += fmt::format("{}  {}\n", sha256_file(file), file.lexically_relative(path).string());
    return sha256_hex(list);
}

/// A directory of tokens as it is; a text file, or a directory of them, tokenized once per content
/// and tokenizer.
Resolved custom(const config::Data& data, const fs::path& data_dir) {
    fs::path path = data.custom_path;
    if (path.empty())
        fail_code(
            kConfig, "E_CONFIG",
            "GPT2_CUSTOM_DATASET_PATH is empty; set it to a text file or a directory of texts or "
            "token files");
    if (!fs::exists(path))
        fail(kData,
             "{}: no such file or directory (GPT2_CUSTOM_DATASET_PATH); give a text file, a "
             "directory of them, or one with train.bin and val.bin",
             path.string());
    if (holds_tokens(path)) return custom_tokens(path, data, data_dir);
    if (fs::is_directory(path) && !split_files(path, "val").empty())
        fail(kData, "{}: val tokens, but no train.bin or *_train_*.bin (GPT2_CUSTOM_DATASET_PATH)",
             path.string());

    if (fs::is_directory(path)) path = fs::canonical(path);  // "texts/" and "." have a name too
    PrepareOptions options = options_for(data, data_dir);
    options.name = path.stem().string();
    const std::string name =
        fmt::format("custom-{}-{}", options.name, text_sha256(path).substr(0, 8));
    const fs::path out = data_dir / dataset_directory_name(name, data.tokenizer, data.bpe_vocab);
    make_once(out, [&] {
        log::info("preparing {} from {}", out.string(), path.string());
        make_text({path}, TextFormat::kText, options, out);
    });
    return resolved(out, data, data_dir);
}

Resolved substitute(const config::Data& data, const fs::path& data_dir,
                    const std::string& missing) {
    config::Data stand_in = data;
    stand_in.dataset = "linuxdoc";
    if (data.tokenizer == "gpt2" && find_gpt2_tokenizer(data_dir).empty())
        stand_in.tokenizer = "bpe";
    std::string passed_over;
    std::optional<Resolved> found = find_prepared(stand_in, data_dir, passed_over);
    if (!found && can_make_linuxdoc(stand_in, data_dir))
        found = make_linuxdoc_here(stand_in, data_dir);
    if (!found)
        fail(kData,
             "{}; its substitute, the kernel documentation, is missing too: apt-get install "
             "linux-doc",
             missing);
    const DatasetMeta& meta = found->dataset.meta;
    found->wanted = data.dataset;
    found->substitute = fmt::format("{} stands in for {}: {} tokenizer of {} ids; {}",
                                    "kernel documentation (linuxdoc)", data.dataset, meta.tokenizer,
                                    meta.vocab_size, missing);
    return std::move(*found);
}

}  // namespace

fs::path find_gpt2_tokenizer(const fs::path& data_dir) {
    for (const char* name : {"gpt2.tiktoken", "gpt2/ranks.tiktoken", "gpt2/gpt2.tiktoken"})
        if (fs::is_regular_file(data_dir / name)) return data_dir / name;
    const bool both =
        fs::exists(data_dir / "gpt2/vocab.json") && fs::exists(data_dir / "gpt2/merges.txt");
    return both ? data_dir / "gpt2" : fs::path();
}

Resolved resolve_dataset(const config::Data& data, const fs::path& data_dir, bool strict) {
    if (data.dataset == "custom") return custom(data, data_dir);
    if (data.dataset == "synthetic") return make_synthetic_here(data, data_dir);
    std::string passed_over;
    if (std::optional<Resolved> found = find_prepared(data, data_dir, passed_over))
        return std::move(*found);
    if (data.dataset == "linuxdoc" && can_make_linuxdoc(data, data_dir))
        return make_linuxdoc_here(data, data_dir);

    const bool lacks_gpt2 = data.dataset == "linuxdoc" && !find_linuxdoc().empty();
    const std::string missing =
        lacks_gpt2 ? fmt::format(
                         "the gpt2 tokenizer's files are not in {}: copy vocab.json and merges.txt "
                         "to {}, or gpt2.tiktoken to {}",
                         data_dir.string(), (data_dir / "gpt2").string(), data_dir.string())
                   : fmt::format("dataset {} with the {} tokenizer is not in {}{}; to get it: {}",
                                 data.dataset, data.tokenizer, data_dir.string(), passed_over,
                                 recipe(data));
    const bool text_differs = data.dataset != "linuxdoc" || lacks_gpt2;
    if (strict && (data.allow_substitute || data.synthetic_fallback))
        fail(kData, "{}; STRICT=1 allows no substitute", missing);
    if (data.allow_substitute && text_differs) return substitute(data, data_dir, missing);
    if (data.synthetic_fallback) {
        Resolved made = make_synthetic_here(data, data_dir);
        made.substitute = fmt::format("synthetic data (Markov chain) stands in for {}: {}",
                                      data.dataset, missing);
        return made;
    }
    fail(kData, "{}", missing);
}

}  // namespace knlp::data
