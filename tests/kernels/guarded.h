#pragma once

#include "kernels/gemm.h"
#include "knlp/core/half.h"
#include "knlp/core/host.h"
#include "knlp/core/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace knlp::kernels {

/// n numbers of a stored form that begin `offset` numbers into an allocation, with canaries on both
/// sides: what a kernel takes for granted about alignment or writes past an end shows.
class Guarded {
public:
    Guarded(Storage type, int64_t n, int64_t offset, float fill = 0.0f)
        : type_(type), n_(n), offset_(offset), words_(bytes(n + offset + kGuard), kCanary) {
        for (int64_t i = 0; i < n; ++i) set(i, fill);
    }
    /// Standard normals times `scale` plus `shift`, one sequence for each lane.
    static Guarded normal(Storage type, int64_t n, int64_t offset, uint64_t lane,
                          float scale = 1.0f, float shift = 0.0f) {
        Guarded made(type, n, offset);
        std::vector<float> values(static_cast<size_t>(n));
        Stream(11, "tests/kernels").normal(values, lane);
        for (int64_t i = 0; i < n; ++i) made.set(i, values[static_cast<size_t>(i)] * scale + shift);
        return made;
    }

    void* data() { return words_.data() + bytes(offset_); }
    float* f32() { return static_cast<float*>(data()); }
    int64_t size() const { return n_; }
    float at(int64_t i) const {
        const unsigned char* from = words_.data() + bytes(offset_ + i);
        if (type_ == Storage::kF32) {
            float value = 0.0f;
            std::memcpy(&value, from, sizeof value);
            return value;
        }
        uint16_t word = 0;
        std::memcpy(&word, from, sizeof word);
        return bf16_to_f32(word);
    }
    void set(int64_t i, float value) {
        unsigned char* to = words_.data() + bytes(offset_ + i);
        const uint16_t word = f32_to_bf16(value);
        if (type_ == Storage::kF32)
            std::memcpy(to, &value, sizeof value);
        else
            std::memcpy(to, &word, sizeof word);
    }
    bool same_bits(const Guarded& other) const { return words_ == other.words_; }

    void expect_canaries(const std::string& where) const {
        bool kept = true;
        for (size_t i = 0; i < words_.size(); ++i)
            if (i < bytes(offset_) || i >= bytes(offset_ + n_)) kept &= words_[i] == kCanary;
        EXPECT_TRUE(kept) << where << ": written outside the output";
    }
    /// |this - wanted| <= relative |wanted| + absolute for every number, and the canaries.
    void expect_near(const Guarded& wanted, double relative, double absolute,
                     const std::string& where) const {
        expect_canaries(where);
        for (int64_t i = 0; i < n_; ++i) {
            const double x = static_cast<double>(at(i)), y = static_cast<double>(wanted.at(i));
            ASSERT_LE(std::abs(x - y), relative * std::abs(y) + absolute)
                << where << " at " << i << ": " << x << ", wanted " << y;
        }
    }

private:
    static constexpr int64_t kGuard = 64;
    static constexpr unsigned char kCanary = 0xA5;
    size_t bytes(int64_t n) const {
        return static_cast<size_t>(n) * (type_ == Storage::kF32 ? 4u : 2u);
    }
    Storage type_;
    int64_t n_, offset_;
    std::vector<unsigned char> words_;
};

/// Whether this CPU can run kernels of that level.
inline bool runs(Isa level) {
    return static_cast<int>(isa()) >= static_cast<int>(level);
}

}  // namespace knlp::kernels
