#pragma once

#include "knlp/config/model.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/model_files.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace knlp::model {

/// A tensor as save_weights stores it.
struct StoredTensor {
    std::string name;
    std::vector<int64_t> shape;            // as stored: padded vocabulary rows dropped
    const Parameter* parameter = nullptr;  // null: zeros
    bool turned = false;                   // a matrix stored as the transpose of what is held
};
/// What save_weights writes, in the order of the model.
std::vector<StoredTensor> stored_tensors(Gpt2& model, const std::string& prefix);
/// The metadata that goes with it, `more` included.
std::map<std::string, std::string> stored_metadata(const std::map<std::string, std::string>& more);

/// Writes all parameters (Hugging Face orientation, fp32). prefix "" for checkpoints,
/// "transformer." for `convert --to hf`, which also gets the zero biases that a model without
/// biases lacks. Padded vocabulary rows are dropped. Returns bytes; `xxh3` gets their XXH3-64.
/// `before_each` tensor is for who may want to stop: what it throws leaves no file behind.
int64_t save_weights(const std::filesystem::path& path, Gpt2& model, const std::string& prefix,
                     const std::map<std::string, std::string>& metadata, uint64_t* xxh3 = nullptr,
                     const std::function<void()>& before_each = {});

/// Name of each parameter -> its shape as computed with and the XXH3-64 of its values, such as
/// "128x64 0123456789abcdef"; padded vocabulary rows do not count.
std::map<std::string, std::string> weight_digests(Gpt2& model);

/// Loads weights from a safetensors file or a directory (model.safetensors, or shards by
/// model.safetensors.index.json): F32, F16, BF16; names with or without "transformer."; mask
/// buffers ignored; a head that differs from wte refused unless untie. Error{kData}: at most five
/// missing or unknown names, first differing shape. check_finite: refuse NaN and infinities.
void load_weights(const std::filesystem::path& path, Gpt2& model, bool untie = false,
                  bool check_finite = false);

/// SHA-256 of what load_weights reads: of the file, or of the "<sha256>  <name>\n" lines of its
/// shards and their index.
std::string weights_sha256(const std::filesystem::path& path);

}  // namespace knlp::model
