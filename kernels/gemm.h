#pragma once

#include <cstdint>

namespace knlp::kernels {

/// How numbers lie in memory; products are always summed in float32.
enum class Storage : uint8_t { kF32, kBf16 };

/// What happens to a finished value of the product, after `bias` was added.
enum class GemmEpilogue : uint8_t {
    kNone,
    kResidual,      // c = value + residual
    kGeluTanh,      // pre = value; c = gelu(value), tanh form
    kGeluErf,       // the same, erf form
    kGeluTanhGrad,  // c = value * gelu'(pre); post = gelu(pre), to 2^-18, when post is given
    kGeluErfGrad,
};

/// C [m, n] = epilogue(op(A) op(B) + bias), or C += op(A) op(B) with accumulate (no bias, no
/// epilogue then). op(A) [m, k] is stored row-major [m, k], or [k, m] when transpose_a; op(B) [k,
/// n] is stored [k, n], or [n, k] when transpose_b. Leading dimensions count values.
///
/// compute kBf16 rounds both operands to bfloat16 (nearest even) before they are multiplied; kF32
/// takes float32 operands only. The sum over k has one order for a shape, whatever `parts` is: the
/// same bits for every number of threads at one instruction set.
struct GemmArgs {
    const void* a = nullptr;
    const void* b = nullptr;
    void* c = nullptr;
    int64_t lda = 0, ldb = 0, ldc = 0;
    int64_t m = 0, n = 0, k = 0;
    bool transpose_a = false, transpose_b = false, accumulate = false;
    Storage a_type = Storage::kF32, b_type = Storage::kF32, c_type = Storage::kF32;
    Storage compute = Storage::kF32;
    GemmEpilogue epilogue = GemmEpilogue::kNone;
    const float* bias = nullptr;      // [n]
    const float* residual = nullptr;  // [m, ldc] float32; may be c itself
    void* pre = nullptr;              // [m, ldc] of aux_type: written by kGelu*, read by kGelu*Grad
    void* post = nullptr;             // [m, ldc] of aux_type, or null
    Storage aux_type = Storage::kF32;
};

/// Does part `part` of `parts` of the work; parts write disjoint pieces of C and may run at once.
/// `workspace` is this part's own, gemm_workspace_bytes() long and 64-byte aligned.
using GemmFn = void (*)(const GemmArgs& args, int64_t part, int64_t parts, void* workspace);
int64_t gemm_workspace_bytes();

void gemm_scalar(const GemmArgs& args, int64_t part, int64_t parts, void* workspace);
void gemm_avx2(const GemmArgs& args, int64_t part, int64_t parts, void* workspace);
void gemm_avx512(const GemmArgs& args, int64_t part, int64_t parts, void* workspace);
/// gemm_avx512 with vdpbf16ps for compute kBf16; needs has_avx512_bf16().
void gemm_avx512_bf16(const GemmArgs& args, int64_t part, int64_t parts, void* workspace);

}  // namespace knlp::kernels
