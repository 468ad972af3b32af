#pragma once

#include "activations.h"
#include "chain.h"
#include "dropout_site.h"

namespace knlp::model {

/// One parameter as the passes see it.
struct Weight {
    const float* value = nullptr;  // null: the model has none
    float* gradient = nullptr;
    bool fresh = false;  // what the gradient holds is to be replaced, not added to
};
struct NormWeights {
    Weight scale, shift;
};
/// matrix [out, in], bias [out] or none.
struct LinearWeights {
    Weight matrix, bias;
    int64_t out = 0, in = 0;
};
struct BlockWeights {
    NormWeights ln_1;
    LinearWeights qkv, join;
    NormWeights ln_2;
    LinearWeights fc, proj;
};

/// What all blocks of a pass have in common, and the block's place in it.
struct BlockPass {
    const PassShape& shape;
    const Activations& buffers;
    float epsilon = 1e-5f;
    bool gelu_tanh = true;
    DropoutSite dropout;    // that of the block's attention; rate 0 without PassShape::dropout
    int64_t first_row = 0;  // number of sequence 0 in the effective batch
};

/// x_mid = x + join(attention(qkv(ln_1(x)))); out = x_mid + proj(gelu(fc(ln_2(x_mid)))). With
/// dropout: of the attention's probabilities and of what join and proj add.
void block_forward(Chain& chain, const BlockPass& pass, const BlockWeights& weights,
                   const BlockActivations& block);

/// Gradient of the residual stream from dx[0], at the block's output, by dx[1], at x_mid, to dx[2],
/// at its input; leaves in the buffers what the gradients of the weights are made of.
void block_backward(Chain& chain, const BlockPass& pass, const BlockWeights& weights,
                    const BlockActivations& block, float* const dx[3]);

/// Gradients of the block's weights, after block_backward.
void block_weight_gradients(Chain& chain, const BlockPass& pass, const BlockWeights& weights,
                            const BlockActivations& block, float* const dx[3]);

// --- Pieces that the head uses too

/// y = norm(x), of the pass's type; keeps mean and 1 / deviation of every row.
void norm_forward(Chain& chain, const BlockPass& pass, const NormWeights& weights, const float* x,
                  void* y, float* mean, float* rstd);
/// dx = gradient of x from dy (of dy_type); with `add` dx = add + gradient. y, when not null,
/// receives the norm's output again. Sums for the weights go to slot `slot` (0 or 1) of norm_sums.
struct NormBackward {
    const float *x = nullptr, *mean = nullptr, *rstd = nullptr;
    const void* dy = nullptr;
    kernels::Storage dy_type = kernels::Storage::kF32;
    const float* add = nullptr;
    float* dx = nullptr;
    void* y = nullptr;
    int64_t slot = 0;
};
void norm_backward(Chain& chain, const BlockPass& pass, const NormWeights& weights,
                   const NormBackward& n);
void norm_weight_gradients(Chain& chain, const BlockPass& pass, const NormWeights& weights,
                           int64_t slot);

/// What dropout site `site` keeps of x [R, C], scaled, to y of `type`; with `add` added to that. y
/// may be x or add where it is float32.
struct DropRows {
    const float* x = nullptr;
    const float* add = nullptr;
    void* y = nullptr;
    kernels::Storage type = kernels::Storage::kF32;
};
void drop_rows(Chain& chain, const BlockPass& pass, int64_t site, const DropRows& d);

/// Arguments of the three products of a layer on `rows` rows; types and epilogue are as for float32
/// until the caller changes them.
kernels::GemmArgs forward_product(const LinearWeights& layer, const void* x, void* y, int64_t rows,
                                  kernels::Storage type);
kernels::GemmArgs input_product(const LinearWeights& layer, const void* dy, void* dx, int64_t rows,
                                kernels::Storage type);
kernels::GemmArgs weight_product(const LinearWeights& layer, const void* dy, const void* x,
                                 int64_t rows, kernels::Storage type);

}  // namespace knlp::model
