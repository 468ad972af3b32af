#pragma once

#include "knlp/config/train.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace knlp::data {
class TokenFile;
}
namespace knlp::model {
class Gpt2;
}

namespace knlp::train {

/// Mean loss over fixed windows. Equal for the same weights, windows and threads whoever calls it.
struct EvalResult {
    double loss = 0, standard_error = 0;  // nats per token; error over windows, NaN for one window
    int64_t tokens = 0;
    std::vector<float> window_loss;  // mean of each window
    double seconds = 0;
    bool complete = true;  // false: stopped before the last window
};
/// should_stop is asked before each batch.
EvalResult evaluate_windows(model::Gpt2& model, const data::TokenFile& tokens,
                            std::span<const int64_t> starts, int64_t batch,
                            config::Precision precision,
                            const std::function<bool()>& should_stop = {});

}  // namespace knlp::train
