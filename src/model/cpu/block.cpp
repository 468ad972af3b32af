// A transformer block forward and backward on buffers. Kept for the backward pass: its input, q k
// v, joined heads and their log-sum-exps, the stream after attention, the hidden layer before GELU
// and the statistics of both norms. Outputs of norms and GELU are made again: cheaper than keeping
// them.

#include "block.h"

#include "kernel_set.h"

#include <cmath>
#include <cstring>

namespace knlp::model {

using kernels::GemmArgs;
using kernels::GemmEpilogue;
using kernels::Storage;
using profile::Group;

namespace {

constexpr Place kForward = {ProductSite::kBlock, ProductKind::kForward};
constexpr Place kInput = {ProductSite::kBlock, ProductKind::kInput};
constexpr Place kWeight = {ProductSite::kBlock, ProductKind::kWeight};

constexpr int64_t kColumnUnit = 16;  // floats of a cache line

double value_bytes(Storage type) {
    return type == Storage::kF32 ? 4.0 : 2.0;
}

Label label(Group group, const char* name, double flops, double bytes) {
    return {.group = group, .name = name, .flops = flops, .bytes = bytes};
}

kernels::CausalAttentionArgs attention_args(const PassShape& s, const BlockActivations& block) {
    const int64_t c = s.d_model, bytes = static_cast<int64_t>(value_bytes(s.type));
    const auto third = [&](int64_t i) {
        return static_cast<const std::byte*>(block.qkv) + i * c * bytes;
    };
    kernels::CausalAttentionArgs a;
    a.q = third(0);
    a.k = third(1);
    a.v = third(2);
    a.y = block.y;
    a.lse = block.lse;
    a.batch = s.batch;
    a.n_head = s.n_head;
    a.t = s.length;
    a.d_head = c / s.n_head;
    a.qkv_stride = 3 * c;
    a.y_stride = c;
    a.softmax_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.d_head)));
    a.type = s.type;
    return a;
}

/// 2 products of T (T + 1) / 2 x D a head forward.
double attention_flops(const PassShape& s) {
    return 2.0 * static_cast<double>(s.rows() * (s.length + 1) * s.d_model);
}

double stream_bytes(const PassShape& s, double bytes_a_value) {
    return static_cast<double>(s.rows() * s.d_model) * bytes_a_value;
}

void attention_forward(Chain& chain, const BlockPass& pass, const BlockActivations& block) {
    const PassShape& s = pass.shape;
    const kernels::CausalAttentionArgs args = attention_args(s, block);
    chain.range(
        label(Group::kAttention, "attention", attention_flops(s),
              stream_bytes(s, 4 * value_bytes(s.type))),
        s.batch * s.n_head, 1,
        [args](const Piece& p) {
            kernel_set().attention_forward(args, p.first, p.last, p.scratch);
        },
        kernels::causal_attention_workspace_bytes(args));
}

/// From dy in d_narrow to d_qkv. 5 products, two of which make the probabilities again.
void attention_backward(Chain& chain, const BlockPass& pass, const BlockActivations& block) {
    const PassShape& s = pass.shape;
    const int64_t bytes = static_cast<int64_t>(value_bytes(s.type));
    kernels::CausalAttentionArgs args = attention_args(s, block);
    auto* const d_qkv = static_cast<std::byte*>(pass.buffers.d_qkv);
    args.dy = pass.buffers.d_narrow;
    args.dq = d_qkv;
    args.dk = d_qkv + s.d_model * bytes;
    args.dv = d_qkv + 2 * s.d_model * bytes;
    chain.range(
        label(Group::kAttention, "attention backward", 2.5 * attention_flops(s),
              stream_bytes(s, 8 * value_bytes(s.type))),
        s.batch * s.n_head, 1,
        [args](const Piece& p) {
            kernel_set().attention_backward(args, p.first, p.last, p.scratch);
        },
        kernels::causal_attention_workspace_bytes(args));
}

/// Gradients of matrix and bias from dy [R, out] of dy_type and x [R, in].
void linear_gradients(Chain& chain, const PassShape& s, const char* name,
                      const LinearWeights& layer, const void* dy, Storage dy_type, const void* x) {
    GemmArgs product = weight_product(layer, dy, x, s.rows(), s.type);
    product.a_type = dy_type;
    chain.product(kWeight, name, product);
    if (layer.bias.value == nullptr) return;
    kernels::ColumnSumArgs sum;
    sum.x = dy;
    sum.out = layer.bias.gradient;
    sum.rows = s.rows();
    sum.stride = layer.out;
    sum.type = dy_type;
    sum.add = !layer.bias.fresh;
    const auto values = static_cast<double>(s.rows() * layer.out);
    chain.range(label(Group::kLinearWeight, "bias", values, values * value_bytes(dy_type)),
                layer.out, kColumnUnit,
                [sum](const Piece& p) { kernel_set().column_sum(sum, p.first, p.last); });
}

}  // namespace

GemmArgs forward_product(const LinearWeights& layer, const void* x, void* y, int64_t rows,
                         Storage type) {
    GemmArgs a;
    a.a = x;
    a.b = layer.matrix.value;
    a.c = y;
    a.lda = a.ldb = a.k = layer.in;
    a.ldc = a.n = layer.out;
    a.m = rows;
    a.transpose_b = true;
    a.a_type = a.compute = type;
    a.bias = layer.bias.value;
    return a;
}

GemmArgs input_product(const LinearWeights& layer, const void* dy, void* dx, int64_t rows,
                       Storage type) {
    GemmArgs a;
    a.a = dy;
    a.b = layer.matrix.value;
    a.c = dx;
    a.lda = a.k = layer.out;
    a.ldb = a.ldc = a.n = layer.in;
    a.m = rows;
    a.a_type = a.compute = type;
    return a;
}

GemmArgs weight_product(const LinearWeights& layer, const void* dy, const void* x, int64_t rows,
                        Storage type) {
    GemmArgs a;
    a.a = dy;
    a.b = x;
    a.c = layer.matrix.gradient;
    a.lda = a.m = layer.out;
    a.ldb = a.ldc = a.n = layer.in;
    a.k = rows;
    a.transpose_a = true;
    a.accumulate = !layer.matrix.fresh;
    a.a_type = a.b_type = a.compute = type;
    return a;
}

void norm_forward(Chain& chain, const BlockPass& pass, const NormWeights& weights, const float* x,
                  void* y, float* mean, float* rstd) {
    const PassShape& s = pass.shape;
    kernels::LayerNormArgs args;
    args.x = x;
    args.weight = weights.scale.value;
    args.bias = weights.shift.value;
    args.y = y;
    args.mean = mean;
    args.rstd = rstd;
    args.width = s.d_model;
    args.epsilon = pass.epsilon;
    args.y_type = s.type;
    chain.range(
        label(Group::kNorm, "norm", stream_bytes(s, 8), stream_bytes(s, 4 + value_bytes(s.type))),
        s.rows(), 1, [args](const Piece& p) { kernel_set().norm_forward(args, p.first, p.last); });
}

void norm_backward(Chain& chain, const BlockPass& pass, const NormWeights& weights,
                   const NormBackward& n) {
    const PassShape& s = pass.shape;
    const int64_t c = s.d_model, parts = s.parts;
    kernels::LayerNormArgs args;
    args.x = n.x;
    args.weight = weights.scale.value;
    args.bias = weights.shift.value;
    args.y = n.y;
    args.mean = const_cast<float*>(n.mean);  // the kernel's forward pass writes them
    args.rstd = const_cast<float*>(n.rstd);
    args.dy = n.dy;
    args.dx = n.dx;
    args.width = c;
    args.epsilon = pass.epsilon;
    args.add_dx = n.add != nullptr;
    args.y_type = s.type;
    args.dy_type = n.dy_type;
    float* const sums = pass.buffers.norm_sums + 2 * n.slot * parts * c;
    const bool shift = weights.shift.value != nullptr;
    const float* const add = n.add;
    chain.range(label(Group::kNorm, "norm backward", stream_bytes(s, 14),
                      stream_bytes(s, 12 + value_bytes(n.dy_type))),
                s.rows(), 1, [=](const Piece& p) {
                    kernels::LayerNormArgs part = args;
                    part.dweight = sums + p.part * c;
                    part.dbias = shift ? sums + (parts + p.part) * c : nullptr;
                    std::memset(part.dweight, 0, static_cast<size_t>(c) * sizeof(float));
                    if (shift) std::memset(part.dbias, 0, static_cast<size_t>(c) * sizeof(float));
                    if (add != nullptr && add != part.dx)
                        std::memcpy(part.dx + p.first * c, add + p.first * c,
                                    static_cast<size_t>((p.last - p.first) * c) * sizeof(float));
                    kernel_set().norm_backward(part, p.first, p.last);
                });
}

void norm_weight_gradients(Chain& chain, const BlockPass& pass, const NormWeights& weights,
                           int64_t slot) {
    const int64_t c = pass.shape.d_model, parts = pass.shape.parts;
    const float* sums = pass.buffers.norm_sums + 2 * slot * parts * c;
    for (const Weight& weight : {weights.scale, weights.shift}) {
        if (weight.value == nullptr) continue;
        chain.range(label(Group::kNorm, "norm weights", static_cast<double>(parts * c), 0), c,
                    kColumnUnit, [=](const Piece& p) {
                        for (int64_t j = p.first; j < p.last; ++j) {
                            float sum = weight.fresh ? 0.0f : weight.gradient[j];
                            for (int64_t part = 0; part < parts; ++part) sum += sums[part * c + j];
                            weight.gradient[j] = sum;
                        }
                    });
        sums += parts * c;
    }
}

void block_forward(Chain& chain, const BlockPass& pass, const BlockWeights& w,
                   const BlockActivations& block) {
    const PassShape& s = pass.shape;
    const Activations& b = pass.buffers;
    norm_forward(chain, pass, w.ln_1, block.x, b.norm_1, block.mean_1, block.rstd_1);
    GemmArgs qkv = forward_product(w.qkv, b.norm_1, block.qkv, s.rows(), s.type);
    qkv.c_type = s.type;
    chain.product(kForward, "qkv", qkv);
    attention_forward(chain, pass, block);
    GemmArgs join = forward_product(w.join, block.y, block.x_mid, s.rows(), s.type);
    join.epilogue = GemmEpilogue::kResidual;
    join.residual = block.x;
    chain.product(kForward, "join", join);

    norm_forward(chain, pass, w.ln_2, block.x_mid, b.norm_2, block.mean_2, block.rstd_2);
    GemmArgs fc = forward_product(w.fc, b.norm_2, b.wide, s.rows(), s.type);
    fc.c_type = fc.aux_type = s.type;
    fc.epilogue = pass.gelu_tanh ? GemmEpilogue::kGeluTanh : GemmEpilogue::kGeluErf;
    fc.pre = block.pre;
    chain.product(kForward, "fc", fc);
    GemmArgs proj = forward_product(w.proj, b.wide, block.out, s.rows(), s.type);
    proj.epilogue = GemmEpilogue::kResidual;
    proj.residual = block.x_mid;
    chain.product(kForward, "proj", proj);
}

void block_backward(Chain& chain, const BlockPass& pass, const BlockWeights& w,
                    const BlockActivations& block, float* const dx[3]) {
    const PassShape& s = pass.shape;
    const Activations& b = pass.buffers;
    // Through proj and GELU, whose output comes back in `wide`.
    GemmArgs proj = input_product(w.proj, dx[0], b.d_wide, s.rows(), s.type);
    proj.a_type = Storage::kF32;
    proj.c_type = proj.aux_type = s.type;
    proj.epilogue = pass.gelu_tanh ? GemmEpilogue::kGeluTanhGrad : GemmEpilogue::kGeluErfGrad;
    proj.pre = block.pre;
    proj.post = b.wide;
    chain.product(kInput, "proj", proj);
    GemmArgs fc = input_product(w.fc, b.d_wide, b.d_narrow, s.rows(), s.type);
    fc.c_type = s.type;
    chain.product(kInput, "fc", fc);
    norm_backward(chain, pass, w.ln_2,
                  {.x = block.x_mid,
                   .mean = block.mean_2,
                   .rstd = block.rstd_2,
                   .dy = b.d_narrow,
                   .dy_type = s.type,
                   .add = dx[0],
                   .dx = dx[1],
                   .y = b.norm_2,
                   .slot = 1});

    GemmArgs join = input_product(w.join, dx[1], b.d_narrow, s.rows(), s.type);
    join.a_type = Storage::kF32;
    join.c_type = s.type;
    chain.product(kInput, "join", join);
    attention_backward(chain, pass, block);
    GemmArgs qkv = input_product(w.qkv, b.d_qkv, b.d_narrow, s.rows(), s.type);
    qkv.c_type = s.type;
    chain.product(kInput, "qkv", qkv);
    norm_backward(chain, pass, w.ln_1,
                  {.x = block.x,
                   .mean = block.mean_1,
                   .rstd = block.rstd_1,
                   .dy = b.d_narrow,
                   .dy_type = s.type,
                   .add = dx[1],
                   .dx = dx[2],
                   .y = b.norm_1,
                   .slot = 0});
}

void block_weight_gradients(Chain& chain, const BlockPass& pass, const BlockWeights& w,
                            const BlockActivations& block, float* const dx[3]) {
    const PassShape& s = pass.shape;
    const Activations& b = pass.buffers;
    linear_gradients(chain, s, "proj", w.proj, dx[0], Storage::kF32, b.wide);
    linear_gradients(chain, s, "fc", w.fc, b.d_wide, s.type, b.norm_2);
    linear_gradients(chain, s, "join", w.join, dx[1], Storage::kF32, block.y);
    linear_gradients(chain, s, "qkv", w.qkv, b.d_qkv, s.type, b.norm_1);
    norm_weight_gradients(chain, pass, w.ln_1, 0);
    norm_weight_gradients(chain, pass, w.ln_2, 1);
}

}  // namespace knlp::model
