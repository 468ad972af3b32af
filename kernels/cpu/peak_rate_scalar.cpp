#include "kernels/peak_rate.h"

namespace knlp::kernels {

// Plain C++ for the baseline processor: the compiler puts four lanes into a register,
// multiplication and addition stay two instructions.
PeakRate peak_fma_scalar(int64_t links) {
    float a[kPeakLanesScalar] = {};
    // Not known to the compiler, or it would compute the outcome itself.
    volatile float half_source = 0.5f, one_source = 1.0f;
    const float half = half_source, one = one_source;
    for (int64_t i = 0; i < links; ++i)
        for (float& lane : a) lane = lane * half + one;
    PeakRate result{.flops = 2 * kPeakLanesScalar * links};
    for (const float lane : a) result.sum += static_cast<double>(lane);
    return result;
}

}  // namespace knlp::kernels
