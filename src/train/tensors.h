#pragma once

#include "session.h"

#include <filesystem>

namespace knlp::train {

/// optim.safetensors: "<parameter>.exp_avg" and so on, in the shapes the model computes with.
void write_optimizer(const std::filesystem::path& path, optim::Optimizer& optimizer,
                     const std::string& name);

/// Fills the optimizer's tensors. Error{kData} naming the first tensor that is missing, unknown or
/// of another shape or type.
void read_optimizer(const std::filesystem::path& path, optim::Optimizer& optimizer);

/// The batch of a step that could not be learned from: "inputs" and "targets" [E, T] int64.
void write_batch(const std::filesystem::path& path, const Session& session, int64_t step);

}  // namespace knlp::train
