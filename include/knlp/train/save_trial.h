#pragma once

#include "knlp/config/model.h"
#include "knlp/config/train.h"

#include <cstdint>
#include <filesystem>
#include <memory>

namespace knlp::train {

/// A model in training that does nothing but save itself, for measuring it.
class SaveTrial {
public:
    /// Weights of the seed, and the optimizer's state after a step.
    SaveTrial(const config::Model& model, const config::Optimizer& optimizer, uint64_t seed,
              int64_t threads);
    ~SaveTrial();
    SaveTrial(const SaveTrial&) = delete;
    SaveTrial& operator=(const SaveTrial&) = delete;

    struct Times {
        double stall_s = 0;  // training waits so long: for the copies, or where there was no memory
                             // for them for all of it
        double total_s = 0;  // until the checkpoint is on the disk
    };
    /// A checkpoint in the directory, as a run makes it; one that is there is replaced. Error{kRun}
    /// as write_checkpoint().
    Times save(const std::filesystem::path& run_directory);
    int64_t bytes() const;  // of the tensors of a checkpoint

    /// The model alone, in Hugging Face layout. Returns the bytes of its weights.
    int64_t save_model(const std::filesystem::path& directory);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::train
