#pragma once

#include <cstdint>

// The most multiply-adds this core can do: independent chains of them in registers, nothing else.
//
// Reads and writes no memory. A chain's next link waits for its last one (4 to 5 cycles), so as
// many chains run at once as registers hold: 24 of 512 bits, 12 of 256, 8 of 128. Two operations a
// multiply-add; limited by the multiply units alone.
namespace knlp::kernels {

struct PeakRate {
    int64_t flops = 0;
    double sum = 0;  // of all chains at the end, so that none can be left out
};

/// Runs `links` links of every chain. Float32: each chain goes a = a / 2 + 1 from 0, so after 25
/// links all lanes are 2 (within one rounding). bfloat16: each lane adds 1 * 1 + 1 * 1, exact up to
/// 2^23 links.
using PeakRateFn = PeakRate (*)(int64_t links);

PeakRate peak_fma_scalar(int64_t links);
PeakRate peak_fma_avx2(int64_t links);
PeakRate peak_fma_avx512(int64_t links);
/// vdpbf16ps; needs has_avx512_bf16().
PeakRate peak_bf16_avx512(int64_t links);

/// Lanes of all chains: what `sum` adds up.
constexpr int64_t kPeakLanesScalar = 32, kPeakLanesAvx2 = 12 * 8, kPeakLanesAvx512 = 24 * 16;

}  // namespace knlp::kernels
