#include "dropout_site.h"

#include "kernel_set.h"

#include "knlp/core/error.h"
#include "knlp/core/rng.h"

#include <algorithm>
#include <cmath>

namespace knlp::model {

namespace {

constexpr int64_t kBlock = 64;  // queries, and bits of a word

int64_t blocks_of(int64_t t) {
    return (t + kBlock - 1) / kBlock;
}

double threshold_of(const DropoutSite& site) {
    KNLP_CHECK(site.rate >= 0 && site.rate < 1);
    return std::min(std::nearbyint(site.rate * 65536.0), 65535.0);
}

/// Bit b of word a becomes bit a of word b: halves of ever smaller squares change places.
void transpose(uint64_t (&word)[64]) {
    uint64_t low = 0xFFFFFFFFu;
    for (size_t half = 32; half > 0; half /= 2, low ^= low << half)
        for (size_t i = 0; i < 64; i = ((i | half) + 1) & ~half) {
            const uint64_t change = ((word[i] >> half) ^ word[i | half]) & low;
            word[i] ^= change << half;
            word[i | half] ^= change;
        }
}

}  // namespace

kernels::DropoutStream dropout_stream(const DropoutSite& site, int64_t first_line) {
    KNLP_CHECK(first_line >= 0);
    const std::array<uint32_t, 2> key = Stream(site.seed, "dropout").key();
    return {.first_line = static_cast<uint64_t>(first_line),
            .key = {key[0], key[1]},
            .site = static_cast<uint32_t>(site.site),
            .step = static_cast<uint32_t>(site.step),
            .threshold = static_cast<uint32_t>(threshold_of(site))};
}

float dropout_scale(const DropoutSite& site) {
    return static_cast<float>(65536.0 / (65536.0 - threshold_of(site)));
}

int64_t keep_words(int64_t t) {
    return blocks_of(t) * blocks_of(t) * kBlock;
}

int64_t keep_scratch_words(int64_t t) {
    return kBlock * blocks_of(t);
}

void make_keep(const kernels::DropoutStream& stream, int64_t t, uint64_t* keep, uint64_t* scratch) {
    const int64_t blocks = blocks_of(t);
    for (int64_t i = 0; i < blocks; ++i, keep += blocks * kBlock) {
        kernels::DropoutBitsArgs lines;
        static_cast<kernels::DropoutStream&>(lines) = stream;
        lines.first_line += static_cast<uint64_t>(i * kBlock);
        lines.keep = scratch;
        lines.lines = std::min(kBlock, t - i * kBlock);
        lines.words = i + 1;  // no query sees a key past its own block
        kernel_set().dropout_bits(lines);
        for (int64_t j = 0; j <= i; ++j) {
            uint64_t square[64] = {};
            for (int64_t line = 0; line < lines.lines; ++line)
                square[line] = scratch[line * lines.words + j];
            transpose(square);
            std::copy_n(square, kBlock, keep + j * kBlock);
        }
    }
}

}  // namespace knlp::model
