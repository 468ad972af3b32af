#include "knlp/core/error.h"
#include "knlp/core/json.h"
#include "knlp/core/log.h"
#include "knlp/model/model_files.h"
#include "knlp/model/model_json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

namespace knlp::model {

namespace fs = std::filesystem;

namespace {

/// Number after "step-", or none for other names.
std::optional<int64_t> step_of(const std::string& name) {
    constexpr std::string_view kPrefix = "step-";
    if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return std::nullopt;
    int64_t step = 0;
    const char* last = name.data() + name.size();
    const auto [end, error] = std::from_chars(name.data() + kPrefix.size(), last, step);
    if (error != std::errc() || end != last || step < 0) return std::nullopt;
    return step;
}

struct Found {
    int64_t step;
    fs::path path;
};

/// Complete checkpoints of a run by ascending step.
std::vector<Found> complete_checkpoints(const fs::path& run) {
    std::vector<Found> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(run / "checkpoints")) {
        const std::optional<int64_t> step = step_of(entry.path().filename().string());
        if (!step) continue;
        if (checkpoint_complete(entry.path()))
            found.push_back({*step, entry.path()});
        else
            log::warn("{}: checkpoint is incomplete or damaged and is left aside",
                      entry.path().string());
    }
    std::sort(found.begin(), found.end(),
              [](const Found& a, const Found& b) { return a.step < b.step; });
    return found;
}

/// The best by the newest checkpoint's account when it is still there, else the newest.
fs::path best_checkpoint(const fs::path& run) {
    const std::vector<Found> found = complete_checkpoints(run);
    if (found.empty())
        fail(kData, "{}: no complete checkpoint in checkpoints/; train with SAVE_CHECKPOINT=y",
             run.string());
    const nlohmann::json state = read_json(found.back().path / "state.json");
    const auto best = state.find("best_step");
    if (best != state.end() && best->is_number_integer())
        for (const Found& f : found)
            if (f.step == best->get<int64_t>()) return f.path;
    return found.back().path;
}

/// The directory that state.json names, or the run's.
fs::path tokenizer_of(const fs::path& checkpoint, const nlohmann::json& state) {
    std::error_code error;
    const auto named = state.find("tokenizer");
    if (named != state.end() && named->is_string()) {
        const fs::path path = checkpoint / named->get<std::string>();
        if (fs::is_directory(path, error)) return path.lexically_normal();
    }
    const fs::path beside = fs::absolute(checkpoint).parent_path().parent_path() / "tokenizer";
    return fs::is_directory(beside, error) ? beside : fs::path();
}

ModelSource from_checkpoint(const fs::path& checkpoint, ModelSource::Kind kind) {
    const fs::path file = checkpoint / "state.json";
    const nlohmann::json state = read_json(file);
    if (!state.is_object() || !state.contains("model"))
        fail(kData, "{}: the object 'model' is missing", file.string());
    ModelSource source;
    source.kind = kind;
    source.weights = checkpoint / "model.safetensors";
    source.tokenizer = tokenizer_of(checkpoint, state);
    try {
        config::from_json(state.at("model"), source.model);
    } catch (const Error& error) {
        throw Error(error.kind(), error.code(), file.string() + ": " + error.what());
    }
    return source;
}

bool has_tokenizer(const fs::path& directory) {
    std::error_code error;
    return (fs::exists(directory / "vocab.json", error) &&
            fs::exists(directory / "merges.txt", error)) ||
           fs::exists(directory / "tokenizer.json", error);
}

}  // namespace

bool checkpoint_complete(const fs::path& checkpoint) {
    std::error_code error;
    const fs::path manifest = checkpoint / "MANIFEST.json";
    if (!fs::is_regular_file(manifest, error)) return false;
    try {
        const nlohmann::json values = read_json(manifest);
        for (const nlohmann::json& file : values.at("files")) {
            const fs::path name = file.at("name").get<std::string>();
            if (name.has_parent_path()) return false;
            if (fs::file_size(checkpoint / name) != file.at("bytes").get<uint64_t>()) return false;
        }
        return !values.at("files").empty();
    } catch (const Error&) {
        return false;
    } catch (const nlohmann::json::exception&) {
        return false;
    } catch (const fs::filesystem_error&) {
        return false;
    }
}

ModelSource find_model(const fs::path& path) {
    std::error_code error;
    if (!fs::is_directory(path, error))
        fail(kData,
             "{}: no such directory; give a run, a checkpoint or a Hugging Face GPT-2 directory",
             path.string());
    if (fs::is_directory(path / "checkpoints", error))
        return from_checkpoint(best_checkpoint(path), ModelSource::Kind::kRun);
    if (fs::exists(path / "state.json", error))
        return from_checkpoint(path, ModelSource::Kind::kCheckpoint);
    if (fs::exists(path / "config.json", error))
        return {.kind = ModelSource::Kind::kHuggingFace,
                .weights = path,
                .tokenizer = has_tokenizer(path) ? path : fs::path(),
                .model = read_hf_config(path)};
    fail(kData,
         "{}: not a model: neither checkpoints/ (a run), state.json (a checkpoint) nor config.json "
         "(a Hugging Face GPT-2) is there",
         path.string());
}

}  // namespace knlp::model
