#include "kernels/dropout_mask.h"

#include "kernels/cpu/scalar.h"

#include <cmath>

namespace knlp::kernels {

namespace {

void philox_10(uint32_t c[4], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
        const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
        const uint32_t c1 = c[1], c3 = c[3];
        c[0] = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
        c[1] = static_cast<uint32_t>(p1);
        c[2] = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
        c[3] = static_cast<uint32_t>(p0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/// Bits of elements first .. first + 127 of a line; first is a multiple of 128.
void keep_128(const DropoutStream& s, uint64_t line, int64_t first, uint64_t (&bits)[2]) {
    const uint32_t c2 = static_cast<uint32_t>((line >> 32) & 0xFFFFu) | (s.site << 16);
    bits[0] = bits[1] = 0;
    for (int64_t lane = 0; lane < 16; ++lane) {
        uint32_t words[4] = {static_cast<uint32_t>(first / 8 + lane), static_cast<uint32_t>(line),
                             c2, s.step};
        philox_10(words, s.key[0], s.key[1]);
        for (int64_t part = 0; part < 8; ++part) {
            const uint32_t u = (words[part / 2] >> (16 * (part % 2))) & 0xFFFFu;
            if (u >= s.threshold) bits[part / 4] |= uint64_t{1} << (16 * (part % 4) + lane);
        }
    }
}

}  // namespace

void dropout_mask_scalar(const DropoutMaskArgs& a) {
    uint64_t bits[2];
    for (int64_t i = 0; i < a.lines; ++i)
        for (int64_t e = 0; e < a.width; ++e) {
            if (e % 128 == 0) keep_128(a, a.first_line + static_cast<uint64_t>(i), e, bits);
            const int64_t at = i * a.width + e;
            const float kept = (bits[e / 64 % 2] >> (e % 64)) & 1u ? a.x[at] : 0.0f;
            const float y = a.add != nullptr ? std::fma(kept, a.scale, a.add[at]) : kept * a.scale;
            if (a.low != nullptr)
                store(a.low, Storage::kBf16, at, y);
            else
                a.y[at] = y;
        }
}

void dropout_bits_scalar(const DropoutBitsArgs& a) {
    uint64_t bits[2];
    for (int64_t i = 0; i < a.lines; ++i)
        for (int64_t word = 0; word < a.words; ++word) {
            if (word % 2 == 0)
                keep_128(a, a.first_line + static_cast<uint64_t>(i), 64 * word, bits);
            a.keep[i * a.words + word] = bits[word % 2];
        }
}

}  // namespace knlp::kernels
