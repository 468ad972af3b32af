#pragma once

// What becomes of finished sums: epilogues of the blocked product. V is a vector type of simd_*.h,
// simd_math.h comes first. Internal linkage.

#include "kernels/gemm.h"

#include <cstdint>

namespace knlp::kernels {
namespace {

/// A rectangle of C whose sums over some stretch of k lie in `sums`, rows kStride floats apart.
struct Finished {
    static constexpr int64_t kStride = 64, kMaxRows = 16;
    int64_t row, column, rows, columns;
    float* sums;
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

constexpr bool is_gradient(GemmEpilogue epilogue) {
    return epilogue == GemmEpilogue::kGeluTanhGrad || epilogue == GemmEpilogue::kGeluErfGrad;
}

/// One vector of finished values: epilogue, C, pre, post. `pre`: what a gradient reads.
template <class V, GemmEpilogue kEpilogue>
void finish_vector(const GemmArgs& args, int64_t i, auto part, typename V::F x, typename V::F pre) {
    using enum GemmEpilogue;
    if constexpr (kEpilogue == kGeluTanh || kEpilogue == kGeluErf) {
        if (args.pre != nullptr) store_any<V>(args.pre, args.aux_type, i, part, x);
        x = kEpilogue == kGeluTanh ? gelu_tanh<V>(x) : gelu_erf_and_slope<V>(x).value;
    }
    if constexpr (is_gradient(kEpilogue)) {
        const GeluAndSlope<V> gelu =
            kEpilogue == kGeluTanhGrad ? gelu_tanh_and_slope<V>(pre) : gelu_erf_and_slope<V>(pre);
        x = V::mul(x, gelu.slope);
        if (args.post != nullptr) store_any<V>(args.post, args.aux_type, i, part, gelu.value);
    }
    store_any<V>(args.c, args.c_type, i, part, x);
}

/// Adds what C starts from (its old value, the residual, the sums so far) and, after the last
/// stretch of k, the bias; then the epilogue. All that lies as C does is read before any of it is
/// written: a load waits for an earlier store whose address has the same low 12 bits, which rows of
/// 2 or 4 KiB have. So C may be the residual too.
template <class V, GemmEpilogue kEpilogue>
void finish_columns(const GemmArgs& args, const Finished& f, int64_t v, auto part) {
    constexpr typename V::All kAll{};
    const int64_t column = f.column + v;
    const auto at = [&](int64_t r) { return (f.row + r) * args.ldc + column; };
    const auto start_from = [&](auto value) {
        for (int64_t r = 0; r < f.rows; ++r) {
            float* const sum = f.sums + r * Finished::kStride + v;
            V::store(sum, kAll, V::add(value(r), V::load(sum, kAll)));
        }
    };
    if (!f.first)
        start_from([&](int64_t r) { return V::load(f.partial + r * f.partial_ld + v, part); });
    else if (args.accumulate)
        start_from([&](int64_t r) { return load_any<V>(args.c, args.c_type, at(r), part); });
    else if (kEpilogue == GemmEpilogue::kResidual)
        start_from([&](int64_t r) { return V::load(args.residual + at(r), part); });
    typename V::F pre[Finished::kMaxRows];
    if (is_gradient(kEpilogue) && f.last)
        for (int64_t r = 0; r < f.rows; ++r)
            pre[r] = load_any<V>(args.pre, args.aux_type, at(r), part);

    const typename V::F bias = f.last && args.bias != nullptr
                                   ? V::load(args.bias + column, part)
                                   : V::set1(-0.0f);  // x + -0 = x, for -0 too
    for (int64_t r = 0; r < f.rows; ++r) {
        const typename V::F x = V::load(f.sums + r * Finished::kStride + v, kAll);
        if (f.last)
            finish_vector<V, kEpilogue>(args, at(r), part, V::add(x, bias),
                                        is_gradient(kEpilogue) ? pre[r] : V::zero());
        else
            V::store(f.partial + r * f.partial_ld + v, part, x);
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
