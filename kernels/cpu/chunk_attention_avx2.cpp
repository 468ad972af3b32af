#include "kernels/cpu/attention_vectors_avx2.h"

#include "kernels/cpu/chunk_attention_simd.h"

namespace knlp::kernels {

void chunk_attention_avx2(const ChunkAttentionArgs& args, int64_t first, int64_t last,
                          void* workspace) {
    if (args.cache.type == Storage::kF32)
        chunk_attention<Attention2, float>(args, first, last, workspace);
    else
        chunk_attention<Attention2, uint16_t>(args, first, last, workspace);
}

}  // namespace knlp::kernels
