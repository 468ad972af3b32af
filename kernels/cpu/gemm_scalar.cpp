// The definition of the product: double sums in the order of k, then the epilogue in double.
#include "kernels/gemm.h"

#include "kernels/cpu/gemm_blocking.h"

#include <cmath>
#include <cstring>

namespace knlp::kernels {

namespace {

double from_bf16(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
}

uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

double load(const void* p, Storage type, int64_t i) {
    if (type == Storage::kF32) return static_cast<const float*>(p)[i];
    return from_bf16(static_cast<const uint16_t*>(p)[i]);
}

void store(void* p, Storage type, int64_t i, double value) {
    const float narrow = static_cast<float>(value);
    if (type == Storage::kF32)
        static_cast<float*>(p)[i] = narrow;
    else
        static_cast<uint16_t*>(p)[i] = to_bf16(narrow);
}

/// A value of an operand as it enters the product.
double operand(const void* p, Storage type, int64_t i, Storage compute) {
    const double value = load(p, type, i);
    if (compute == Storage::kF32) return value;
    return from_bf16(to_bf16(static_cast<float>(value)));
}

struct Gelu {
    double value, slope;
};

constexpr double kPi = 3.14159265358979323846;

Gelu gelu_tanh(double x) {
    const double c = std::sqrt(2.0 / kPi);
    const double t = std::tanh(c * (x + 0.044715 * x * x * x));
    return {0.5 * x * (1.0 + t),
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * x * x)};
}

Gelu gelu_erf(double x) {
    const double cdf = 0.5 * std::erfc(-x / std::sqrt(2.0));
    return {x * cdf, cdf + x * std::exp(-0.5 * x * x) / std::sqrt(2.0 * kPi)};
}

/// Stores one finished value of C with what its epilogue reads and writes.
void finish(const GemmArgs& args, int64_t i, int64_t j, double value) {
    const int64_t at = i * args.ldc + j;
    if (args.accumulate) {
        store(args.c, args.c_type, at, load(args.c, args.c_type, at) + value);
        return;
    }
    if (args.bias != nullptr) value += args.bias[j];
    switch (args.epilogue) {
        case GemmEpilogue::kNone:
            break;
        case GemmEpilogue::kResidual:
            value += args.residual[at];
            break;
        case GemmEpilogue::kGeluTanh:
        case GemmEpilogue::kGeluErf:
            if (args.pre != nullptr) store(args.pre, args.aux_type, at, value);
            value = args.epilogue == GemmEpilogue::kGeluTanh ? gelu_tanh(value).value
                                                             : gelu_erf(value).value;
            break;
        case GemmEpilogue::kGeluTanhGrad:
        case GemmEpilogue::kGeluErfGrad: {
            const double x = load(args.pre, args.aux_type, at);
            const Gelu gelu =
                args.epilogue == GemmEpilogue::kGeluTanhGrad ? gelu_tanh(x) : gelu_erf(x);
            value *= gelu.slope;
            if (args.post != nullptr) store(args.post, args.aux_type, at, gelu.value);
            break;
        }
    }
    store(args.c, args.c_type, at, value);
}

}  // namespace

int64_t gemm_workspace_bytes() {
    return GemmBlocking::kBytes;
}

void gemm_scalar(const GemmArgs& args, int64_t part, int64_t parts, void*) {
    for (int64_t i = args.m * part / parts; i < args.m * (part + 1) / parts; ++i)
        for (int64_t j = 0; j < args.n; ++j) {
            double sum = 0.0;
            for (int64_t p = 0; p < args.k; ++p) {
                const int64_t in_a = args.transpose_a ? p * args.lda + i : i * args.lda + p;
                const int64_t in_b = args.transpose_b ? j * args.ldb + p : p * args.ldb + j;
                sum += operand(args.a, args.a_type, in_a, args.compute) *
                       operand(args.b, args.b_type, in_b, args.compute);
            }
            finish(args, i, j, sum);
        }
}

}  // namespace knlp::kernels
