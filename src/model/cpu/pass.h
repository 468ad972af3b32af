#pragma once

#include "block.h"
#include "buffer.h"
#include "dropout_site.h"

#include "knlp/config/model.h"

#include <cstdint>
#include <vector>

namespace knlp::model {

/// All parameters of a GPT-2. With tying `head.matrix` is `wte`.
struct ModelWeights {
    Weight wte, wpe;
    std::vector<BlockWeights> blocks;
    NormWeights ln_f;
    LinearWeights head;
    bool tied = true;
};

struct PassInput {
    const int64_t* ids = nullptr;      // [batch, length]
    const int64_t* targets = nullptr;  // [batch, length], -1 for none
    int64_t batch = 0, length = 0;
    bool bf16 = false;
    DropoutSite dropout;    // the pass's first, that of the embedding; rate 0: none
    int64_t first_row = 0;  // number of sequence 0 in the effective batch
};

struct PassLoss {
    double loss = 0;       // sum of the rows' losses / divisor, nats
    double forward_s = 0;  // until the loss was known; the head's gradients are made by then
};

/// Passes of a GPT-2 through our own kernels on the CPU, without autograd: buffers that are made
/// for a shape and used again by every pass of that shape.
class CpuPass {
public:
    explicit CpuPass(const config::Model& model) : model_(model) {}
    /// Writes (where fresh) or adds to every gradient. divisor 0: the number of targets.
    /// Error{kData} for ids or targets outside the vocabulary.
    PassLoss loss_and_gradients(const ModelWeights& weights, const PassInput& input,
                                double divisor);
    /// nll [batch * length]: -log p of each target, 0 where it is -1.
    void token_nll(const ModelWeights& weights, const PassInput& input, float* nll);
    int64_t bytes() const { return arena_.bytes(); }

private:
    void prepare(const PassInput& input, bool training);
    void forward(Chain& chain, const ModelWeights& weights, const PassInput& input);
    void head(Chain& chain, const ModelWeights& weights, const PassInput& input, int64_t first,
              int64_t rows);
    void head_weight(Chain& chain, const ModelWeights& weights, int64_t first, int64_t rows);
    void backward(const ModelWeights& weights, const PassInput& input);
    void embedding_backward(const ModelWeights& weights, const PassInput& input, const float* dx);
    BlockPass block_pass(const PassInput& input, size_t layer = 0) const;
    Chain rows_chain() const;

    config::Model model_;
    PassShape shape_;
    Buffer arena_;
    Activations buffers_;
};

}  // namespace knlp::model
