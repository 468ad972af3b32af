#include "kernels/cpu/simd_avx2.h"

#include "kernels/cpu/decode_simd.h"

namespace knlp::kernels {

void gemv_avx2(const GemvArgs& args, int64_t first, int64_t last, void* workspace) {
    gemv<Avx2>(args, first, last, workspace);
}

void decode_attention_avx2(const DecodeAttentionArgs& args, int64_t first, int64_t last, float*) {
    if (args.cache.type == Storage::kF32)
        decode_attention<Avx2, float>(args, first, last);
    else
        decode_attention<Avx2, uint16_t>(args, first, last);
}

}  // namespace knlp::kernels
