// A pass from token ids to the loss and back (docs/models.md): embeddings, blocks, final norm, head
// and loss by chunks of rows, and the same backwards.

#include "pass.h"

#include "kernel_set.h"
#include "parts.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"

#include <algorithm>
#include <cstring>

namespace knlp::model {

using kernels::GemmArgs;
using kernels::Storage;
using profile::Group;

namespace {

constexpr int64_t kColumnUnit = 16;
constexpr int64_t kSitesOfBlock = 3;    // of dropout: attention, join, proj
constexpr int64_t kEmbeddingSite = -1;  // from the first of block 0

void check_ids(const int64_t* ids, int64_t count, int64_t lowest, int64_t vocab_size,
               const char* what) {
    for (int64_t i = 0; i < count; ++i)
        if (ids[i] < lowest || ids[i] >= vocab_size)
            fail(kData, "{} {} at place {} of the batch is outside the vocabulary of {}", what,
                 ids[i], i, vocab_size);
}

bool rows_are_native() {
    const auto native = [](ProductSite site, ProductKind kind) {
        return routes().at[index_of({site, kind})] == Route::kNative;
    };
    return native(ProductSite::kBlock, ProductKind::kForward) &&
           native(ProductSite::kBlock, ProductKind::kInput) &&
           native(ProductSite::kHead, ProductKind::kForward) &&
           native(ProductSite::kHead, ProductKind::kInput);
}

}  // namespace

BlockPass CpuPass::block_pass(const PassInput& input, size_t layer) const {
    DropoutSite dropout = input.dropout;
    dropout.site += 1 + kSitesOfBlock * static_cast<int64_t>(layer);
    return {.shape = shape_,
            .buffers = buffers_,
            .epsilon = static_cast<float>(model_.layer_norm_epsilon),
            .gelu_tanh = model_.gelu == config::Gelu::kTanh,
            .dropout = dropout,
            .first_row = input.first_row};
}

Chain CpuPass::rows_chain() const {
    return Chain(shape_.alone ? Sharing::kSequences : Sharing::kSteps, shape_.batch, shape_.parts);
}

void CpuPass::prepare(const PassInput& input, bool training) {
    const int64_t rows = input.batch * input.length;
    KNLP_CHECK(rows > 0 && input.length <= model_.n_ctx);
    check_ids(input.ids, rows, 0, model_.vocab_size, "token");
    check_ids(input.targets, rows, -1, model_.vocab_size, "target");
    PassShape shape = pass_shape(model_, input.batch, input.length, input.bf16, training,
                                 std::min(part_count(), rows));
    shape.dropout = training && input.dropout.rate > 0;
    shape.alone = shape.d_model <= kWidestAlone && shape.batch % shape.parts == 0 &&
                  shape.chunk == shape.rows() && rows_are_native();
    if (shape == shape_ && arena_.data() != nullptr) return;
    int64_t bytes = 0;
    lay_out(shape, nullptr, bytes);
    arena_.reserve(bytes);
    buffers_ = lay_out(shape, arena_.data(), bytes);
    shape_ = shape;
}

void CpuPass::forward(Chain& chain, const ModelWeights& weights, const PassInput& input) {
    const BlockPass pass = block_pass(input);
    kernels::EmbeddingArgs embedding;
    embedding.ids = input.ids;
    embedding.wte = weights.wte.value;
    embedding.wpe = weights.wpe.value;
    embedding.x = buffers_.blocks[0].x;
    embedding.rows = shape_.rows();
    embedding.width = shape_.d_model;
    embedding.t = shape_.length;
    const auto values = static_cast<double>(shape_.rows() * shape_.d_model);
    chain.range({.group = Group::kEmbedding, .flops = values, .bytes = 12 * values}, shape_.rows(),
                1, [embedding](const Piece& p) {
                    kernel_set().embedding_forward(embedding, p.first, p.last);
                });
    if (shape_.dropout)
        drop_rows(chain, pass, kEmbeddingSite, {.x = embedding.x, .y = embedding.x});
    for (size_t l = 0; l < weights.blocks.size(); ++l)
        block_forward(chain, block_pass(input, l), weights.blocks[l], buffers_.blocks[l]);
    norm_forward(chain, pass, weights.ln_f, buffers_.x_last, buffers_.norm_1, buffers_.mean_last,
                 buffers_.rstd_last);
}

void CpuPass::head(Chain& chain, const ModelWeights& weights, const PassInput& input, int64_t first,
                   int64_t rows) {
    const int64_t c = shape_.d_model;
    const Storage type = shape_.type;
    const auto* const hidden = static_cast<const std::byte*>(buffers_.norm_1) +
                               first * c * (type == Storage::kF32 ? 4 : 2);
    chain.product({ProductSite::kHead, ProductKind::kForward}, "logits",
                  forward_product(weights.head, hidden, buffers_.logits, rows, type));
    kernels::CrossEntropyArgs entropy;
    entropy.logits = buffers_.logits;
    entropy.targets = input.targets + first;
    entropy.share = buffers_.share + first;
    entropy.nll = buffers_.nll + first;
    entropy.gradient_bf16 = buffers_.d_logits;
    entropy.columns = shape_.columns;
    entropy.vocab_size = shape_.vocab_size;
    entropy.with_gradient = shape_.training;
    const auto values = static_cast<double>(rows * shape_.columns);
    chain.range({.group = Group::kHead,
                 .name = "loss",
                 .flops = 5 * values,
                 .bytes = values * (shape_.training ? 8 : 4)},
                rows, 1, [entropy](const Piece& p) {
                    kernel_set().cross_entropy(entropy, p.first, p.last);
                });
    if (!shape_.training) return;
    const void* const d = buffers_.d_logits != nullptr ? buffers_.d_logits : buffers_.logits;
    chain.product({ProductSite::kHead, ProductKind::kInput}, "d hidden",
                  input_product(weights.head, d, buffers_.dx[0] + first * c, rows, type));
}

void CpuPass::head_weight(Chain& chain, const ModelWeights& weights, int64_t first, int64_t rows) {
    const Storage type = shape_.type;
    const auto* const hidden = static_cast<const std::byte*>(buffers_.norm_1) +
                               first * shape_.d_model * (type == Storage::kF32 ? 4 : 2);
    const void* const d = buffers_.d_logits != nullptr ? buffers_.d_logits : buffers_.logits;
    GemmArgs product = weight_product(weights.head, d, hidden, rows, type);
    product.accumulate = !weights.head.matrix.fresh || first > 0;
    chain.product({ProductSite::kHead, ProductKind::kWeight}, "d head", product);
}

PassLoss CpuPass::loss_and_gradients(const ModelWeights& weights, const PassInput& input,
                                     double divisor) {
    const double start = steady_seconds();
    prepare(input, true);
    const int64_t rows = shape_.rows();
    const auto targets =
        static_cast<double>(rows - std::count(input.targets, input.targets + rows, int64_t{-1}));
    const double count = divisor > 0 ? divisor : std::max(targets, 1.0);
    for (int64_t i = 0; i < rows; ++i)
        buffers_.share[i] = input.targets[i] < 0 ? 0.0f : static_cast<float>(1.0 / count);

    Chain chain = rows_chain();
    forward(chain, weights, input);
    for (int64_t first = 0; first < rows; first += shape_.chunk) {
        const int64_t n = std::min(shape_.chunk, rows - first);
        head(chain, weights, input, first, n);
        if (n < rows) {
            Chain shared(Sharing::kIndependent, shape_.batch, shape_.parts);
            head_weight(shared, weights, first, n);
        }
    }
    chain.run();
    PassLoss result;
    for (int64_t i = 0; i < rows; ++i)
        result.loss += static_cast<double>(buffers_.nll[i]) * buffers_.share[i];
    result.forward_s = steady_seconds() - start;
    backward(weights, input);
    return result;
}

void CpuPass::backward(const ModelWeights& weights, const PassInput& input) {
    const BlockPass pass = block_pass(input);
    float* dx[3] = {buffers_.dx[0], buffers_.dx[1], buffers_.dx[2]};
    {
        Chain chain(Sharing::kIndependent, shape_.batch, shape_.parts);
        if (shape_.chunk == shape_.rows()) head_weight(chain, weights, 0, shape_.rows());
    }
    Chain chain = rows_chain();
    norm_backward(chain, pass, weights.ln_f,
                  {.x = buffers_.x_last,
                   .mean = buffers_.mean_last,
                   .rstd = buffers_.rstd_last,
                   .dy = dx[0],
                   .dx = dx[0]});
    chain.run();
    {
        Chain shared(Sharing::kIndependent, shape_.batch, shape_.parts);
        norm_weight_gradients(shared, pass, weights.ln_f, 0);
    }
    for (size_t l = weights.blocks.size(); l-- > 0;) {
        const BlockPass own = block_pass(input, l);
        block_backward(chain, own, weights.blocks[l], buffers_.blocks[l], dx);
        chain.run();
        Chain shared(Sharing::kIndependent, shape_.batch, shape_.parts);
        block_weight_gradients(shared, own, weights.blocks[l], buffers_.blocks[l], dx);
        shared.run();
        std::rotate(dx, dx + 2, dx + 3);  // its input's gradient is the next one's output's
    }
    if (shape_.dropout) drop_rows(chain, pass, kEmbeddingSite, {.x = dx[0], .y = dx[0]});
    chain.run();
    embedding_backward(weights, input, dx[0]);
}

void CpuPass::embedding_backward(const ModelWeights& weights, const PassInput& input,
                                 const float* dx) {
    kernels::EmbeddingArgs args;
    args.ids = input.ids;
    args.dx = dx;
    args.dwte = weights.wte.gradient;
    args.dwpe = weights.wpe.gradient;
    args.rows = shape_.rows();
    args.width = shape_.d_model;
    args.t = shape_.length;
    // The head has been there before when the table is its own.
    const bool clear_wte = weights.wte.fresh && !weights.tied, clear_wpe = weights.wpe.fresh;
    const int64_t c = shape_.d_model, columns = shape_.columns, n_ctx = model_.n_ctx;
    const auto clear = [c](float* table, int64_t rows, const Piece& p) {
        for (int64_t row = 0; row < rows; ++row)
            std::memset(table + row * c + p.first, 0,
                        static_cast<size_t>(p.last - p.first) * sizeof(float));
    };
    const auto values = static_cast<double>(shape_.rows() * c);
    Chain chain(Sharing::kIndependent, shape_.batch, shape_.parts);
    chain.range({.group = Group::kEmbedding, .flops = 2 * values, .bytes = 20 * values}, c,
                kColumnUnit, [=](const Piece& p) {
                    if (clear_wte) clear(args.dwte, columns, p);
                    if (clear_wpe) clear(args.dwpe, n_ctx, p);
                    kernel_set().embedding_backward(args, p.first, p.last);
                });
}

void CpuPass::token_nll(const ModelWeights& weights, const PassInput& input, float* nll) {
    prepare(input, false);
    const int64_t rows = shape_.rows();
    Chain chain = rows_chain();
    forward(chain, weights, input);
    for (int64_t first = 0; first < rows; first += shape_.chunk)
        head(chain, weights, input, first, std::min(shape_.chunk, rows - first));
    chain.run();
    std::copy_n(buffers_.nll, rows, nll);
}

}  // namespace knlp::model
