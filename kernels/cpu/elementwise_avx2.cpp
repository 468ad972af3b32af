#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/elementwise_simd.h"

namespace knlp::kernels {

void column_sum_avx2(const ColumnSumArgs& args, int64_t first, int64_t last) {
    if (args.type == Storage::kBf16)
        column_sum<Avx2, uint16_t>(args, first, last);
    else
        column_sum<Avx2, float>(args, first, last);
}

void gelu_avx2(const GeluArgs& args) {
    gelu<Avx2>(args);
}

void convert_avx2(const ConvertArgs& args) {
    if (args.to_bf16)
        convert<Avx2, float, uint16_t>(args);
    else
        convert<Avx2, uint16_t, float>(args);
}

void embedding_forward_avx2(const EmbeddingArgs& args, int64_t first, int64_t last) {
    embedding_forward<Avx2>(args, first, last);
}

void embedding_backward_avx2(const EmbeddingArgs& args, int64_t first, int64_t last) {
    embedding_backward<Avx2>(args, first, last);
}

}  // namespace knlp::kernels
