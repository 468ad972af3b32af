#include "kernels/causal_attention.h"

#include <cmath>
#include <cstring>

namespace knlp::kernels {

namespace {

double load(const void* from, Storage type, int64_t i) {
    if (type == Storage::kF32) return static_cast<const float*>(from)[i];
    const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(from)[i]) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

void store(void* to, Storage type, int64_t i, double value) {
    const float rounded = static_cast<float>(value);
    if (type == Storage::kF32) {
        static_cast<float*>(to)[i] = rounded;
        return;
    }
    uint32_t bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    const bool nan = rounded != rounded;
    bits = nan ? bits | 0x400000u : bits + 0x7FFFu + ((bits >> 16) & 1u);
    static_cast<uint16_t*>(to)[i] = static_cast<uint16_t>(bits >> 16);
}

/// softmax_scale q_i . k_j of the head that starts at `head` in a row.
double score(const CausalAttentionArgs& a, int64_t q_at, int64_t k_at) {
    double sum = 0.0;
    for (int64_t d = 0; d < a.d_head; ++d)
        sum += load(a.q, a.type, q_at + d) * load(a.k, a.type, k_at + d);
    return sum * static_cast<double>(a.softmax_scale);
}

/// What dropout multiplies the weight of key j for query i by.
double kept(const CausalAttentionArgs& a, int64_t i, int64_t j) {
    if (a.keep == nullptr) return 1.0;
    const uint64_t word = a.keep[i / 64 * ((a.t + 63) / 64 * 64) + j];
    return (word >> (i % 64)) & 1u ? static_cast<double>(a.keep_scale) : 0.0;
}

void forward_pair(const CausalAttentionArgs& a, int64_t pair, double* p) {
    const int64_t row = pair / a.n_head * a.t, head = pair % a.n_head * a.d_head;
    for (int64_t i = 0; i < a.t; ++i) {
        double peak = 0.0, sum = 0.0;
        for (int64_t j = 0; j <= i; ++j) {
            p[j] = score(a, (row + i) * a.qkv_stride + head, (row + j) * a.qkv_stride + head);
            if (j == 0 || p[j] > peak) peak = p[j];
        }
        for (int64_t j = 0; j <= i; ++j) sum += p[j] = std::exp(p[j] - peak);
        a.lse[pair * a.t + i] = static_cast<float>(peak + std::log(sum));
        for (int64_t d = 0; d < a.d_head; ++d) {
            double y = 0.0;
            for (int64_t j = 0; j <= i; ++j)
                y += p[j] * kept(a, i, j) * load(a.v, a.type, (row + j) * a.qkv_stride + head + d);
            store(a.y, a.type, (row + i) * a.y_stride + head + d, y / sum);
        }
    }
}

void backward_pair(const CausalAttentionArgs& a, int64_t pair, double* workspace) {
    const int64_t row = pair / a.n_head * a.t, head = pair % a.n_head * a.d_head, n = a.d_head;
    const auto at = [&](int64_t token) { return (row + token) * a.qkv_stride + head; };
    double* dk = workspace;  // [t, d_head]
    double* dv = dk + a.t * n;
    double* dq = dv + a.t * n;  // [d_head]
    for (int64_t i = 0; i < 2 * a.t * n; ++i) workspace[i] = 0.0;
    const double scale = static_cast<double>(a.softmax_scale);
    for (int64_t i = 0; i < a.t; ++i) {
        const int64_t y_at = (row + i) * a.y_stride + head;
        double dy_y = 0.0;
        for (int64_t d = 0; d < n; ++d) {
            dy_y += load(a.dy, a.type, y_at + d) * load(a.y, a.type, y_at + d);
            dq[d] = 0.0;
        }
        for (int64_t j = 0; j <= i; ++j) {
            const double lse = static_cast<double>(a.lse[pair * a.t + i]);
            const double p = std::exp(score(a, at(i), at(j)) - lse);
            double dp = 0.0;
            for (int64_t d = 0; d < n; ++d)
                dp += load(a.dy, a.type, y_at + d) * load(a.v, a.type, at(j) + d);
            const double keep = kept(a, i, j), ds = p * (dp * keep - dy_y) * scale;
            for (int64_t d = 0; d < n; ++d) {
                dv[j * n + d] += p * keep * load(a.dy, a.type, y_at + d);
                dk[j * n + d] += ds * load(a.q, a.type, at(i) + d);
                dq[d] += ds * load(a.k, a.type, at(j) + d);
            }
        }
        for (int64_t d = 0; d < n; ++d) store(a.dq, a.type, at(i) + d, dq[d]);
    }
    for (int64_t j = 0; j < a.t; ++j)
        for (int64_t d = 0; d < n; ++d) {
            store(a.dk, a.type, at(j) + d, dk[j * n + d]);
            store(a.dv, a.type, at(j) + d, dv[j * n + d]);
        }
}

}  // namespace

int64_t causal_attention_workspace_bytes(const CausalAttentionArgs& a) {
    // Rows padded to a block of 64 tokens, heads to a vector of 16. The blocked kernels keep k, v
    // and their gradients whole (16 more values a token when they are padded as pairs of bfloat16),
    // and blocks of 64 rows of up to `width` values; the scalar ones need less: dk, dv and dq in
    // double.
    const int64_t t = (a.t + 63) / 64 * 64, d = (a.d_head + 15) / 16 * 16;
    const int64_t width = d > 64 ? d : 64;
    return 4 * (4 * t * d + 16 * t + 8 * 64 * width) + 4096;
}

void causal_attention_forward_scalar(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                     void* workspace) {
    for (int64_t pair = first; pair < last; ++pair)
        forward_pair(args, pair, static_cast<double*>(workspace));
}

void causal_attention_backward_scalar(const CausalAttentionArgs& args, int64_t first, int64_t last,
                                      void* workspace) {
    for (int64_t pair = first; pair < last; ++pair)
        backward_pair(args, pair, static_cast<double*>(workspace));
}

}  // namespace knlp::kernels
