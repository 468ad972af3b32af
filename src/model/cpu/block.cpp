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

// Dropout sites of a block after that of its attention.
constexpr int64_t kJoinSite = 1, kProjSite = 2;

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

/// One direction of attention; every pair with its own mask where there is dropout.
void attention(Chain& chain, const BlockPass& pass, const Label& what,
               kernels::CausalAttentionFn KernelSet::*direction,
               const kernels::CausalAttentionArgs& args) {
    const int64_t workspace = kernels::causal_attention_workspace_bytes(args);
    const int64_t pairs = args.batch * args.n_head, t = args.t;
    if (!pass.shape.dropout)
        return chain.range(
            what, pairs, 1,
            [=](const Piece& p) { (kernel_set().*direction)(args, p.first, p.last, p.scratch); },
            workspace);
    const kernels::DropoutStream stream =
        dropout_stream(pass.dropout, pass.first_row * args.n_head * t);
    const float scale = dropout_scale(pass.dropout);
    chain.range(
        what, pairs, 1,
        [=](const Piece& p) {
            auto* const keep = reinterpret_cast<uint64_t*>(p.scratch + workspace);
            kernels::CausalAttentionArgs own = args;
            own.keep = keep;
            own.keep_scale = scale;
            for (int64_t pair = p.first; pair < p.last; ++pair) {
                kernels::DropoutStream lines = stream;
                lines.first_line += static_cast<uint64_t>(pair * t);
                make_keep(lines, t, keep, keep + keep_words(t));
                (kernel_set().*direction)(own, pair, pair + 1, p.scratch);
            }
        },
        workspace + 8 * (keep_words(t) + keep_scratch_words(t)));
}

void attention_forward(Chain& chain, const BlockPass& pass, const BlockActivations& block) {
    const PassShape& s = pass.shape;
    attention(chain, pass,
              label(Group::kAttention, "attention", attention_flops(s),
                    stream_bytes(s, 4 * value_bytes(s.type))),
              &KernelSet::attention_forward, attention_args(s, block));
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
    attention(chain, pass,
              label(Group::kAttention, "attention backward", 2.5 * attention_flops(s),
                    stream_bytes(s, 8 * value_bytes(s.type))),
              &KernelSet::attention_backward, args);
}

/// c = residual + the layer's output, what of it survives where there is dropout.
void add_product(Chain& chain, const BlockPass& pass, const char* name, GemmArgs product,
                 const float* residual, int64_t site) {
    if (!pass.shape.dropout) {
        product.epilogue = GemmEpilogue::kResidual;
        product.residual = residual;
        return chain.product(kForward, name, product);
    }
    chain.product(kForward, name, product);
    auto* const y = static_cast<float*>(product.c);
    drop_rows(chain, pass, site, {.x = y, .add = residual, .y = y});
}

/// The stream's gradient as it enters a layer that added to the stream.
struct Entering {
    const void* dy;
    Storage type;
};
Entering entering(const BlockPass& pass, const float* dx, const void* dropped) {
    if (pass.shape.dropout) return {dropped, pass.shape.type};
    return {dx, Storage::kF32};
}

/// Gradients of matrix and bias from dy [R, out] of dy_type and x [R, in].
void linear_gradients(Chain& chain, const PassShape& s, const char* name,
                      const LinearWeights& layer, const Entering& in, const void* x) {
    const auto [dy, dy_type] = in;
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
    args.add = n.add;
    args.y_type = s.type;
    args.dy_type = n.dy_type;
    float* const sums = pass.buffers.norm_sums + 2 * n.slot * parts * c;
    const bool shift = weights.shift.value != nullptr;
    chain.range(label(Group::kNorm, "norm backward", stream_bytes(s, 14),
                      stream_bytes(s, 12 + value_bytes(n.dy_type))),
                s.rows(), 1, [=](const Piece& p) {
                    kernels::LayerNormArgs part = args;
                    part.dweight = sums + p.part * c;
                    part.dbias = shift ? sums + (parts + p.part) * c : nullptr;
                    std::memset(part.dweight, 0, static_cast<size_t>(c) * sizeof(float));
                    if (shift) std::memset(part.dbias, 0, static_cast<size_t>(c) * sizeof(float));
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

void drop_rows(Chain& chain, const BlockPass& pass, int64_t site, const DropRows& d) {
    const PassShape& s = pass.shape;
    const int64_t c = s.d_model;
    DropoutSite own = pass.dropout;
    own.site += site;
    kernels::DropoutMaskArgs args;
    static_cast<kernels::DropoutStream&>(args) = dropout_stream(own, pass.first_row * s.length);
    args.scale = dropout_scale(own);
    args.width = c;
    const double bytes = 4.0 + (d.add != nullptr ? 4.0 : 0.0) + value_bytes(d.type);
    chain.range(label(Group::kNorm, "dropout", stream_bytes(s, 1), stream_bytes(s, bytes)),
                s.rows(), 1, [args, d, c](const Piece& p) {
                    kernels::DropoutMaskArgs part = args;
                    const int64_t at = p.first * c;
                    part.x = d.x + at;
                    if (d.add != nullptr) part.add = d.add + at;
                    if (d.type == Storage::kF32)
                        part.y = static_cast<float*>(d.y) + at;
                    else
                        part.low = static_cast<uint16_t*>(d.y) + at;
                    part.lines = p.last - p.first;
                    part.first_line += static_cast<uint64_t>(p.first);
                    kernel_set().dropout_mask(part);
                });
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
    add_product(chain, pass, "join",
                forward_product(w.join, block.y, block.x_mid, s.rows(), s.type), block.x,
                kJoinSite);

    norm_forward(chain, pass, w.ln_2, block.x_mid, b.norm_2, block.mean_2, block.rstd_2);
    GemmArgs fc = forward_product(w.fc, b.norm_2, b.wide, s.rows(), s.type);
    fc.c_type = fc.aux_type = s.type;
    fc.epilogue = pass.gelu_tanh ? GemmEpilogue::kGeluTanh : GemmEpilogue::kGeluErf;
    fc.pre = block.pre;
    chain.product(kForward, "fc", fc);
    add_product(chain, pass, "proj", forward_product(w.proj, b.wide, block.out, s.rows(), s.type),
                block.x_mid, kProjSite);
}

void block_backward(Chain& chain, const BlockPass& pass, const BlockWeights& w,
                    const BlockActivations& block, float* const dx[3]) {
    const PassShape& s = pass.shape;
    const Activations& b = pass.buffers;
    // Through proj and GELU, whose output comes back in `wide`.
    if (s.dropout) drop_rows(chain, pass, kProjSite, {.x = dx[0], .y = b.d_proj, .type = s.type});
    const Entering in_proj = entering(pass, dx[0], b.d_proj);
    GemmArgs proj = input_product(w.proj, in_proj.dy, b.d_wide, s.rows(), s.type);
    proj.a_type = in_proj.type;
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

    if (s.dropout) drop_rows(chain, pass, kJoinSite, {.x = dx[1], .y = b.d_join, .type = s.type});
    const Entering in_join = entering(pass, dx[1], b.d_join);
    GemmArgs join = input_product(w.join, in_join.dy, b.d_narrow, s.rows(), s.type);
    join.a_type = in_join.type;
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
    linear_gradients(chain, s, "proj", w.proj, entering(pass, dx[0], b.d_proj), b.wide);
    linear_gradients(chain, s, "fc", w.fc, {b.d_wide, s.type}, b.norm_2);
    linear_gradients(chain, s, "join", w.join, entering(pass, dx[1], b.d_join), block.y);
    linear_gradients(chain, s, "qkv", w.qkv, {b.d_qkv, s.type}, b.norm_1);
    norm_weight_gradients(chain, pass, w.ln_1, 0);
    norm_weight_gradients(chain, pass, w.ln_2, 1);
}

}  // namespace knlp::model
