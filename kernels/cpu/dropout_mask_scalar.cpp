#include "kernels/dropout_mask.h"

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

}  // namespace

void dropout_mask_scalar(const DropoutMaskArgs& a) {
    for (int64_t i = 0; i < a.lines; ++i) {
        const uint64_t line = a.first_line + static_cast<uint64_t>(i);
        const uint32_t c2 = static_cast<uint32_t>((line >> 32) & 0xFFFFu) | (a.site << 16);
        const float* x = a.x + i * a.width;
        float* y = a.y + i * a.width;
        for (int64_t first = 0; first < a.width; first += 128) {
            for (int64_t lane = 0; lane < 16 && first + lane < a.width; ++lane) {
                uint32_t words[4] = {static_cast<uint32_t>(first / 8 + lane),
                                     static_cast<uint32_t>(line), c2, a.step};
                philox_10(words, a.key[0], a.key[1]);
                for (int64_t part = 0; part < 8; ++part) {
                    const int64_t e = first + 16 * part + lane;
                    if (e >= a.width) break;
                    const uint32_t u = (words[part / 2] >> (16 * (part % 2))) & 0xFFFFu;
                    y[e] = u >= a.threshold ? x[e] * a.scale : 0.0f;
                }
            }
        }
    }
}

}  // namespace knlp::kernels
