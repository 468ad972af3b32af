#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/cross_entropy_simd.h"

namespace knlp::kernels {

void cross_entropy_avx2(const CrossEntropyArgs& args, int64_t first, int64_t last) {
    cross_entropy<Avx2>(args, first, last);
}

}  // namespace knlp::kernels
