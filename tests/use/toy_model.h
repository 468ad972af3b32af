#pragma once

#include "knlp/model/gpt2.h"
#include "knlp/model/parameter.h"

#include <ATen/Parallel.h>

namespace knlp::test {

/// Two layers over bytes; weights spread far enough for logits to differ by much more than
/// rounding.
inline config::Model toy_config() {
    return {.name = "toy",
            .size = "custom",
            .n_layer = 2,
            .n_head = 2,
            .d_model = 16,
            .n_ctx = 24,
            .vocab_size = 257,
            .dropout = 0.0};
}

inline model::Gpt2 toy_model(uint64_t seed = 1, double spread = 8,
                             config::Model config = toy_config()) {
    at::set_num_threads(1);  // the work is too small to share
    model::Gpt2 gpt2(config);
    gpt2.initialize(seed);
    const at::NoGradGuard no_grad;
    for (model::Parameter& parameter : gpt2.parameters())
        if (parameter.spec.role != model::InitRole::kOne) parameter.value.mul_(spread);
    return gpt2;
}

}  // namespace knlp::test
