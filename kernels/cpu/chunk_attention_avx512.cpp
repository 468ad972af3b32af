#include "kernels/cpu/attention_vectors_avx512.h"

#include "kernels/cpu/chunk_attention_simd.h"

namespace knlp::kernels {

void chunk_attention_avx512(const ChunkAttentionArgs& args, int64_t first, int64_t last,
                            void* workspace) {
    if (args.cache.type == Storage::kF32)
        chunk_attention<Attention512, float>(args, first, last, workspace);
    else
        chunk_attention<Attention512, uint16_t>(args, first, last, workspace);
}

}  // namespace knlp::kernels
