// The makers of `knlp data`.
#include "src/app/commands/data_verbs.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/host.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/core/parse.h"
#include "knlp/core/signals.h"
#include "knlp/data/tokenizer.h"

#include <nlohmann/json.hpp>

#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <optional>

extern char** environ;

namespace knlp::app {
namespace {

namespace fs = std::filesystem;
using data::DatasetMeta;
using data::PrepareOptions;

constexpr int64_t kDefaultVocab = 8192;

/// A Debian package unpacked into a temporary directory.
class UnpackedDeb {
public:
    explicit UnpackedDeb(const fs::path& package) {
        if (!fs::is_regular_file(package))
            fail(kData, "{}: no such file; --deb takes a linux-doc package", package.string());
        std::string pattern = (fs::temp_directory_path() / "knlp-deb-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr)
            fail_io(pattern, "make a temporary directory", errno);
        path_ = pattern;
        // The destructor does not run for a constructor that throws.
        try {
            unpack(package);
        } catch (...) {
            remove();
            throw;
        }
    }
    ~UnpackedDeb() { remove(); }
    UnpackedDeb(const UnpackedDeb&) = delete;
    UnpackedDeb& operator=(const UnpackedDeb&) = delete;

    /// The package's own directory below usr/share/doc.
    fs::path tree() const {
        std::error_code error;
        for (const fs::directory_entry& entry :
             fs::directory_iterator(path_ / "usr/share/doc", error))
            if (fs::is_directory(entry.path() / "Documentation") && !entry.is_symlink())
                return entry.path();
        fail(
            kData,
            "the package has no usr/share/doc/*/Documentation; expected linux-doc-6.1 or the like");
    }

private:
    void unpack(const fs::path& package) const {
        std::vector<std::string> words = {"dpkg-deb", "-x", package.string(), path_.string()};
        std::vector<char*> arguments;
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        pid_t child = 0;
        const int error =
            ::posix_spawnp(&child, "dpkg-deb", nullptr, nullptr, arguments.data(), environ);
        if (error != 0)
            fail(kNotAvailable,
                 "dpkg-deb cannot be started ({}); unpack the package yourself and give --src DIR",
                 std::strerror(error));
        int status = 0;
        while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
        throw_if_stopped();
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail(kData, "{}: dpkg-deb cannot unpack it", package.string());
    }
    void remove() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    fs::path path_;
};

PrepareOptions prepare_options(const Common& common, const DataOptions& options) {
    const bool token_files = options.format == "tokens" || options.format == "llmc";
    const bool takes_files = options.tokenizer == "bpe" || options.tokenizer == "gpt2" ||
                             (options.tokenizer == "char" && token_files);
    if (!options.tokenizer_files.empty() && !takes_files)
        fail(kUsage,
             "--tokenizer-files is for --tokenizer bpe or gpt2, or char with token files, not {}",
             options.tokenizer);
    PrepareOptions result{
        .name = options.name,
        .tokenizer = options.tokenizer,
        .bpe_vocab = options.vocab > 0 ? options.vocab : kDefaultVocab,
        .val_fraction = options.val_fraction,
        .special = options.special,
        .tokenizer_files = options.tokenizer_files,
        .layout = options.layout == "llmc" ? data::TokenLayout::kLlmc : data::TokenLayout::kPlain,
        .threads = options.threads > 0 ? options.threads : usable_cores(),
        .force = options.force};
    if (options.tokenizer == "gpt2" && result.tokenizer_files.empty())
        result.tokenizer_files = data::find_gpt2_tokenizer(data_directory(common, options));
    // It becomes part of file names.
    const bool plain_name =
        !result.name.starts_with('.') && std::ranges::all_of(result.name, [](unsigned char c) {
            return std::isalnum(c) || c == '.' || c == '_' || c == '-';
        });
    if (!plain_name)
        fail(kUsage, "--name '{}', expected letters, digits, '.', '_' and '-'", result.name);
    return result;
}

/// --out, or the dataset's place in the data directory.
fs::path out_directory(const Common& common, const DataOptions& options, const std::string& name) {
    if (!common.out.empty()) return common.out;
    const int64_t vocab = options.vocab > 0 ? options.vocab : kDefaultVocab;
    return data_directory(common, options) /
           data::dataset_directory_name(name, options.tokenizer, vocab);
}

void report(const Common& common, const fs::path& out, const DatasetMeta& meta) {
    if (common.json) {
        nlohmann::json value = read_json(out / "meta.json");
        value["directory"] = out.string();
        put_text(canonical_json(value) + "\n");
        return;
    }
    const auto ratio = [](int64_t bytes, int64_t tokens) {
        return bytes > 0 ? fmt::format(", {:.3f} bytes/token",
                                       static_cast<double>(bytes) / static_cast<double>(tokens))
                         : "";
    };
    put_text(
        fmt::format("{}: {} tokens for training{}, {} for validation; {} tokenizer with {} ids\n",
                    out.string(), meta.train_tokens, ratio(meta.train_bytes, meta.train_tokens),
                    meta.val_tokens, meta.tokenizer, meta.vocab_size));
    if (meta.entropy_nats >= 0)
        put_text(fmt::format("entropy rate: {:.6f} nats per token: no model gets below it\n",
                             meta.entropy_nats));
}

/// Answers with the dataset that is there. Options that it may not have been made with are not
/// passed over in silence.
int keep_existing(const Common& common, const DataOptions& options, const PrepareOptions& wanted,
                  const fs::path& out) {
    const DatasetMeta meta = data::read_dataset_meta(out / "meta.json");
    std::string given;
    const auto name_if = [&given](bool differs, const char* option) {
        if (differs) given += fmt::format("{}{}", given.empty() ? "" : " ", option);
    };
    name_if(!options.source.empty(), "--src");
    name_if(!options.deb.empty(), "--deb");
    name_if(options.with_translations, "--with-translations");
    name_if(!options.tokenizer_files.empty(), "--tokenizer-files");
    name_if(meta.tokenizer != wanted.tokenizer, "--tokenizer");
    // Elsewhere the directory's name holds it.
    name_if(!common.out.empty() && wanted.tokenizer == "bpe" && meta.vocab_size != wanted.bpe_vocab,
            "--vocab");
    if (!given.empty())
        fail(kUsage,
             "{} is there already, with {} tokens of {} ids, and {} would not be heeded; --force "
             "makes it again, --out DIR makes another",
             out.string(), meta.tokenizer, meta.vocab_size, given);
    log::info("{} is there already; --force makes it again", out.string());
    report(common, out, meta);
    return 0;
}

int say_dry(const fs::path& out) {
    log::info("would write {}", out.string());
    return 0;
}

}  // namespace

int data_linuxdoc(const Common& common, const DataOptions& options) {
    if (!options.source.empty() && !options.deb.empty())
        fail(kUsage, "--src and --deb exclude each other");
    const fs::path out = out_directory(common, options, "linuxdoc");
    const PrepareOptions prepare = prepare_options(common, options);
    if (common.dry_run) return say_dry(out);
    if (!options.force && fs::exists(out / "meta.json"))
        return keep_existing(common, options, prepare, out);
    std::optional<UnpackedDeb> deb;
    if (!options.deb.empty()) deb.emplace(options.deb);
    const fs::path source = deb                       ? deb->tree()
                            : !options.source.empty() ? fs::path(options.source)
                                                      : data::find_linuxdoc();
    if (source.empty())
        fail(kData,
             "linux-doc is neither below /usr/share/doc nor in the cache directory; make setup "
             "installs it, or give --src DIR or --deb FILE");
    report(common, out, data::make_linuxdoc(source, options.with_translations, prepare, out));
    return 0;
}

int data_import(const Common& common, const DataOptions& options) {
    const std::vector<fs::path> files(options.files.begin(), options.files.end());
    const bool tokens = options.format == "tokens" || options.format == "llmc";
    const PrepareOptions prepare = prepare_options(common, options);
    const fs::path out = out_directory(common, options, options.name);
    if (common.dry_run) return say_dry(out);
    if (tokens) {
        const int64_t width = options.dtype == "uint32" ? 4 : 2;
        report(common, out,
               data::make_from_tokens(files, width, options.format == "llmc", options.vocab,
                                      prepare, out));
    } else {
        const auto format =
            options.format == "jsonl" ? data::TextFormat::kJsonLines : data::TextFormat::kText;
        report(common, out, data::make_text(files, format, prepare, out));
    }
    return 0;
}

int data_prepare(const Common& common, const DataOptions& options) {
    if (common.out.empty()) fail(kUsage, "knlp data prepare needs --out DIR");
    const std::vector<fs::path> files(options.files.begin(), options.files.end());
    const PrepareOptions prepare = prepare_options(common, options);
    if (common.dry_run) return say_dry(common.out);
    report(common, common.out,
           data::make_text(files, data::TextFormat::kText, prepare, common.out));
    return 0;
}

int data_synth(const Common& common, const DataOptions& options) {
    PrepareOptions prepare = prepare_options(common, options);
    prepare.name = "synthetic-" + options.kind;
    const fs::path out =
        common.out.empty() ? data_directory(common, options) / prepare.name : fs::path(common.out);
    if (common.dry_run) return say_dry(out);
    report(common, out,
           data::make_synthetic(options.kind, options.tokens, options.seed, prepare, out));
    return 0;
}

int data_train_bpe(const Common& common, const DataOptions& options) {
    if (common.out.empty()) fail(kUsage, "knlp data train-bpe needs --out DIR");
    const std::vector<fs::path> files(options.files.begin(), options.files.end());
    if (common.dry_run) return say_dry(common.out);
    const double begin = steady_seconds();
    const data::TrainedBpe trained =
        data::train_bpe_into(common.out, files, options.vocab > 0 ? options.vocab : kDefaultVocab,
                             options.threads > 0 ? options.threads : usable_cores(), options.force);
    if (common.json) {
        put_text(canonical_json({{"directory", common.out},
                                 {"vocab_size", trained.vocab_size},
                                 {"sha256", trained.sha256},
                                 {"bytes", trained.bytes},
                                 {"seconds", steady_seconds() - begin}}) +
                 "\n");
    } else {
        put_text(fmt::format("{}: {} ids from {:.1f} MB of text in {:.1f} s; sha256 {}\n",
                             common.out, trained.vocab_size,
                             static_cast<double>(trained.bytes) / 1e6, steady_seconds() - begin,
                             trained.sha256));
    }
    return 0;
}

}  // namespace knlp::app
