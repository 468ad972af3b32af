#pragma once

#include <cstdint>

namespace knlp::kernels {

/// Cross-entropy of rows of logits and, in place of the logits, their gradient, in two passes over
/// a row: nll = log sum exp(logits) - logits[target], 0 for target -1; logits = share * (softmax -
/// one hot), all 0 for target -1. Columns from vocab_size to `columns` are padding: they count as
/// -inf and their gradient is 0. with_gradient false leaves the logits as they were, gradient_bf16
/// leaves them undefined.
struct CrossEntropyArgs {
    float* logits = nullptr;           // [rows, columns]
    const int64_t* targets = nullptr;  // [rows], -1 for none
    const float* share = nullptr;      // [rows]: weight of each row in the mean; null = 1
    float* nll = nullptr;              // [rows]
    void* gradient_bf16 = nullptr;     // [rows, columns]: takes the gradient as bfloat16, or null
    int64_t columns = 0, vocab_size = 0;
    bool with_gradient = true;
};
using CrossEntropyFn = void (*)(const CrossEntropyArgs& args, int64_t first, int64_t last);

void cross_entropy_scalar(const CrossEntropyArgs& args, int64_t first, int64_t last);
void cross_entropy_avx2(const CrossEntropyArgs& args, int64_t first, int64_t last);
void cross_entropy_avx512(const CrossEntropyArgs& args, int64_t first, int64_t last);

}  // namespace knlp::kernels
