#pragma once

// What becomes of finished sums: epilogues of the blocked product. V is a vector type of simd_*.h,
// simd_math.h comes first. Internal linkage.

#include "kernels/gemm.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

/// A rectangle of C whose sums over some stretch of k lie in `sums`, rows kStride floats apart.
struct Finished {
    static constexpr int64_t kStride = 64;
    int64_t row, column, rows, columns;
    const float* sums;
    float* partial;  // where sums over less than k go and come from: C itself, or float32 beside it
    int64_t partial_ld;
    bool first, last;  // stretch of k
};

template <class V>
typename V::F load_any(const void* p, Storage type, int64_t i, auto part) {
    if (type == Storage::kF32) return V::load(static_cast<const float*>(p) + i, part);
    return V::load(static_cast<const uint16_t*>(p) + i, part);
}
template <class V>
void store_any(void* p, Storage type, int64_t i, auto part, typename V::F x) {
    if (type == Storage::kF32)
        V::store(static_cast<float*>(p) + i, part, x);
    else
        V::store(static_cast<uint16_t*>(p) + i, part, x);
}

/// One vector of finished values: epilogue, C, pre, post.
template <class V, GemmEpilogue kEpilogue>
void finish_vector(const GemmArgs& args, int64_t i, auto part, typename V::F x) {
    using enum GemmEpilogue;
    if constexpr (kEpilogue == kGeluTanh || kEpilogue == kGeluErf) {
        if (args.pre != nullptr) store_any<V>(args.pre, args.aux_type, i, part, x);
        x = kEpilogue == kGeluTanh ? gelu_tanh<V>(x) : gelu_erf<V>(x);
    }
    if constexpr (kEpilogue == kGeluTanhGrad || kEpilogue == kGeluErfGrad) {
        constexpr bool kTanh = kEpilogue == kGeluTanhGrad;
        const typename V::F pre = load_any<V>(args.pre, args.aux_type, i, part);
        x = V::mul(x, kTanh ? gelu_tanh_slope<V>(pre) : gelu_erf_slope<V>(pre));
        if (args.post != nullptr)
            store_any<V>(args.post, args.aux_type, i, part,
                         kTanh ? gelu_tanh<V>(pre) : gelu_erf<V>(pre));
    }
    store_any<V>(args.c, args.c_type, i, part, x);
}

/// Adds what C starts from (its old value, the residual, the sums so far) and, after the last
/// stretch of k, the bias; then the epilogue. C is read before it is written, so it may be the
/// residual.
template <class V, GemmEpilogue kEpilogue>
void finish_columns(const GemmArgs& args, const Finished& f, int64_t v, auto part) {
    const int64_t column = f.column + v;
    const typename V::F bias = f.last && args.bias != nullptr
                                   ? V::load(args.bias + column, part)
                                   : V::set1(-0.0f);  // x + -0 = x, for -0 too
    for (int64_t r = 0; r < f.rows; ++r) {
        const int64_t i = (f.row + r) * args.ldc + column;
        typename V::F x = V::load(f.sums + r * Finished::kStride + v, typename V::All{});
        float* const partial = f.partial + r * f.partial_ld + v;
        if (!f.first)
            x = V::add(V::load(partial, part), x);
        else if (args.accumulate)
            x = V::add(load_any<V>(args.c, args.c_type, i, part), x);
        else if (kEpilogue == GemmEpilogue::kResidual)
            x = V::add(V::load(args.residual + i, part), x);
        if (f.last)
            finish_vector<V, kEpilogue>(args, i, part, V::add(x, bias));
        else
            V::store(partial, part, x);
    }
}

template <class V, GemmEpilogue kEpilogue>
void finish_as(const GemmArgs& args, const Finished& f) {
    int64_t v = 0;
    for (; v + V::kLanes <= f.columns; v += V::kLanes)
        finish_columns<V, kEpilogue>(args, f, v, typename V::All{});
    if (v < f.columns) finish_columns<V, kEpilogue>(args, f, v, V::head(f.columns - v));
}

template <class V>
void finish(const GemmArgs& args, const Finished& f) {
    switch (args.epilogue) {
        case GemmEpilogue::kNone:
            return finish_as<V, GemmEpilogue::kNone>(args, f);
        case GemmEpilogue::kResidual:
            return finish_as<V, GemmEpilogue::kResidual>(args, f);
        case GemmEpilogue::kGeluTanh:
            return finish_as<V, GemmEpilogue::kGeluTanh>(args, f);
        case GemmEpilogue::kGeluErf:
            return finish_as<V, GemmEpilogue::kGeluErf>(args, f);
        case GemmEpilogue::kGeluTanhGrad:
            return finish_as<V, GemmEpilogue::kGeluTanhGrad>(args, f);
        case GemmEpilogue::kGeluErfGrad:
            return finish_as<V, GemmEpilogue::kGeluErfGrad>(args, f);
    }
}

}  // namespace
}  // namespace knlp::kernels
