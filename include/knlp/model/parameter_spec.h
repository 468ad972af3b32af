#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace knlp::model {

/// How a tensor starts (docs/models.md, "Initialization"): by role, never by a suffix of its name.
enum class InitRole { kNormal, kResidualOutput, kZero, kOne };

/// One trainable tensor, described before it exists.
struct ParameterSpec {
    std::string name;            // Hugging Face's without prefix: "h.0.attn.c_attn.weight"
    std::vector<int64_t> shape;  // as computed with; linear weights [out, in]
    InitRole role = InitRole::kNormal;
    bool decay = false;     // weight decay applies: linear matrices only
    bool conv1d = false;    // stored transposed, [in, out], in Hugging Face files
    std::string role_name;  // "attention.qkv", "embedding.token", … for `convert --list`
};

int64_t element_count(const ParameterSpec& spec);

}  // namespace knlp::model
