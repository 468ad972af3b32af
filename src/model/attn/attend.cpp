#include "attend.h"

#include "knlp/core/error.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

namespace knlp::model {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

double score_scale(const at::Tensor& q) {
    return 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
}

/// [T, S] with -inf where key j lies after query i + S - T.
at::Tensor causal_bias(int64_t q_len, int64_t kv_len, const at::TensorOptions& options) {
    return at::full({q_len, kv_len}, kMinusInfinity, options).triu_(kv_len - q_len + 1);
}

/// One block of queries of one sequence: q [H, n, D] at positions first.., keys [0, first + n).
struct Block {
    at::Tensor q, k, v;  // [H, n, D], [H, e, D], [H, e, D]
    int64_t first, n, end;
};

/// Causal probabilities of a block, [H, n, e], fp32 (float64 stays).
at::Tensor probabilities(const Block& b, double scale) {
    at::Tensor scores = at::bmm(b.q, b.k.transpose(1, 2));
    if (scores.scalar_type() == at::kBFloat16) scores = scores.to(at::kFloat);
    scores.mul_(scale);
    // Only the last n keys can lie ahead of a query of this block.
    scores.narrow(2, b.end - b.n, b.n).add_(causal_bias(b.n, b.n, scores.options()));
    return at::softmax(scores, -1);
}

/// Masks the probabilities of a block. Line of head h, query i of sequence r: ((r H + h) T + i).
at::Tensor drop_block(const at::Tensor& p, const Block& b, const DropoutSite& site,
                      int64_t sequence, int64_t q_len) {
    const int64_t n_head = p.size(0);
    at::Tensor dropped = at::empty_like(p);
    for (int64_t h = 0; h < n_head; ++h)
        dropped.select(0, h).copy_(
            apply_dropout(p.select(0, h), site, (sequence * n_head + h) * q_len + b.first));
    return dropped;
}

template <class Work>
void for_each_block(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const Work& work) {
    const int64_t q_len = q.size(2);
    for (int64_t row = 0; row < q.size(0); ++row)
        for (int64_t first = 0; first < q_len; first += kQueryBlock) {
            const int64_t n = std::min(kQueryBlock, q_len - first), end = first + n;
            work(row,
                 Block{q.select(0, row).narrow(1, first, n), k.select(0, row).narrow(1, 0, end),
                       v.select(0, row).narrow(1, 0, end), first, n, end});
        }
}

struct DroppedAttention : torch::autograd::Function<DroppedAttention> {
    static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k,
                              const at::Tensor& v, const DropoutSite& site, int64_t first_row) {
        context->save_for_backward({q, k, v});
        context->saved_data["site"] = pack(site, first_row);
        // Laid out as [B, T, H, D], so that joining the heads copies nothing.
        at::Tensor y =
            at::empty({q.size(0), q.size(2), q.size(1), q.size(3)}, q.options()).transpose(1, 2);
        const double scale = score_scale(q);
        for_each_block(q, k, v, [&](int64_t row, const Block& b) {
            const at::Tensor p =
                drop_block(probabilities(b, scale), b, site, first_row + row, q.size(2));
            y.select(0, row).narrow(1, b.first, b.n).copy_(at::bmm(p.to(b.v.scalar_type()), b.v));
        });
        return y;
    }

    /// With P the probabilities, M the scaled mask, y = (P o M) v: dV = (P o M)^T dy, dP = (dy v^T)
    /// o M, dS = P o (dP - rowsum(dP o P)), dq = dS k scale, dk = dS^T q scale.
    static variable_list backward(AutogradContext* context, variable_list gradients) {
        const variable_list saved = context->get_saved_variables();
        const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2];
        const auto [site, first_row] = unpack(context->saved_data["site"].toDoubleVector());
        const at::Tensor& dy = gradients[0];
        at::Tensor dq = at::empty_like(q), dk = at::zeros_like(k), dv = at::zeros_like(v);
        const double scale = score_scale(q);
        for_each_block(
            q, k, v, [&, site = site, first_row = first_row](int64_t row, const Block& b) {
                const at::Tensor d = dy.select(0, row).narrow(1, b.first, b.n);
                const at::Tensor p = probabilities(b, scale);
                const at::Tensor dropped = drop_block(p, b, site, first_row + row, q.size(2));
                dv.select(0, row)
                    .narrow(1, 0, b.end)
                    .add_(at::bmm(dropped.to(d.scalar_type()).transpose(1, 2), d));
                at::Tensor dp = at::bmm(d, b.v.transpose(1, 2)).to(p.scalar_type());
                dp = drop_block(dp, b, site, first_row + row, q.size(2));
                at::Tensor ds = at::_softmax_backward_data(dp, p, -1, p.scalar_type()).mul_(scale);
                ds = ds.to(b.k.scalar_type());
                dq.select(0, row).narrow(1, b.first, b.n).copy_(at::bmm(ds, b.k));
                dk.select(0, row).narrow(1, 0, b.end).add_(at::bmm(ds.transpose(1, 2), b.q));
            });
        return {dq, dk, dv, {}, {}};
    }

private:
    // saved_data holds one list; integers up to 2^53 and the rate survive as doubles, the seed in
    // halves.
    static std::vector<double> pack(const DropoutSite& s, int64_t first_row) {
        return {double(s.seed >> 32),
                double(s.seed & 0xFFFFFFFFu),
                double(s.step),
                double(s.site),
                s.rate,
                double(first_row)};
    }
    static std::pair<DropoutSite, int64_t> unpack(const std::vector<double>& d) {
        return {{.seed = (uint64_t(d[0]) << 32) | uint64_t(d[1]),
                 .step = int64_t(d[2]),
                 .site = int64_t(d[3]),
                 .rate = d[4]},
                int64_t(d[5])};
    }
};

}  // namespace

at::Tensor attend_fused(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const at::Tensor& mask) {
    const bool causal = !mask.defined() && q.size(2) > 1;
    KNLP_CHECK(!causal || q.size(2) == k.size(2));
    return at::scaled_dot_product_attention(
        q, k, v, mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt, 0.0, causal);
}

at::Tensor attend_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& mask, const DropoutSite& site, int64_t first_row) {
    at::Tensor scores = at::matmul(q, k.transpose(-2, -1)) * score_scale(q);
    if (scores.scalar_type() == at::kBFloat16) scores = scores.to(at::kFloat);
    if (mask.defined())
        scores = scores.masked_fill(mask.logical_not(), kMinusInfinity);
    else if (q.size(2) > 1)
        scores = scores + causal_bias(q.size(2), k.size(2), scores.options());
    at::Tensor p = at::softmax(scores, -1);
    if (site.rate > 0) {
        const at::Tensor keep = apply_dropout(at::ones_like(p, at::MemoryFormat::Contiguous), site,
                                              first_row * q.size(1) * q.size(2));
        p = p * keep;
    }
    return at::matmul(p.to(v.scalar_type()), v);
}

at::Tensor attend_dropout(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const DropoutSite& site, int64_t first_row) {
    return DroppedAttention::apply(q, k, v, site, first_row);
}

}  // namespace knlp::model
