#pragma once

#include "checkpoint_store.h"

#include "knlp/model/gpt2.h"
#include "knlp/optim/optimizer.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace knlp::train {

/// Copies of all tensors of a checkpoint, so that it can be written while training goes on.
class Snapshot {
public:
    /// Copies weights and optimizer state on all threads. Null when there is no memory for it.
    static std::shared_ptr<const Snapshot> take(model::Gpt2& model, optim::Optimizer& optimizer,
                                                const std::string& optimizer_name);
    ~Snapshot();
    Snapshot(const Snapshot&) = delete;
    Snapshot& operator=(const Snapshot&) = delete;

    int64_t bytes() const;
    /// Writes model.safetensors and optim.safetensors, the same bytes as write_tensors() at the
    /// time of take(). Calls nothing of LibTorch: it may run in a thread of its own.
    KnownHashes write(const std::filesystem::path& directory) const;

private:
    struct Copy;
    struct State;
    explicit Snapshot(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

/// Writes model.safetensors and optim.safetensors as the tensors are now.
KnownHashes write_tensors(const std::filesystem::path& directory, model::Gpt2& model,
                          optim::Optimizer& optimizer, const std::string& optimizer_name);

}  // namespace knlp::train
