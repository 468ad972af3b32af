#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/elementwise_simd.h"

namespace knlp::kernels {

void column_sum_avx512(const ColumnSumArgs& args, int64_t first, int64_t last) {
    if (args.type == Storage::kBf16)
        column_sum<Avx512, uint16_t>(args, first, last);
    else
        column_sum<Avx512, float>(args, first, last);
}

void gelu_avx512(const GeluArgs& args) {
    gelu<Avx512>(args);
}

void convert_avx512(const ConvertArgs& args) {
    if (args.to_bf16)
        convert<Avx512, float, uint16_t>(args);
    else
        convert<Avx512, uint16_t, float>(args);
}

void embedding_forward_avx512(const EmbeddingArgs& args, int64_t first, int64_t last) {
    embedding_forward<Avx512>(args, first, last);
}

void embedding_backward_avx512(const EmbeddingArgs& args, int64_t first, int64_t last) {
    embedding_backward<Avx512>(args, first, last);
}

}  // namespace knlp::kernels
