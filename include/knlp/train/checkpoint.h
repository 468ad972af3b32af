#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace knlp::train {

/// A complete checkpoint directory on disk: MANIFEST.json present and its sizes right.
struct CheckpointInfo {
    std::filesystem::path path;
    int64_t step = 0;
    bool best = false;  // state.json's best_step is this one
};
/// Complete checkpoints of a run by ascending step. Incomplete and damaged ones are left out.
std::vector<CheckpointInfo> list_checkpoints(const std::filesystem::path& run_directory);
/// Compares sizes and hashes with MANIFEST.json; returns "" or what is wrong.
std::string verify_checkpoint(const std::filesystem::path& checkpoint);
/// Newest whose hashes verify. What is wrong with newer ones is a line each in `damaged`.
std::optional<CheckpointInfo> newest_checkpoint(const std::filesystem::path& run_directory,
                                                std::vector<std::string>& damaged);

}  // namespace knlp::train
