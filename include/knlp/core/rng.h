#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace knlp {

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a block
/// of four 32-bit words as a pure function of key and counter.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// An independent counter-based stream. Two streams with different (seed, name) never share blocks
/// in practice, so adding a consumer shifts nobody else's numbers. Block i is philox(counter = i,
/// key), with key = XXH3-64(name) xor'ed with a mix (SplitMix64) of the seed.
class Stream {
public:
    Stream(uint64_t seed, std::string_view name);

    /// Four words of block `index`, with a second coordinate for a row, layer or site.
    std::array<uint32_t, 4> block(uint64_t index, uint64_t lane = 0) const;
    uint64_t u64(uint64_t index, uint64_t lane = 0) const;
    /// Uniform in [0, 1), 53 bits.
    double uniform(uint64_t index, uint64_t lane = 0) const;
    /// Uniform in [0, n) without modulo bias (Lemire's multiply; the bias is < 2^-32 for n < 2^32).
    uint64_t below(uint64_t n, uint64_t index, uint64_t lane = 0) const;
    /// Standard normals by Box-Muller: out[i] is value first + i, a function of (first + i, lane)
    /// alone, so an array may be filled in pieces. first must be a multiple of 4.
    void normal(std::span<float> out, uint64_t lane = 0, uint64_t first = 0) const;

    std::array<uint32_t, 2> key() const { return key_; }

private:
    std::array<uint32_t, 2> key_;
};

}  // namespace knlp
