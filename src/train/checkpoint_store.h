#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace knlp::train {

std::string checkpoint_name(int64_t step);  // "step-00001000"
std::optional<int64_t> checkpoint_step(const std::string& name);
std::string hash_text(uint64_t xxh3);  // 16 digits, as MANIFEST.json has it
/// XXH3-64 of files by their names, where they were hashed on their way to the disk.
using KnownHashes = std::map<std::string, uint64_t>;
/// Writes the files of a checkpoint into a directory.
using FillCheckpoint = std::function<KnownHashes(const std::filesystem::path&)>;

/// Makes checkpoints/step-N of a run: `fill` writes files into a directory of another name,
/// MANIFEST.json with their sizes and hashes follows (files whose hash fill() does not tell are
/// read again), then the directory takes its name. One that is there already is replaced. On an
/// error nothing is left behind and older checkpoints are as they were. Error{kRun, "E_IO"} with
/// path and reason.
std::filesystem::path write_checkpoint(const std::filesystem::path& run_directory, int64_t step,
                                       const FillCheckpoint& fill);

/// Deletes all but the newest `keep` and the one of best_step. Nothing is deleted when the newest
/// does not verify.
void prune_checkpoints(const std::filesystem::path& run_directory, int64_t keep, int64_t best_step);

/// Removes what a killed save left, and renames damaged checkpoints newer than `from_step` to
/// damaged-step-N (0 or more; -1 keeps none).
void clean_checkpoints(const std::filesystem::path& run_directory, int64_t from_step);

}  // namespace knlp::train
