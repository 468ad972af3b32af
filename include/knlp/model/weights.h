#pragma once

#include "knlp/config/model.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/model_files.h"

#include <filesystem>
#include <map>
#include <string>

namespace knlp::model {

/// Writes all parameters (Hugging Face orientation, fp32). prefix "" for checkpoints,
/// "transformer." for `convert --to hf`, which also gets the zero biases that a model without
/// biases lacks. Padded vocabulary rows are dropped. Returns bytes.
int64_t save_weights(const std::filesystem::path& path, Gpt2& model, const std::string& prefix,
                     const std::map<std::string, std::string>& metadata);

/// Loads weights from a safetensors file or a directory (model.safetensors, or shards by
/// model.safetensors.index.json): F32, F16, BF16; names with or without "transformer."; mask
/// buffers ignored; a head that differs from wte refused unless untie. Error{kData}: at most five
/// missing or unknown names, first differing shape. check_finite: refuse NaN and infinities.
void load_weights(const std::filesystem::path& path, Gpt2& model, bool untie = false,
                  bool check_finite = false);

}  // namespace knlp::model
