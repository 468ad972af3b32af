#pragma once

#include <cstdint>

// Inverted dropout with a mask that is a pure function of its place.
//
// Element e of line l is kept when u(l, e) >= threshold, u being 16 bits of Philox4x32-10 (Salmon
// et al., SC 2011): with lane = e % 16, part = (e / 16) % 8 and group = e / 128, it is the low
// (part even) or high half of word part / 2 of the block with
//   counter = {16 * group + lane, low32(l), bits 32..47 of l | site << 16, step}.
// This order lets a vector of 16 blocks serve 128 neighbours without a transpose. All backends give
// the same bits. Reads and writes 4 bytes an element; limited by the 10 rounds (about 20 operations
// a block, 8 elements), not by memory.
namespace knlp::kernels {

/// Which masks.
struct DropoutStream {
    uint64_t first_line = 0;  // number of line 0, below 2^48
    uint32_t key[2] = {0, 0};
    uint32_t site = 0;  // below 2^16
    uint32_t step = 0;
    uint32_t threshold = 0;  // of 65536: an element is dropped with probability threshold / 65536
};

/// y = what is kept of x, times scale, else 0, even where x is not finite. With `add` that is
/// added, in one rounding; with `low` the result is rounded to bfloat16 (nearest even) and y not
/// written. The GPU has neither.
struct DropoutMaskArgs : DropoutStream {
    const float* x = nullptr;    // [lines, width]
    float* y = nullptr;          // [lines, width]; may be x or add
    const float* add = nullptr;  // [lines, width]
    uint16_t* low = nullptr;     // [lines, width]
    int64_t lines = 0, width = 0;
    float scale = 1.0f;  // of the elements kept
};
using DropoutMaskFn = void (*)(const DropoutMaskArgs&);

void dropout_mask_scalar(const DropoutMaskArgs& args);
void dropout_mask_avx2(const DropoutMaskArgs& args);
void dropout_mask_avx512(const DropoutMaskArgs& args);
/// Only in builds with USE_CUDA; x and y on the stream's device.
void dropout_mask_cuda(const DropoutMaskArgs& args, void* stream);

/// The mask alone: bit e % 64 of word e / 64 of a line is set where element e is kept.
struct DropoutBitsArgs : DropoutStream {
    uint64_t* keep = nullptr;  // [lines, words]
    int64_t lines = 0, words = 0;
};
using DropoutBitsFn = void (*)(const DropoutBitsArgs&);

void dropout_bits_scalar(const DropoutBitsArgs& args);
void dropout_bits_avx2(const DropoutBitsArgs& args);
void dropout_bits_avx512(const DropoutBitsArgs& args);

}  // namespace knlp::kernels
