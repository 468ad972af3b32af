// Every kernel at every level this CPU has, against the scalar definition, over awkward shapes.

#include "kernels/dropout_mask.h"
#include "knlp/core/host.h"
#include "knlp/core/rng.h"

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
};
constexpr Backend kBackends[] = {{"avx2", Isa::kAvx2, dropout_mask_avx2},
                                 {"avx512", Isa::kAvx512, dropout_mask_avx512}};

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

TEST(DropoutMask, EveryBackendGivesTheBitsOfScalar) {
    if (runnable().empty()) GTEST_SKIP() << "this CPU has no AVX2";
    for (const int64_t width : {1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 257, 1000})
        for (const int64_t lines : {0, 1, 3})
            for (const int64_t offset : {0, 1, 5})
                for (const uint32_t threshold : {0u, 1u, 6554u, 32768u, 65535u}) {
                    DropoutMaskArgs args;
                    args.lines = lines;
                    args.width = width;
                    args.first_line =
                        0xFFFFFFFFull - 1;  // the second line carries into the high word
                    args.key[0] = 0x12345678u;
                    args.key[1] = 0x9ABCDEF0u;
                    args.site = 37;
                    args.step = 0xFFFFFFF0u;
                    args.threshold = threshold;
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
