#include "knlp/model/loaded_model.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/data/tokenizer.h"
#include "knlp/model/decoder.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/inference_memory.h"
#include "knlp/model/runtime.h"
#include "knlp/model/weights.h"

namespace knlp::model {

struct LoadedModel::State {
    std::filesystem::path path;
    ModelSource source;
    std::unique_ptr<Gpt2> gpt2;
    std::unique_ptr<data::Tokenizer> tokenizer;
    bool bf16 = false;
    double load_seconds = 0;
};

namespace {

/// The one asked for, the model's own, or the one `convert` put aside because transformers cannot
/// read it.
std::filesystem::path tokenizer_place(const LoadRequest& request, const ModelSource& source) {
    if (!request.tokenizer.empty()) return request.tokenizer;
    if (!source.tokenizer.empty()) return source.tokenizer;
    const std::filesystem::path aside = request.path / "tokenizer";
    std::error_code error;
    return is_directory(aside, error) ? aside : std::filesystem::path();
}

/// Error{kRun, "E_MEMORY"} where the weights alone are more than there is.
void require_room(const config::Model& model, bool bf16, Device device) {
    const int64_t held = device.is_cpu() ? resident_bytes() : 0;
    const int64_t free_bytes = device_free_bytes(device);
    if (free_bytes <= 0) return;  // a driver that does not tell
    const MemoryEstimate estimate{.terms = {{"weights", weight_bytes(model, bf16)},
                                            {"program and libraries", held + kFirstOperations}},
                                  .available = free_bytes + held,
                                  .device = device.is_cpu() ? "" : device.str()};
    require_fit(estimate, bf16 ? "take a smaller model" : "take --dtype bf16, or a smaller model");
}

}  // namespace

LoadedModel::LoadedModel(const LoadRequest& request) : state_(std::make_unique<State>()) {
    State& state = *state_;
    const double started = steady_seconds();
    start_runtime({.threads = request.threads});
    state.path = request.path;
    state.source = find_model(request.path);
    require_intact(state.source);
    if (request.untie) state.source.model.weight_tying = false;
    const Device device = resolve_device(request.device);
    require_room(state.source.model, request.bf16, device);
    state.gpt2 = std::make_unique<Gpt2>(state.source.model, device);
    state.bf16 = request.bf16;
    prepare_weights(*state.gpt2, state.bf16);
    load_weights(state.source.weights, *state.gpt2, !state.source.model.weight_tying,
                 request.check_finite);
    const std::filesystem::path place = tokenizer_place(request, state.source);
    if (!place.empty()) state.tokenizer = data::load_tokenizer(place);
    if (state.tokenizer && state.tokenizer->vocab_size() > state.source.model.vocab_size)
        fail(kData,
             "{}: tokenizer of {} ids, but the model has {}; name the model's own with --tokenizer",
             place.string(), state.tokenizer->vocab_size(), state.source.model.vocab_size);
    state.load_seconds = steady_seconds() - started;
}

LoadedModel::~LoadedModel() = default;
LoadedModel::LoadedModel(LoadedModel&&) noexcept = default;

Gpt2& LoadedModel::gpt2() {
    return *state_->gpt2;
}
const config::Model& LoadedModel::config() const {
    return state_->source.model;
}
bool LoadedModel::bf16() const {
    return state_->bf16;
}
bool LoadedModel::has_tokenizer() const {
    return state_->tokenizer != nullptr;
}

const data::Tokenizer& LoadedModel::tokenizer() const {
    if (!state_->tokenizer)
        fail(kUsage,
             "{}: no tokenizer beside the model; name one with --tokenizer DIR (vocab.json and "
             "merges.txt, tokenizer.json, or a rank file)",
             state_->path.string());
    return *state_->tokenizer;
}

const std::filesystem::path& LoadedModel::weights() const {
    return state_->source.weights;
}

std::filesystem::path LoadedModel::run_directory() const {
    // A checkpoint of a run lies in <run>/checkpoints/<step>.
    std::error_code error;
    for (const std::filesystem::path& at :
         {state_->path, std::filesystem::absolute(state_->path).parent_path().parent_path()})
        if (exists(at / "manifest.json", error) && exists(at / "config", error)) return at;
    return {};
}

std::string LoadedModel::device() const {
    return state_->gpt2->device().str();
}
double LoadedModel::load_seconds() const {
    return state_->load_seconds;
}

}  // namespace knlp::model
