#include "kernels/decode.h"

namespace knlp::kernels {

void gemv_avx512(const GemvArgs& args, int64_t first, int64_t last) {
    gemv_scalar(args, first, last);
}

void decode_attention_avx512(const DecodeAttentionArgs& args, int64_t first, int64_t last,
                             float* workspace) {
    decode_attention_scalar(args, first, last, workspace);
}

}  // namespace knlp::kernels
