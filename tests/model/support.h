#pragma once

#include "knlp/config/model.h"
#include "knlp/model/gpt2.h"
#include "knlp/model/parameter.h"

#include <ATen/core/Tensor.h>

#include <cstdlib>
#include <filesystem>

namespace knlp::test {

/// Root of the source tree.
inline std::filesystem::path source_root() {
    const char* path = std::getenv("KNLP_SRC");
    return path != nullptr ? path : ".";
}

/// A model small enough for finite differences and odd enough to find mixed-up sizes.
inline config::Model small_model() {
    config::Model m;
    m.size = "custom";
    m.n_layer = 2;
    m.n_head = 2;
    m.d_model = 16;
    m.n_ctx = 12;
    m.vocab_size = 11;
    m.dropout = 0.0;
    return m;
}

/// ids in [0, vocab_size), a fixed function of the place.
inline at::Tensor some_ids(int64_t batch, int64_t length, int64_t vocab_size, int64_t salt = 0) {
    const at::Tensor n = at::arange(batch * length, at::kLong).view({batch, length}) + salt;
    return (n * n * 7 + n * 3 + 5).remainder(vocab_size);
}

inline double max_difference(const at::Tensor& a, const at::Tensor& b) {
    return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

/// max |a - b| / max |b|
inline double relative_difference(const at::Tensor& a, const at::Tensor& b) {
    return max_difference(a, b) / std::max(1e-300, b.abs().max().item<double>());
}

}  // namespace knlp::test
