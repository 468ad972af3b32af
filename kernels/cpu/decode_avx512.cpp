#include "kernels/cpu/simd_avx512.h"

#include "kernels/cpu/decode_simd.h"

namespace knlp::kernels {

void gemv_avx512(const GemvArgs& args, int64_t first, int64_t last, void* workspace) {
    gemv<Avx512>(args, first, last, workspace);
}

void decode_attention_avx512(const DecodeAttentionArgs& args, int64_t first, int64_t last, float*) {
    if (args.cache.type == Storage::kF32)
        decode_attention<Avx512, float>(args, first, last);
    else
        decode_attention<Avx512, uint16_t>(args, first, last);
}

}  // namespace knlp::kernels
