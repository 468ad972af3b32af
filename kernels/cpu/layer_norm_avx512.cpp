#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/layer_norm_simd.h"

namespace knlp::kernels {

void layer_norm_forward_avx512(const LayerNormArgs& args, int64_t first, int64_t last) {
    if (args.y_type == Storage::kBf16)
        layer_norm_forward<Avx512, uint16_t>(args, first, last);
    else
        layer_norm_forward<Avx512, float>(args, first, last);
}

void layer_norm_backward_avx512(const LayerNormArgs& args, int64_t first, int64_t last) {
    const bool half_y = args.y_type == Storage::kBf16, half_dy = args.dy_type == Storage::kBf16;
    if (half_y && half_dy)
        layer_norm_backward<Avx512, uint16_t, uint16_t>(args, first, last);
    else if (half_y)
        layer_norm_backward<Avx512, uint16_t, float>(args, first, last);
    else if (half_dy)
        layer_norm_backward<Avx512, float, uint16_t>(args, first, last);
    else
        layer_norm_backward<Avx512, float, float>(args, first, last);
}

}  // namespace knlp::kernels
