#include "kernels/memory_stream.h"

#include "knlp/core/host.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace knlp::kernels {
namespace {

struct Backend {
    const char* name;
    Isa needs;
    MemoryReadFn read;
    MemoryCopyFn copy;
};
constexpr Backend kBackends[] = {{"scalar", Isa::kScalar, memory_read_scalar, memory_copy_scalar},
                                 {"avx2", Isa::kAvx2, memory_read_avx2, memory_copy_avx2},
                                 {"avx512", Isa::kAvx512, memory_read_avx512, memory_copy_avx512}};

struct alignas(64) Line {
    std::array<uint64_t, 8> words;
};

/// Lines with a canary before and after.
class Lines {
public:
    Lines(int64_t n, uint64_t seed) : lines_(static_cast<size_t>(n) + 2) {
        uint64_t state = seed;
        for (Line& line : lines_)
            for (uint64_t& word : line.words)
                word = state = state * 6364136223846793005u + 1442695040888963407u;
    }
    uint64_t* data() { return lines_[1].words.data(); }
    const std::vector<Line>& all() const { return lines_; }
    uint64_t sum() const {
        uint64_t sum = 0;
        for (size_t i = 1; i + 1 < lines_.size(); ++i)
            for (const uint64_t word : lines_[i].words) sum += word;
        return sum;
    }

private:
    std::vector<Line> lines_;
};

constexpr int64_t kSizes[] = {0,  1,  2,  3,  4,  5,  7,  8,   15,  16,
                              17, 31, 32, 33, 63, 64, 65, 127, 1001};

TEST(MemoryStream, EveryPatternReadsEveryWordOnce) {
    for (const Backend& backend : kBackends) {
        if (isa() < backend.needs) continue;
        for (const int64_t lines : kSizes)
            for (int p = 0; p < kStreamPatterns; ++p) {
                Lines from(lines, 7);
                const MemoryStreamArgs args{
                    .from = from.data(), .lines = lines, .pattern = static_cast<StreamPattern>(p)};
                EXPECT_EQ(backend.read(args), from.sum())
                    << backend.name << ", pattern " << p << ", " << lines << " lines";
            }
    }
}

TEST(MemoryStream, EveryPatternCopiesItsLinesAndNoOthers) {
    for (const Backend& backend : kBackends) {
        if (isa() < backend.needs) continue;
        for (const int64_t lines : kSizes)
            for (int p = 0; p < kStreamPatterns; ++p) {
                Lines from(lines, 7), to(lines, 99);
                const Lines before(lines, 99);
                backend.copy({.from = from.data(),
                              .to = to.data(),
                              .lines = lines,
                              .pattern = static_cast<StreamPattern>(p)});
                const auto where = [&] {
                    return std::string(backend.name) + ", pattern " + std::to_string(p) + ", " +
                           std::to_string(lines) + " lines";
                };
                EXPECT_EQ(to.all().front().words, before.all().front().words) << where();
                EXPECT_EQ(to.all().back().words, before.all().back().words) << where();
                const auto bytes = static_cast<size_t>(64 * lines);
                EXPECT_EQ(std::memcmp(to.data(), from.data(), bytes), 0) << where();
            }
    }
}

}  // namespace
}  // namespace knlp::kernels
