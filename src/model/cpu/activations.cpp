#include "activations.h"

#include "knlp/model/gpt2.h"

#include <algorithm>

namespace knlp::model {

using kernels::Storage;

namespace {

constexpr int64_t kLine = 64;

/// Hands out consecutive pieces of memory.
class Cursor {
public:
    explicit Cursor(std::byte* base) : base_(base) {}
    void* values(int64_t count, Storage type) {
        return bytes(count * (type == Storage::kF32 ? 4 : 2));
    }
    float* floats(int64_t count) { return static_cast<float*>(bytes(4 * count)); }
    int64_t at() const { return at_; }
    void go_to(int64_t at) { at_ = at; }

private:
    void* bytes(int64_t count) {
        void* piece = base_ == nullptr ? nullptr : base_ + at_;
        at_ += (count + kLine - 1) / kLine * kLine;
        return piece;
    }
    std::byte* base_;
    int64_t at_ = 0;
};

void lay_out_block(const PassShape& s, Cursor& cursor, BlockActivations& block) {
    const int64_t rows = s.rows(), c = s.d_model;
    block.qkv = cursor.values(rows * 3 * c, s.type);
    block.y = cursor.values(rows * c, s.type);
    block.lse = cursor.floats(rows * s.n_head);
    if (s.training) {
        block.x_mid = cursor.floats(rows * c);
        block.pre = cursor.values(rows * 4 * c, s.type);
    }
    for (float** statistics : {&block.mean_1, &block.rstd_1, &block.mean_2, &block.rstd_2})
        *statistics = cursor.floats(rows);
}

}  // namespace

PassShape pass_shape(const config::Model& model, int64_t batch, int64_t length, bool bf16,
                     bool training, int64_t parts) {
    return {.n_layer = model.n_layer,
            .n_head = model.n_head,
            .d_model = model.d_model,
            .columns = model.padded_vocab(),
            .vocab_size = model.vocab_size,
            .batch = batch,
            .length = length,
            .chunk = logit_rows(model, batch * length, {}),
            .parts = parts,
            .training = training,
            .dropout = training && model.dropout > 0,
            .type = bf16 ? Storage::kBf16 : Storage::kF32};
}

Activations lay_out(const PassShape& s, std::byte* base, int64_t& bytes) {
    const int64_t rows = s.rows(), c = s.d_model;
    Cursor cursor(base);
    Activations all;
    all.blocks.resize(static_cast<size_t>(s.n_layer));
    float* x = cursor.floats(rows * c);
    for (size_t l = 0; l < all.blocks.size(); ++l) {
        BlockActivations& block = all.blocks[l];
        if (s.training || l == 0)
            lay_out_block(s, cursor, block);
        else
            block = all.blocks[0];
        block.x = x;
        if (s.training)
            x = cursor.floats(rows * c);
        else
            block.x_mid = x;
        block.out = x;
    }
    all.x_last = x;
    all.mean_last = cursor.floats(rows);
    all.rstd_last = cursor.floats(rows);
    all.norm_1 = cursor.values(rows * c, s.type);
    all.share = cursor.floats(rows);
    all.nll = cursor.floats(rows);
    if (s.training) {
        all.norm_2 = cursor.values(rows * c, s.type);
        for (float*& dx : all.dx) dx = cursor.floats(rows * c);
        all.norm_sums = cursor.floats(4 * s.parts * c);
    } else {
        all.norm_2 = all.norm_1;
    }

    const int64_t shared = cursor.at();
    all.wide = cursor.values(rows * 4 * c, s.type);
    if (s.training) {
        all.d_wide = cursor.values(rows * 4 * c, s.type);
        all.d_qkv = cursor.values(rows * 3 * c, s.type);
        all.d_narrow = cursor.values(rows * c, s.type);
        if (s.dropout) {
            all.d_proj = cursor.values(rows * c, s.type);
            all.d_join = cursor.values(rows * c, s.type);
        }
    }
    const int64_t end = cursor.at();
    // Alone, a thread may have reached the head while another is still in the blocks.
    if (!s.alone) cursor.go_to(shared);
    all.logits = cursor.floats(s.chunk * s.columns);
    if (s.training && s.type == Storage::kBf16)
        all.d_logits = cursor.values(s.chunk * s.columns, s.type);
    bytes = std::max(end, cursor.at());
    return all;
}

}  // namespace knlp::model
