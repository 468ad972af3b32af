#pragma once

#include "knlp/config/model.h"

#include <cstdint>
#include <filesystem>

namespace knlp::model {

/// config.json of a Hugging Face GPT-2 directory. Error{kData} naming key and value.
config::Model read_hf_config(const std::filesystem::path& directory);
/// Writes config.json so that transformers opens the directory; eot is its bos and eos token.
void write_hf_config(const std::filesystem::path& directory, const config::Model& model,
                     int64_t eot);

/// Where a model given on a command line lies: a run directory (its best or newest complete
/// checkpoint), a checkpoint directory, or a Hugging Face directory.
struct ModelSource {
    enum class Kind { kRun, kCheckpoint, kHuggingFace } kind = Kind::kRun;
    std::filesystem::path weights;    // file or directory for load_weights
    std::filesystem::path tokenizer;  // directory or empty
    config::Model model;
};
/// Error{kData} saying what was looked for when `path` is none of these.
ModelSource find_model(const std::filesystem::path& path);

/// Error{kData} naming the weights when they are not what MANIFEST.json of their checkpoint says,
/// by their hash. Other models, and checkpoints without that file, have nothing to be compared
/// with.
void require_intact(const ModelSource& source);

/// True when every file that MANIFEST.json of a checkpoint directory lists is there with its size.
bool checkpoint_complete(const std::filesystem::path& checkpoint);

}  // namespace knlp::model
