// Every kernel at every level this CPU has, against the scalar definition, over awkward shapes.

#include "kernels/dropout_mask.h"
#include "knlp/core/host.h"
#include "knlp/core/rng.h"
#include "tests/kernels/guarded.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace knlp::kernels {
namespace {

struct Backend {
    const char* name;
    Isa needs;
    DropoutMaskFn run;
    DropoutBitsFn bits;
};
constexpr Backend kBackends[] = {
    {"avx2", Isa::kAvx2, dropout_mask_avx2, dropout_bits_avx2},
    {"avx512", Isa::kAvx512, dropout_mask_avx512, dropout_bits_avx512}};

std::vector<Backend> runnable() {
    std::vector<Backend> found;
    for (const Backend& backend : kBackends)
        if (static_cast<int>(isa()) >= static_cast<int>(backend.needs)) found.push_back(backend);
    return found;
}

/// Runs `fn` with `offset` floats before the data, so that no alignment is taken for granted, and
/// canaries on both sides.
std::vector<float> run(DropoutMaskFn fn, DropoutMaskArgs args, int64_t offset) {
    const int64_t n = args.lines * args.width;
    std::vector<float> x(static_cast<size_t>(n + offset)),
        y(static_cast<size_t>(n + offset + 64), -7.0f);
    for (int64_t i = 0; i < n; ++i)
        x[static_cast<size_t>(i + offset)] = std::sin(0.37f * static_cast<float>(i));
    if (n > 3) x[static_cast<size_t>(offset + 3)] = std::numeric_limits<float>::quiet_NaN();
    args.x = x.data() + offset;
    args.y = y.data() + offset;
    fn(args);
    for (int64_t i = 0; i < offset; ++i) EXPECT_EQ(y[static_cast<size_t>(i)], -7.0f);
    for (size_t i = static_cast<size_t>(n + offset); i < y.size(); ++i) EXPECT_EQ(y[i], -7.0f);
    return y;
}

/// Numbers that use every field, with a carry into the high word from the second line on.
DropoutStream some_stream(uint32_t threshold) {
    return {.first_line = 0xFFFFFFFFull - 1,
            .key = {0x12345678u, 0x9ABCDEF0u},
            .site = 37,
            .step = 0xFFFFFFF0u,
            .threshold = threshold};
}

TEST(DropoutMask, EveryBackendGivesTheBitsOfScalar) {
    if (runnable().empty()) GTEST_SKIP() << "this CPU has no AVX2";
    for (const int64_t width : {1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 257, 1000})
        for (const int64_t lines : {0, 1, 3})
            for (const int64_t offset : {0, 1, 5})
                for (const uint32_t threshold : {0u, 1u, 6554u, 32768u, 65535u}) {
                    DropoutMaskArgs args;
                    args.lines = lines;
                    args.width = width;
                    static_cast<DropoutStream&>(args) = some_stream(threshold);
                    args.scale = 1.1111f;
                    const std::vector<float> wanted = run(dropout_mask_scalar, args, offset);
                    for (const Backend& backend : runnable()) {
                        const std::vector<float> got = run(backend.run, args, offset);
                        ASSERT_EQ(
                            std::memcmp(got.data(), wanted.data(), got.size() * sizeof(float)), 0)
                            << backend.name << " width " << width << " lines " << lines
                            << " offset " << offset << " threshold " << threshold;
                    }
                }
}

TEST(DropoutMask, AddsAndRoundsAsScalar) {
    constexpr int64_t kLines = 3;
    for (const int64_t width : {1, 8, 17, 63, 65, 130})
        for (const bool low : {false, true}) {
            const int64_t n = kLines * width;
            const Storage type = low ? Storage::kBf16 : Storage::kF32;
            Guarded x = Guarded::normal(Storage::kF32, n, 1, 0);
            Guarded add = Guarded::normal(Storage::kF32, n, 3, 1);
            Guarded wanted(type, n, 1);
            const auto run_on = [&](DropoutMaskFn fn, Guarded& y) {
                DropoutMaskArgs args;
                static_cast<DropoutStream&>(args) = some_stream(30000);
                args.x = x.f32();
                args.add = add.f32();
                args.y = low ? nullptr : y.f32();
                args.low = low ? static_cast<uint16_t*>(y.data()) : nullptr;
                args.lines = kLines;
                args.width = width;
                args.scale = 1.25f;
                fn(args);
            };
            run_on(dropout_mask_scalar, wanted);
            int64_t kept = 0;
            for (int64_t i = 0; i < n; ++i) {
                const float with = std::fma(x.at(i), 1.25f, add.at(i)), without = add.at(i);
                const auto stored = [&](float v) { return low ? bf16_to_f32(f32_to_bf16(v)) : v; };
                EXPECT_TRUE(wanted.at(i) == stored(with) || wanted.at(i) == stored(without)) << i;
                kept += wanted.at(i) == stored(with);
            }
            EXPECT_TRUE(n < 8 || (kept > 0 && kept < n)) << kept << " of " << n;
            for (const Backend& backend : runnable()) {
                Guarded got(type, n, 1);
                run_on(backend.run, got);
                got.expect_canaries(backend.name);
                EXPECT_TRUE(got.same_bits(wanted)) << backend.name << " width " << width;
            }
        }
}

TEST(DropoutBits, AreTheMask) {
    std::vector<Backend> backends = runnable();
    backends.push_back({"scalar", Isa::kScalar, dropout_mask_scalar, dropout_bits_scalar});
    constexpr int64_t kLines = 3;
    for (const Backend& backend : backends)
        for (const int64_t words : {0, 1, 2, 3, 5}) {
            const int64_t width = 64 * words;
            std::vector<float> ones(static_cast<size_t>(kLines * width), 1.0f), mask = ones;
            DropoutMaskArgs args;
            static_cast<DropoutStream&>(args) = some_stream(6554);
            args.x = ones.data();
            args.y = mask.data();
            args.lines = kLines;
            args.width = width;
            dropout_mask_scalar(args);
            constexpr uint64_t kCanary = 0xA5A5A5A5A5A5A5A5u;
            std::vector<uint64_t> keep(static_cast<size_t>(kLines * words) + 1, kCanary);
            DropoutBitsArgs bits;
            static_cast<DropoutStream&>(bits) = some_stream(6554);
            bits.keep = keep.data();
            bits.lines = kLines;
            bits.words = words;
            backend.bits(bits);
            for (size_t e = 0; e < mask.size(); ++e)
                ASSERT_EQ((keep[e / 64] >> (e % 64)) & 1u, mask[e] != 0.0f ? 1u : 0u)
                    << backend.name << " " << e;
            EXPECT_EQ(keep.back(), kCanary) << backend.name;
        }
}

TEST(DropoutMask, ScalarFollowsThePhiloxLayoutOfItsHeader) {
    DropoutMaskArgs args;
    args.lines = 1;
    args.width = 300;
    args.first_line = (uint64_t{5} << 32) + 9;
    args.key[0] = 77;
    args.key[1] = 88;
    args.site = 2;
    args.step = 4;
    args.threshold = 20000;
    std::vector<float> x(300, 1.0f), y(300);
    args.x = x.data();
    args.y = y.data();
    dropout_mask_scalar(args);
    for (uint32_t e = 0; e < 300; ++e) {
        const uint32_t lane = e % 16, part = e / 16 % 8, group = e / 128;
        const auto words = philox4x32({16 * group + lane, 9, 5 | (2u << 16), 4}, {77, 88});
        const uint32_t u = (words[part / 2] >> (part % 2 ? 16 : 0)) & 0xFFFF;
        EXPECT_EQ(y[e], u >= 20000 ? 1.0f : 0.0f) << e;
    }
}

TEST(DropoutMask, WorksInPlace) {
    std::vector<float> x(200, 2.0f), y(200);
    DropoutMaskArgs args;
    args.lines = 2;
    args.width = 100;
    args.threshold = 30000;
    args.x = x.data();
    args.y = y.data();
    dropout_mask_scalar(args);
    for (const Backend& backend : runnable()) {
        std::vector<float> own = x;
        args.x = args.y = own.data();
        backend.run(args);
        EXPECT_EQ(own, y) << backend.name;
    }
}

}  // namespace
}  // namespace knlp::kernels
