#include "knlp/core/rng.h"

#include "knlp/core/error.h"
#include "knlp/core/hash.h"

#include <cmath>
#include <numbers>

namespace knlp {

namespace {

/// SplitMix64's finalizer: spreads neighbouring seeds over all bits.
uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint32_t low(uint64_t x) {
    return static_cast<uint32_t>(x);
}
uint32_t high(uint64_t x) {
    return static_cast<uint32_t>(x >> 32);
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t p0 = uint64_t{0xD2511F53u} * counter[0];
        const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter[2];
        counter = {high(p1) ^ counter[1] ^ key[0], low(p1), high(p0) ^ counter[3] ^ key[1],
                   low(p0)};
        key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
    }
    return counter;
}

Stream::Stream(uint64_t seed, std::string_view name) {
    const uint64_t key = xxh3(std::as_bytes(std::span(name))) ^ mix(seed);
    key_ = {low(key), high(key)};
}

std::array<uint32_t, 4> Stream::block(uint64_t index, uint64_t lane) const {
    return philox4x32({low(index), high(index), low(lane), high(lane)}, key_);
}

uint64_t Stream::u64(uint64_t index, uint64_t lane) const {
    const std::array<uint32_t, 4> words = block(index, lane);
    return words[0] | (uint64_t{words[1]} << 32);
}

double Stream::uniform(uint64_t index, uint64_t lane) const {
    return static_cast<double>(u64(index, lane) >> 11) * 0x1p-53;
}

uint64_t Stream::below(uint64_t n, uint64_t index, uint64_t lane) const {
    KNLP_CHECK(n > 0);
    return static_cast<uint64_t>((static_cast<__uint128_t>(u64(index, lane)) * n) >> 64);
}

void Stream::normal(std::span<float> out, uint64_t lane, uint64_t first) const {
    KNLP_CHECK(first % 4 == 0);
    for (size_t i = 0; i < out.size(); i += 4) {
        const std::array<uint32_t, 4> words = block((first + i) / 4, lane);
        for (size_t pair = 0; pair < 2; ++pair) {
            // (0, 1]: the logarithm is finite, and |value| <= sqrt(2 ln 2^32) = 6.66.
            const double u = (static_cast<double>(words[2 * pair]) + 1.0) * 0x1p-32;
            const double angle =
                2.0 * std::numbers::pi * static_cast<double>(words[2 * pair + 1]) * 0x1p-32;
            const double radius = std::sqrt(-2.0 * std::log(u));
            const size_t at = i + 2 * pair;
            if (at < out.size()) out[at] = static_cast<float>(radius * std::cos(angle));
            if (at + 1 < out.size()) out[at + 1] = static_cast<float>(radius * std::sin(angle));
        }
    }
}

}  // namespace knlp
