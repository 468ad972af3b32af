#include "kernels/chunk_attention.h"

#include "kernels/causal_attention.h"

namespace knlp::kernels {

int64_t chunk_attention_workspace_bytes(int64_t kv_len, int64_t d_head) {
    return causal_attention_workspace_bytes({.t = kv_len, .d_head = d_head});
}

void chunk_attention_scalar(const ChunkAttentionArgs& a, int64_t first, int64_t last,
                            void* workspace) {
    for (int64_t i = 0; i < a.q_len; ++i)
        decode_attention_scalar({.q = a.q + i * a.q_stride,
                                 .kv = a.kv,
                                 .y = a.y + i * a.cache.n_head * a.cache.d_head,
                                 .cache = a.cache,
                                 .batch = 1,
                                 .kv_len = a.kv_len - a.q_len + i + 1,
                                 .q_stride = a.q_stride,
                                 .softmax_scale = a.softmax_scale},
                                first, last, static_cast<float*>(workspace));
}

}  // namespace knlp::kernels
