#pragma once

#include "knlp/config/model.h"
#include "knlp/core/memory_estimate.h"

#include <cstdint>
#include <vector>

namespace knlp::model {

/// Texts that a model reads and continues.
struct InferenceShape {
    int64_t batch = 1;   // texts at once
    int64_t prompt = 1;  // tokens of each that are read at once
    int64_t slots = 1;   // of the cache, for each text; 0: no cache
    bool bf16 = false;   // matrices, keys and values
};

/// Tokens that the decoder runs at once, enough for products at full speed and few enough to stay
/// in the cache between the parts of a layer; more where a single text has more.
inline constexpr int64_t kTokensAtOnce = 2048;

/// Bytes of the parameters as prepare_weights() lays them out.
int64_t weight_bytes(const config::Model& model, bool bf16);

/// What inference on the CPU holds beside the program.
std::vector<MemoryTerm> inference_terms(const config::Model& model, const InferenceShape& shape);

}  // namespace knlp::model
