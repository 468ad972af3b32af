#include "knlp/model/parameter.h"
#include "knlp/model/weights.h"

#include "knlp/core/error.h"
#include "knlp/core/hash.h"
#include "knlp/core/json.h"
#include "knlp/core/memory.h"
#include "knlp/core/safetensors.h"
#include "knlp/data/token_file.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <set>

namespace knlp::model {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "transformer.";
constexpr const char* kHead = "lm_head.weight";
constexpr const char* kIndex = "model.safetensors.index.json";

/// Shape as stored: Conv1D matrices turned, padding rows dropped.
std::vector<int64_t> stored_shape(const ParameterSpec& spec, int64_t vocab_size) {
    std::vector<int64_t> shape = spec.shape;
    if (spec.conv1d) std::swap(shape[0], shape[1]);
    if (has_vocabulary_rows(spec)) shape[0] = vocab_size;
    return shape;
}

at::Tensor stored_value(const Parameter& p, int64_t vocab_size) {
    at::Tensor value = p.value.detach();
    if (has_vocabulary_rows(p.spec)) value = value.narrow(0, 0, vocab_size);
    if (p.spec.conv1d) value = value.t();
    return value.to(at::kCPU, at::kFloat).contiguous();
}

}  // namespace

std::vector<StoredTensor> stored_tensors(Gpt2& model, const std::string& prefix) {
    const config::Model& m = model.config();
    config::Model with_bias = m;
    with_bias.bias = m.bias || !prefix.empty();
    std::vector<StoredTensor> tensors;
    for (const ParameterSpec& spec : gpt2_parameters(with_bias))
        tensors.push_back({.name = spec.name == kHead ? spec.name : prefix + spec.name,
                           .shape = stored_shape(spec, m.vocab_size),
                           .parameter = model.find(spec.name),
                           .turned = spec.conv1d});
    return tensors;
}

std::map<std::string, std::string> stored_metadata(const std::map<std::string, std::string>& more) {
    std::map<std::string, std::string> all = more;
    all.emplace("format", "pt");  // transformers refuses files without it
    return all;
}

int64_t save_weights(const fs::path& path, Gpt2& model, const std::string& prefix,
                     const std::map<std::string, std::string>& metadata, uint64_t* xxh3,
                     const std::function<void()>& before_each) {
    at::Tensor held;  // keeps the bytes of the tensor being written
    std::vector<TensorToWrite> tensors;
    for (const StoredTensor& stored : stored_tensors(model, prefix)) {
        auto bytes = [&held, &model, &before_each, p = stored.parameter,
                      shape = stored.shape]() -> std::span<const std::byte> {
            if (before_each) before_each();
            held = p != nullptr ? stored_value(*p, model.config().vocab_size)
                                : at::zeros(shape, at::kFloat);
            return {static_cast<const std::byte*>(held.const_data_ptr()), held.nbytes()};
        };
        tensors.push_back({.name = stored.name,
                           .dtype = Dtype::kF32,
                           .shape = stored.shape,
                           .bytes = std::move(bytes)});
    }
    return write_safetensors(path, std::move(tensors), stored_metadata(metadata), xxh3);
}

std::map<std::string, std::string> weight_digests(Gpt2& model) {
    std::map<std::string, std::string> digests;
    for (const Parameter& p : model.parameters()) {
        std::vector<int64_t> shape = p.spec.shape;
        if (has_vocabulary_rows(p.spec)) shape[0] = model.config().vocab_size;
        const at::Tensor value = p.value.detach().narrow(0, 0, shape[0]).to(at::kCPU).contiguous();
        const std::span bytes(static_cast<const std::byte*>(value.const_data_ptr()),
                              value.nbytes());
        digests[p.spec.name] = fmt::format("{} {:016x}", fmt::join(shape, "x"), xxh3(bytes));
    }
    return digests;
}

namespace {

/// The file with all tensors, or else the index of its shards.
fs::path single_or_index(const fs::path& path) {
    const fs::path single = fs::is_directory(path) ? path / "model.safetensors" : path;
    if (fs::exists(single)) return single;
    if (fs::exists(path / kIndex)) return path / kIndex;
    fail(kData, "{}: neither model.safetensors nor {} is there", path.string(), kIndex);
}

/// Shards by name, each with the tensors that the index expects in it.
std::map<std::string, std::set<std::string>> shards_of(const fs::path& index) {
    const nlohmann::json values = read_json(index, int64_t{1} << 28);
    const auto map = values.find("weight_map");
    if (map == values.end() || !map->is_object())
        fail(kData, "{}: the object 'weight_map' is missing", index.string());
    std::map<std::string, std::set<std::string>> shards;
    for (const auto& [name, file] : map->items()) {
        const fs::path shard = file.is_string() ? file.get<std::string>() : "";
        if (shard.empty() || shard.has_parent_path() || shard == "..")
            fail(kData, "{}: '{}' lies in {}; a file name in the same directory is needed",
                 index.string(), name, file.dump());
        shards[shard.string()].insert(name);
    }
    for (const auto& [file, names] : shards)
        if (!fs::exists(index.parent_path() / file))
            fail(kData, "{}: shard {} is missing", index.string(), file);
    return shards;
}

/// All tensors of a model's files by their name without prefix.
class WeightFiles {
public:
    explicit WeightFiles(const fs::path& path) {
        const fs::path file = single_or_index(path);
        if (file.filename() != kIndex)
            add(file, nullptr);
        else
            for (const auto& [shard, names] : shards_of(file)) add(path / shard, &names);
    }
    struct Entry {
        TensorView view;
        std::string path;
    };
    const Entry* find(const std::string& name) const {
        const auto found = entries_.find(name);
        return found == entries_.end() ? nullptr : &found->second;
    }
    const std::map<std::string, Entry>& entries() const { return entries_; }

private:
    /// `wanted`: names that the index expects here; null takes all.
    void add(const fs::path& path, const std::set<std::string>* wanted) {
        files_.emplace_back(path);
        for (const TensorView& view : files_.back().tensors()) {
            if (wanted != nullptr && !wanted->contains(view.name)) continue;
            std::string name = view.name;
            if (name.starts_with(kPrefix)) name = name.substr(kPrefix.size());
            if (!entries_.emplace(name, Entry{view, path.string()}).second)
                fail(kData, "{}: tensor '{}' occurs twice", path.string(), view.name);
        }
        if (wanted == nullptr) return;
        for (const std::string& name : *wanted)
            if (files_.back().find(name) == nullptr)
                fail(kData, "{}: tensor '{}' is missing, the index expects it here", path.string(),
                     name);
    }

    std::vector<SafetensorsFile> files_;
    std::map<std::string, Entry> entries_;
};

/// "h.3.attn.bias" and "h.3.attn.masked_bias": causal masks that older exports carry.
bool is_mask_buffer(const std::string& name) {
    return name.starts_with("h.") &&
           (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"));
}

at::ScalarType scalar_type_of(const WeightFiles::Entry& entry) {
    switch (entry.view.dtype) {
        case Dtype::kF32:
            return at::kFloat;
        case Dtype::kF16:
            return at::kHalf;
        case Dtype::kBf16:
            return at::kBFloat16;
        default:
            fail(kData, "{}: tensor '{}' is {}; F32, F16 and BF16 weights can be loaded",
                 entry.path, entry.view.name, name_of(entry.view.dtype));
    }
}

/// The file's bytes as a tensor, in the file's type and orientation; nothing is copied.
at::Tensor mapped(const WeightFiles::Entry& entry) {
    return at::from_blob(const_cast<std::byte*>(entry.view.bytes.data()), entry.view.shape,
                         at::TensorOptions().dtype(scalar_type_of(entry)));
}

void refuse_not_finite(const WeightFiles::Entry& entry, const at::Tensor& values) {
    const at::Tensor bad = values.isfinite().logical_not_().flatten();
    if (!bad.any().item<bool>()) return;
    const int64_t at = bad.to(at::kByte).argmax().item<int64_t>();
    fail(kData, "{}: tensor '{}' is {} at element {} (byte {} of the file)", entry.path,
         entry.view.name, values.flatten()[at].item<float>(), at,
         entry.view.file_offset + at * size_of(entry.view.dtype));
}

/// At most five of the names, then how many more.
std::string some_of(const std::vector<std::string>& names) {
    constexpr size_t kShown = 5;
    const size_t shown = std::min(names.size(), kShown);
    std::string text = fmt::format(
        "{}", fmt::join(names.begin(), names.begin() + static_cast<int64_t>(shown), ", "));
    if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
    return text;
}

void check_names(const fs::path& path, const WeightFiles& files, Gpt2& model) {
    std::vector<std::string> missing, unknown;
    for (const Parameter& p : model.parameters())
        if (files.find(p.spec.name) == nullptr && p.spec.name != kHead)
            missing.push_back(p.spec.name);
    for (const auto& [name, entry] : files.entries())
        if (model.find(name) == nullptr && name != kHead && !is_mask_buffer(name))
            unknown.push_back(name);
    if (missing.empty() && unknown.empty()) return;
    std::string text;
    if (!missing.empty())
        text += fmt::format("{} tensor(s) missing: {}", missing.size(), some_of(missing));
    if (!unknown.empty())
        text += fmt::format("{}{} unknown: {}", text.empty() ? "" : "; ", unknown.size(),
                            some_of(unknown));
    fail(kData, "{}: not the weights of this model ({} attention, {} layers): {}", path.string(),
         model.config().attention, model.config().n_layer, text);
}

/// A tied model takes no other head than wte.
void check_head(const WeightFiles& files, const Gpt2& model, bool untie) {
    const WeightFiles::Entry* head = files.find(kHead);
    if (head == nullptr || !model.config().weight_tying) return;
    const WeightFiles::Entry* wte = files.find("wte.weight");
    const bool same = wte != nullptr && head->view.shape == wte->view.shape &&
                      at::equal(mapped(*head).to(at::kFloat), mapped(*wte).to(at::kFloat));
    if (same) return;
    if (untie)
        fail(kUsage, "{}: an untied head needs a model with GPT2_WEIGHT_TYING=n", head->path);
    fail(kData,
         "{}: lm_head.weight differs from wte.weight, but the model ties them (--untie keeps both)",
         head->path);
}

void load_parameter(const WeightFiles::Entry& entry, Parameter& p, int64_t vocab_size,
                    bool check_finite) {
    const std::vector<int64_t> wanted = stored_shape(p.spec, vocab_size);
    if (entry.view.shape != wanted)
        fail(kData, "{}: tensor '{}' has shape [{}], the model needs [{}]", entry.path,
             entry.view.name, fmt::join(entry.view.shape, ", "), fmt::join(wanted, ", "));
    const at::Tensor values = mapped(entry);
    if (check_finite) refuse_not_finite(entry, values);
    if (!has_vocabulary_rows(p.spec)) {
        p.value.copy_(p.spec.conv1d ? values.t() : values);
        return;
    }
    p.value.narrow(0, 0, vocab_size).copy_(values);
    p.value.narrow(0, vocab_size, p.value.size(0) - vocab_size).zero_();
}

}  // namespace

std::string weights_sha256(const fs::path& path) {
    const fs::path file = single_or_index(path);
    std::vector<fs::path> files = {file};
    if (file.filename() == kIndex)
        for (const auto& [shard, names] : shards_of(file)) files.push_back(path / shard);
    return data::split_sha256(files);
}

void load_weights(const fs::path& path, Gpt2& model, bool untie, bool check_finite) {
    at::NoGradGuard no_grad;
    const WeightFiles files(path);
    check_names(path, files, model);
    check_head(files, model, untie);
    for (Parameter& p : model.parameters()) {
        const WeightFiles::Entry* entry = files.find(p.spec.name);
        if (entry == nullptr) entry = files.find("wte.weight");  // an untied head that starts tied
        load_parameter(*entry, p, model.config().vocab_size, check_finite);
        // Or the file would count as memory of this process beside its copy.
        forget_pages(entry->view.bytes.data(), std::ssize(entry->view.bytes));
    }
}

}  // namespace knlp::model
