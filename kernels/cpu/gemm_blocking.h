#pragma once

#include <cstdint>

namespace knlp::kernels {

/// A panel of A (block_rows x block_k units) stays in the second-level cache while the columns pass
/// by; a panel of B (block_k x block_columns) stays in the third. A unit is 32 bits: one float32,
/// or two bfloat16 values of neighbouring k.
struct GemmBlocking {
    static constexpr int64_t kUnits = 384;                    // longest stretch of k
    static constexpr int64_t kUnitsWithoutSums = 4 * kUnits;  // where C cannot hold partial sums
    static constexpr int64_t kPanelA = 384 * 384;             // units
    static constexpr int64_t kPanelB = 384 * 2048;            // units
    static constexpr int64_t kTile = 128 * 512;  // float32 partial sums where C is bfloat16
    static constexpr int64_t kTileRows = 128, kTileColumns = 512;
    static constexpr int64_t kSlack = 1024;  // floats: packing stores whole vectors
    static constexpr int64_t kBytes = 4 * (kPanelA + kPanelB + kTile + 4 * kSlack);
};

}  // namespace knlp::kernels
