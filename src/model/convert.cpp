#include "knlp/model/convert.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/safetensors.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/loaded_model.h"
#include "knlp/model/weights.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string_view>

namespace knlp::model {
namespace {

constexpr std::string_view kPrefix = "transformer.";

/// model.safetensors, or the shards beside it; `weights` is what load_weights takes.
std::vector<std::filesystem::path> weight_files(const std::filesystem::path& weights) {
    if (!is_directory(weights)) return {weights};
    if (exists(weights / "model.safetensors")) return {weights / "model.safetensors"};
    std::vector<std::filesystem::path> shards;
    for (const auto& entry : std::filesystem::directory_iterator(weights))
        if (entry.path().extension() == ".safetensors") shards.push_back(entry.path());
    std::sort(shards.begin(), shards.end());
    return shards;
}

/// A directory made under a temporary name beside its final one; gone unless committed.
class AtomicDirectory {
public:
    explicit AtomicDirectory(const std::filesystem::path& path) : path_(path) {
        const std::filesystem::path parent =
            path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
        std::error_code error;
        create_directories(parent, error);
        temporary_ = parent / fmt::format(".{}.partial.{}", path.filename().string(), getpid());
        if (!create_directory(temporary_, error))
            fail_io(temporary_, "cannot make the directory", error ? error.value() : EEXIST);
    }
    ~AtomicDirectory() {
        std::error_code ignored;
        if (!temporary_.empty()) remove_all(temporary_, ignored);
    }
    AtomicDirectory(const AtomicDirectory&) = delete;
    AtomicDirectory& operator=(const AtomicDirectory&) = delete;

    const std::filesystem::path& path() const { return temporary_; }

    /// Renames into place. What was there before trades places with it and is then deleted.
    void commit() {
        sync_directory(temporary_);
        const unsigned exchange = exists(path_) ? RENAME_EXCHANGE : 0;
        if (renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), exchange) != 0)
            fail_io(path_, "cannot put the new directory in place", errno);
        if (exchange == 0) temporary_.clear();       // else the destructor deletes the old one
        sync_directory(path_.has_parent_path() ? path_.parent_path() : ".");
    }

private:
    std::filesystem::path path_, temporary_;
};

void check_target(const std::filesystem::path& out, bool force) {
    std::error_code error;
    if (!exists(out, error)) return;
    if (!is_directory(out, error)) fail(kUsage, "{}: exists and is not a directory", out.string());
    if (std::filesystem::is_empty(out, error)) return;
    if (!force) fail(kUsage, "{}: exists; name another directory or use --force to replace it", out.string());
    if (!exists(out / "config.json", error))
        fail(kUsage, "{}: not empty and without config.json, so --force does not replace it: it is not a "
             "model directory", out.string());
}

}  // namespace

std::vector<TensorRow> list_tensors(const std::filesystem::path& model) {
    const ModelSource source = find_model(model);
    std::map<std::string, ParameterSpec> specs;
    for (ParameterSpec& spec : gpt2_parameters(source.model)) specs[spec.name] = std::move(spec);
    std::vector<TensorRow> rows;
    for (const std::filesystem::path& path : weight_files(source.weights)) {
        const SafetensorsFile file(path);
        for (const TensorView& tensor : file.tensors()) {
            std::string name = tensor.name;
            if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
            const auto spec = specs.find(name);
            rows.push_back({.name = tensor.name,
                            .dtype = std::string(name_of(tensor.dtype)),
                            .role = spec == specs.end() ? "" : spec->second.role_name,
                            .file = path.filename().string(),
                            .shape = tensor.shape,
                            .decay = spec != specs.end() && spec->second.decay});
        }
    }
    return rows;
}

ExportSummary export_hugging_face(const ExportRequest& request) {
    const std::filesystem::path out =
        request.out.has_filename() ? request.out : request.out.parent_path();
    check_target(out, request.force);
    LoadedModel model({.path = request.model, .device = "cpu", .check_finite = request.check_finite,
                       .untie = request.untie, .tokenizer = request.tokenizer});
    ExportSummary summary;
    AtomicDirectory made(out);
    save_weights(made.path() / "model.safetensors", model.gpt2(), std::string(kPrefix),
                 {});
    write_hf_config(made.path(), model.config(),
                    model.has_tokenizer() ? model.tokenizer().eot() : -1);
    if (model.has_tokenizer()) {
        const data::Tokenizer& tokenizer = model.tokenizer();
        summary.tokenizer = tokenizer.kind();
        const bool bpe = summary.tokenizer == "bpe" || summary.tokenizer == "gpt2";
        const std::filesystem::path place = bpe ? made.path() : made.path() / "tokenizer";
        std::filesystem::create_directories(place);
        tokenizer.save(place);
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(made.path())) {
        if (!entry.is_regular_file()) continue;
        summary.files.push_back(relative(entry.path(), made.path()).string());
        summary.bytes += static_cast<int64_t>(entry.file_size());
    }
    std::sort(summary.files.begin(), summary.files.end());
    made.commit();
    return summary;
}

}  // namespace knlp::model
