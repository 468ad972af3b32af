// One thread computes one Philox block and writes its eight elements, which lie 16 apart: a warp's
// threads have neighbouring lanes, so each of the eight accesses is coalesced. Bytes: 8 an element
// (read, write).

#include "kernels/dropout_mask.h"
#include "kernels/gpu/gpu_port.h"

namespace knlp::kernels {

namespace {

constexpr int kThreads = 256;

__device__ void philox_10(uint32_t c[4], uint32_t k0, uint32_t k1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const uint32_t h0 = __umulhi(0xD2511F53u, c[0]), l0 = 0xD2511F53u * c[0];
        const uint32_t h1 = __umulhi(0xCD9E8D57u, c[2]), l1 = 0xCD9E8D57u * c[2];
        c[0] = h1 ^ c[1] ^ k0;
        c[1] = l1;
        c[2] = h0 ^ c[3] ^ k1;
        c[3] = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

__global__ void dropout_mask_kernel(DropoutMaskArgs a, int64_t blocks_per_line) {
    const int64_t total = a.lines * blocks_per_line;
    const int64_t stride = int64_t{gridDim.x} * kThreads;
    for (int64_t b = int64_t{blockIdx.x} * kThreads + threadIdx.x; b < total; b += stride) {
        const int64_t row = b / blocks_per_line, block = b % blocks_per_line;
        const uint64_t line = a.first_line + static_cast<uint64_t>(row);
        uint32_t words[4] = {static_cast<uint32_t>(block), static_cast<uint32_t>(line),
                             static_cast<uint32_t>((line >> 32) & 0xFFFFu) | (a.site << 16),
                             a.step};
        philox_10(words, a.key[0], a.key[1]);
        const int64_t first = block / 16 * 128 + block % 16;
        const float* x = a.x + row * a.width;
        float* y = a.y + row * a.width;
#pragma unroll
        for (int part = 0; part < 8; ++part) {
            const int64_t e = first + 16 * part;
            if (e >= a.width) break;
            const uint32_t u = (words[part / 2] >> (16 * (part % 2))) & 0xFFFFu;
            y[e] = u >= a.threshold ? x[e] * a.scale : 0.0f;
        }
    }
}

}  // namespace

void dropout_mask_cuda(const DropoutMaskArgs& args, void* stream) {
    if (args.lines <= 0 || args.width <= 0) return;
    const int64_t blocks_per_line = (args.width + 127) / 128 * 16;
    const int64_t wanted = (args.lines * blocks_per_line + kThreads - 1) / kThreads;
    const int grid = static_cast<int>(wanted < 65535 ? wanted : 65535);
    dropout_mask_kernel<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(args,
                                                                                  blocks_per_line);
    KNLP_GPU_CHECK(cudaGetLastError());
}

}  // namespace knlp::kernels
