#include "knlp/model/parameter.h"
#include "knlp/optim/named_state.h"
#include "knlp/train/save_trial.h"

#include "checkpoint_store.h"
#include "snapshot.h"

#include "knlp/core/host.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/model_files.h"
#include "knlp/model/runtime.h"
#include "knlp/model/weights.h"
#include "knlp/optim/optimizer.h"

#include <ATen/ops/zeros_like.h>

namespace knlp::train {

namespace fs = std::filesystem;

struct SaveTrial::State {
    std::string optimizer_name;
    model::Gpt2 gpt2;
    std::unique_ptr<optim::Optimizer> optimizer;
    fs::path last;  // checkpoint of the save before
    int64_t step = 0;
};

namespace {

const config::Model& after_start(const config::Model& model, int64_t threads) {
    model::start_runtime({.threads = threads});
    return model;
}

}  // namespace

SaveTrial::SaveTrial(const config::Model& model, const config::Optimizer& optimizer, uint64_t seed,
                     int64_t threads)
    : state_(new State{.optimizer_name = optimizer.name,
                       .gpt2 = model::Gpt2(after_start(model, threads)),
                       .optimizer = nullptr,
                       .last = {}}) {
    state_->gpt2.initialize(seed);
    state_->optimizer = optim::make_optimizer(optimizer, state_->gpt2, false);
    for (model::Parameter& parameter : state_->gpt2.parameters())
        parameter.value.mutable_grad() = at::zeros_like(parameter.value.detach());
    state_->optimizer->step(0.0);  // makes what it keeps
    for (model::Parameter& parameter : state_->gpt2.parameters())
        parameter.value.mutable_grad() = at::Tensor();
}

SaveTrial::~SaveTrial() = default;

int64_t SaveTrial::bytes() const {
    int64_t values = 0;
    for (const model::Parameter& parameter : state_->gpt2.parameters())
        values += parameter.value.numel();
    for (const optim::NamedState& kept : state_->optimizer->tensors()) values += kept.value.numel();
    return 4 * values;
}

SaveTrial::Times SaveTrial::save(const fs::path& run_directory) {
    State& s = *state_;
    // A run deletes old checkpoints when the new one is there; that is no part of saving it.
    if (!s.last.empty()) fs::remove_all(s.last);
    const double begin = steady_seconds();
    const std::shared_ptr<const Snapshot> copies =
        Snapshot::take(s.gpt2, *s.optimizer, s.optimizer_name);
    const double copied = steady_seconds();
    s.last = write_checkpoint(run_directory, ++s.step, [&](const fs::path& into) {
        return copies != nullptr ? copies->write(into)
                                 : write_tensors(into, s.gpt2, *s.optimizer, s.optimizer_name);
    });
    const double end = steady_seconds();
    return {.stall_s = (copies != nullptr ? copied : end) - begin, .total_s = end - begin};
}

int64_t SaveTrial::save_model(const fs::path& directory) {
    fs::create_directories(directory);
    model::write_hf_config(directory, state_->gpt2.config(), -1);
    return model::save_weights(directory / "model.safetensors", state_->gpt2, "transformer.", {});
}

}  // namespace knlp::train
