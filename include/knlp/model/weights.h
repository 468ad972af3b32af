#pragma once

#include "knlp/config/model.h"
#include "knlp/model/gpt2.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace knlp::model {

/// Writes all parameters (Hugging Face orientation, fp32). prefix "" for checkpoints, "transformer." for
/// `convert --to hf`. Padded vocabulary rows are dropped. Returns bytes.
int64_t save_weights(const std::filesystem::path& path, Gpt2& model, const std::string& prefix,
                     const std::map<std::string, std::string>& metadata);

/// Loads weights from a safetensors file or a directory (model.safetensors, or shards by
/// model.safetensors.index.json): F32, F16, BF16; names with or without "transformer."; mask buffers
/// ignored; a head that differs from wte refused unless untie. Error{kData}: at most five missing or
/// unknown names, first differing shape. check_finite: refuse NaN and infinities.
void load_weights(const std::filesystem::path& path, Gpt2& model, bool untie = false,
                  bool check_finite = false);

/// config.json of a Hugging Face GPT-2 directory. Error{kData} naming key and value.
config::Model read_hf_config(const std::filesystem::path& directory);
void write_hf_config(const std::filesystem::path& directory, const config::Model& model, int64_t eot);

/// Where a model given on a command line lies: a run directory (its best or newest checkpoint), a
/// checkpoint directory, or a Hugging Face directory.
struct ModelSource {
    enum class Kind { kRun, kCheckpoint, kHuggingFace } kind = Kind::kRun;
    std::filesystem::path weights;               // file or directory for load_weights
    std::filesystem::path tokenizer;             // directory or empty
    config::Model model;
};
ModelSource find_model(const std::filesystem::path& path);

}  // namespace knlp::model
