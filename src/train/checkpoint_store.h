#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace knlp::train {

std::string checkpoint_name(int64_t step);  // "step-00001000"
std::optional<int64_t> checkpoint_step(const std::string& name);
/// SHA-256 of what the file holds now; unlike sha256_file, nothing is remembered.
std::string hash_file(const std::filesystem::path& path);

/// Makes checkpoints/step-N of a run: `fill` writes files into a directory of another name,
/// MANIFEST.json with their sizes and hashes follows, then the directory takes its name. One that
/// is there already is replaced. On an error nothing is left behind and older checkpoints are as
/// they were. Error{kRun, "E_IO"} with path and reason.
std::filesystem::path write_checkpoint(
    const std::filesystem::path& run_directory, int64_t step,
    const std::function<void(const std::filesystem::path&)>& fill);

/// Deletes all but the newest `keep` and the one of best_step. Nothing is deleted when the newest
/// does not verify.
void prune_checkpoints(const std::filesystem::path& run_directory, int64_t keep, int64_t best_step);

/// Removes what a killed save left, and renames damaged checkpoints newer than `from_step` to
/// damaged-step-N (0 or more; -1 keeps none).
void clean_checkpoints(const std::filesystem::path& run_directory, int64_t from_step);

}  // namespace knlp::train
