#include "kernels/gemm.h"

namespace knlp::kernels {

void gemm_avx512_bf16(const GemmArgs& args, int64_t part, int64_t parts, void* workspace) {
    gemm_scalar(args, part, parts, workspace);
}

}  // namespace knlp::kernels
