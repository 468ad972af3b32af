#include "knlp/model/convert.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/safetensors.h"
#include "knlp/core/signals.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/loaded_model.h"
#include "knlp/model/parameter.h"
#include "knlp/model/weights.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <string_view>

namespace knlp::model {
namespace {

constexpr std::string_view kPrefix = "transformer.";

constexpr int32_t kLlmcMagic = 20240326, kLlmcVersion = 3;  // fp32 with a padded vocabulary
constexpr int64_t kLlmcVocabularyMultiple = 128;
constexpr double kLlmcEpsilon = 1e-5;
/// What a layer has, in llm.c's order.
constexpr std::array<const char*, 12> kLlmcKinds = {
    "ln_1.weight",        "ln_1.bias",        "attn.c_attn.weight", "attn.c_attn.bias",
    "attn.c_proj.weight", "attn.c_proj.bias", "ln_2.weight",        "ln_2.bias",
    "mlp.c_fc.weight",    "mlp.c_fc.bias",    "mlp.c_proj.weight",  "mlp.c_proj.bias"};

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
        if (exchange == 0) temporary_.clear();  // else the destructor deletes the old one
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
    if (!force)
        fail(kUsage, "{}: exists; name another directory or use --force to replace it",
             out.string());
    if (!exists(out / "config.json", error))
        fail(kUsage,
             "{}: not empty and without config.json, so --force does not replace it: it is not a "
             "model directory",
             out.string());
}

/// Refuses what llm.c would compute differently.
void check_llmc(const config::Model& m, const std::string& path) {
    if (m.attention != "causal")
        fail(kData, "{}: '{}' attention; llm.c has causal attention only", path, m.attention);
    if (m.gelu != config::Gelu::kTanh)
        fail(kData, "{}: GELU in its erf form; llm.c computes the tanh form", path);
    if (!m.weight_tying)
        fail(kData, "{}: the head has weights of its own; llm.c ties it to the embedding", path);
    if (m.layer_norm_epsilon != kLlmcEpsilon)
        fail(kData, "{}: layer norm epsilon {}; llm.c has {} built in", path, m.layer_norm_epsilon,
             kLlmcEpsilon);
}

void check_llmc_target(const std::filesystem::path& out, bool force) {
    std::error_code error;
    if (!exists(out, error)) return;
    if (!is_regular_file(out, error))
        fail(kUsage, "{}: exists and is not a file; llm.c's checkpoint is one", out.string());
    if (!force)
        fail(kUsage, "{}: exists; name another file or use --force to replace it", out.string());
    int32_t magic = 0;
    const MappedFile old(out);
    if (old.bytes().size() >= sizeof magic) std::memcpy(&magic, old.bytes().data(), sizeof magic);
    if (magic != kLlmcMagic)
        fail(kUsage, "{}: is no checkpoint of llm.c, so --force does not replace it", out.string());
}

/// Names of all tensors in llm.c's order.
std::vector<std::string> llmc_order(int64_t n_layer) {
    std::vector<std::string> names = {"wte.weight", "wpe.weight"};
    for (const char* kind : kLlmcKinds)
        for (int64_t layer = 0; layer < n_layer; ++layer)
            names.push_back(fmt::format("h.{}.{}", layer, kind));
    names.insert(names.end(), {"ln_f.weight", "ln_f.bias"});
    return names;
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
    LoadedModel model({.path = request.model,
                       .device = "cpu",
                       .check_finite = request.check_finite,
                       .untie = request.untie,
                       .tokenizer = request.tokenizer});
    ExportSummary summary;
    AtomicDirectory made(out);
    save_weights(made.path() / "model.safetensors", model.gpt2(), std::string(kPrefix), {}, nullptr,
                 throw_if_stopped);
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

ExportSummary export_llmc(const ExportRequest& request) {
    const std::string source = request.model.string();
    check_llmc_target(request.out, request.force);
    check_llmc(find_model(request.model).model, source);
    LoadedModel model({.path = request.model,
                       .device = "cpu",
                       .check_finite = request.check_finite,
                       .untie = request.untie});
    config::Model m = model.config();
    const int64_t padded = (m.vocab_size + kLlmcVocabularyMultiple - 1) / kLlmcVocabularyMultiple *
                           kLlmcVocabularyMultiple;
    std::array<int32_t, 256> header = {kLlmcMagic, kLlmcVersion};
    const std::array<int64_t, 6> sizes = {m.n_ctx,  m.vocab_size, m.n_layer,
                                          m.n_head, m.d_model,    padded};
    for (size_t i = 0; i < sizes.size(); ++i) header[2 + i] = static_cast<int32_t>(sizes[i]);
    m.bias = true;
    std::map<std::string, ParameterSpec> specs;
    for (ParameterSpec& spec : gpt2_parameters(m)) specs[spec.name] = std::move(spec);

    AtomicFile file(request.out);
    file.write(std::as_bytes(std::span(header)));
    const auto put = [&file](const at::Tensor& values) {
        file.write({static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()});
    };
    for (const std::string& name : llmc_order(m.n_layer)) {
        throw_if_stopped();
        const Parameter* p = model.gpt2().find(name);
        if (p == nullptr) {
            put(at::zeros(specs.at(name).shape, at::kFloat));
            continue;
        }
        at::Tensor value = p->value.detach();
        if (has_vocabulary_rows(p->spec)) value = value.narrow(0, 0, m.vocab_size);
        put(value.to(at::kFloat).contiguous());
        if (has_vocabulary_rows(p->spec))
            put(at::zeros({padded - m.vocab_size, m.d_model}, at::kFloat));
    }
    file.commit();
    return {.files = {request.out.filename().string()}, .bytes = file.bytes_written()};
}

}  // namespace knlp::model
