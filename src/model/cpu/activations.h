#pragma once

#include "kernels/gemm.h"
#include "knlp/config/model.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace knlp::model {

/// From this width on a thread is better off sharing a product than packing all weights itself.
inline constexpr int64_t kWidestAlone = 512;

/// Sizes of one pass and how it computes.
struct PassShape {
    int64_t n_layer = 0, n_head = 0, d_model = 0;
    int64_t columns = 0, vocab_size = 0;  // of the logits, with and without padding
    int64_t batch = 0, length = 0;
    int64_t chunk = 0;  // rows of logits at once
    int64_t parts = 1;  // threads
    bool training = false;
    bool dropout = false;  // only while training
    bool alone = false;    // every thread goes through the pass with its own sequences, not waiting
    kernels::Storage type = kernels::Storage::kF32;  // of products and what they read and write
    int64_t rows() const { return batch * length; }
    bool operator==(const PassShape&) const = default;
};
PassShape pass_shape(const config::Model& model, int64_t batch, int64_t length, bool bf16,
                     bool training, int64_t parts);

/// What the backward pass needs of one block. Without training all blocks share one, and x, x_mid
/// and the output are the same memory.
struct BlockActivations {
    float* x = nullptr;      // [R, C] the block's input: the residual stream
    void* qkv = nullptr;     // [R, 3C] of type
    void* y = nullptr;       // [R, C] of type: joined heads
    float* lse = nullptr;    // [B, H, T]
    float* x_mid = nullptr;  // [R, C] after attention
    void* pre = nullptr;     // [R, 4C] of type, before GELU; null without training
    float *mean_1 = nullptr, *rstd_1 = nullptr, *mean_2 = nullptr, *rstd_2 = nullptr;  // [R]
    float* out = nullptr;  // [R, C]: x of the next block
};

/// Everything a pass holds, in one piece of memory that lives as long as its shape.
struct Activations {
    std::vector<BlockActivations> blocks;
    float* x_last = nullptr;                           // [R, C]
    float *mean_last = nullptr, *rstd_last = nullptr;  // [R]
    // One block at a time.
    void *norm_1 = nullptr, *norm_2 = nullptr;  // [R, C] of type: outputs of the norms
    void* wide = nullptr;                       // [R, 4C] of type: GELU
    void* d_wide = nullptr;                     // [R, 4C] of type
    void* d_qkv = nullptr;                      // [R, 3C] of type
    void* d_narrow = nullptr;                   // [R, C] of type
    // With dropout: the stream's gradient at out and x_mid as it enters proj and join.
    void *d_proj = nullptr, *d_join = nullptr;  // [R, C] of type
    float* dx[3] = {};                          // [R, C]: gradient of the residual stream, in turns
    float* norm_sums = nullptr;                 // [4, parts, C]: of weights and biases of two norms
    // Head; without `alone` it shares the memory of wide .. d_join, needed at other times.
    float* logits = nullptr;   // [chunk, columns]
    void* d_logits = nullptr;  // [chunk, columns] bfloat16, or null: in place of the logits
    float *share = nullptr, *nll = nullptr;  // [R]
};

/// Lays everything out from `base` on; `bytes` receives how much that is. base null: only counts.
Activations lay_out(const PassShape& shape, std::byte* base, int64_t& bytes);

}  // namespace knlp::model
