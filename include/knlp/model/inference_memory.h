#pragma once

#include "knlp/config/model.h"
#include "knlp/core/memory_estimate.h"
#include "knlp/model/device.h"

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

/// Sequences whose tokens are scored together.
struct ScoringShape {
    int64_t batch = 1, length = 1;
    bool bf16_weights = false, bf16 = false;  // as they are held; as products take them
    Device device;
    int64_t threads = 1;
};

/// What Gpt2::row_losses() holds beside the program.
std::vector<MemoryTerm> loss_terms(const config::Model& model, const ScoringShape& shape);
/// The same of measure_perplexity() and score_continuations(), which run pieces of a batch in turn
/// where the decoder serves.
std::vector<MemoryTerm> scoring_terms(const config::Model& model, const ScoringShape& shape);

}  // namespace knlp::model
