#include "eval_data.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/data/tokenizer.h"

#include <cstdlib>

namespace knlp::app {
namespace {

/// A directory that is gone at the end of its scope.
class ScratchDirectory {
public:
    ScratchDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "knlp-eval-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) fail_io(name, "cannot make the directory", errno);
        path_ = name;
    }
    ~ScratchDirectory() {
        std::error_code ignored;
        remove_all(path_, ignored);
    }
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

/// Token files are read through a mapping, which outlives the name of the file.
data::TokenFile encode_text(const std::string& path, const data::Tokenizer& tokenizer) {
    const std::vector<int32_t> ids = tokenizer.encode(MappedFile(path).text());
    const ScratchDirectory scratch;
    const std::filesystem::path tokens = scratch.path() / "text.bin";
    data::write_tokens(tokens, ids, tokenizer.vocab_size(), data::TokenLayout::kPlain);
    return data::TokenFile::open({tokens}, data::token_width(tokenizer.vocab_size()));
}

EvalData open_directory(const std::filesystem::path& directory, const std::string& split,
                        const model::LoadedModel& model) {
    std::string tokenizer;
    if (model.has_tokenizer()) tokenizer = model.tokenizer().kind();
    data::Dataset dataset = data::open_dataset(directory, tokenizer);
    const std::string& theirs = dataset.meta.tokenizer_sha256;
    if (model.has_tokenizer() && !theirs.empty() && theirs != model.tokenizer().sha256())
        fail(
            kData,
            "{}: encoded with another tokenizer than the model's ({} {} there, {} {} here); encode "
            "the text again: knlp eval --data TEXTFILE",
            directory.string(), dataset.meta.tokenizer, theirs.substr(0, 12),
            model.tokenizer().kind(), model.tokenizer().sha256().substr(0, 12));
    const bool train = split == "train";
    const std::vector<std::filesystem::path> files = data::split_files(directory, split);
    return {.tokens = std::move(train ? dataset.train : dataset.val),
            .path = files.size() == 1 ? files.front().string() : directory.string(),
            .sha256 = train ? dataset.meta.train_sha256 : dataset.meta.val_sha256};
}

EvalData open_file(const std::string& path, const model::LoadedModel& model) {
    if (!std::filesystem::exists(path))
        fail(
            kData,
            "{}: no such file or directory; --data takes a dataset directory, a .bin token file or "
            "a text",
            path);
    if (path.ends_with(".bin"))
        return {
            .tokens = data::TokenFile::open({path}, data::token_width(model.config().vocab_size)),
            .path = path,
            .sha256 = sha256_file(path)};
    return {
        .tokens = encode_text(path, model.tokenizer()), .path = path, .sha256 = sha256_file(path)};
}

}  // namespace

EvalData open_eval_data(const model::LoadedModel& model, const std::string& data,
                        const std::string& split) {
    nlohmann::json manifest;
    if (!model.run_directory().empty())
        manifest = read_json(model.run_directory() / "manifest.json");
    const auto own = from_manifest<std::string>(manifest, "data", "directory", "");
    if (data.empty() && own.empty())
        fail(kUsage,
             "the model is not part of a run, so its data is not known: name some with --data (a "
             "dataset directory, a .bin token file or a text)");
    if (data.empty() && !std::filesystem::is_directory(own))
        fail(kData, "{}: the data of the model's run is not there any more; name some with --data",
             own);

    const std::string& wanted = data.empty() ? own : data;
    EvalData found = std::filesystem::is_directory(wanted) ? open_directory(wanted, split, model)
                                                           : open_file(wanted, model);
    found.tokens.check_vocabulary(model.config().vocab_size);
    found.from_run = data.empty();
    found.run_manifest = std::move(manifest);
    return found;
}

}  // namespace knlp::app
