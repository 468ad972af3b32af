#pragma once

#include "session.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace knlp::train {

/// Metadata of optim.safetensors.
std::map<std::string, std::string> optimizer_metadata(const optim::Optimizer& optimizer,
                                                      const std::string& name);

/// optim.safetensors: "<parameter>.exp_avg" and so on, in the shapes the model computes with.
/// Returns the file's XXH3-64.
uint64_t write_optimizer(const std::filesystem::path& path, optim::Optimizer& optimizer,
                         const std::string& name);

/// Fills the optimizer's tensors. Error{kData} naming the first tensor that is missing, unknown or
/// of another shape or type.
void read_optimizer(const std::filesystem::path& path, optim::Optimizer& optimizer);

/// The batch of a step that could not be learned from: "inputs" and "targets" [E, T] int64.
void write_batch(const std::filesystem::path& path, const Session& session, int64_t step);

}  // namespace knlp::train
