#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/cross_entropy_simd.h"

namespace knlp::kernels {

void cross_entropy_avx512(const CrossEntropyArgs& args, int64_t first, int64_t last) {
    cross_entropy<Avx512>(args, first, last);
}

}  // namespace knlp::kernels
