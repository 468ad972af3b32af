// Memory bandwidth by the plainest loops there are: sum an array, copy an array. Compiled with -O3, so
// that the sum is vectorized; each thread owns one contiguous part and first touches it itself.
#include <cstring>
#include <memory>
#include <vector>

#include "knlp/bench/record.h"
#include "knlp/core/error.h"
#include "knlp/core/parallel.h"

namespace knlp::bench {
namespace {

constexpr int64_t kDefaultSamples = 15;

/// One thread's part; cache lines are not shared between parts.
struct Part {
    std::unique_ptr<uint64_t[]> from, to;
    int64_t words = 0;
    uint64_t sum = 0;
};

uint64_t sum_of(const uint64_t* words, int64_t n) {
    uint64_t a = 0, b = 0, c = 0, d = 0;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        a += words[i];
        b += words[i + 1];
        c += words[i + 2];
        d += words[i + 3];
    }
    for (; i < n; ++i) a += words[i];
    return a + b + c + d;
}

}  // namespace

Bandwidth measure_bandwidth(int64_t threads, int64_t bytes, int64_t samples) {
    if (threads < 1) fail(kUsage, "threads: {} is not at least 1", threads);
    if (bytes < (1 << 20)) fail(kUsage, "bandwidth over {} bytes; at least 1 MiB is needed", bytes);
    std::vector<Part> parts(static_cast<size_t>(threads));
    const auto each = [&](const std::function<void(Part&)>& work) {
        parallel_for(threads, threads, [&](int64_t i) { work(parts[static_cast<size_t>(i)]); });
    };
    each([&](Part& part) {
        part.words = bytes / 8 / threads;
        part.from.reset(new uint64_t[static_cast<size_t>(part.words)]);
        part.to.reset(new uint64_t[static_cast<size_t>(part.words)]);
        for (int64_t i = 0; i < part.words; ++i) part.from[i] = static_cast<uint64_t>(i);
        std::memset(part.to.get(), 0, static_cast<size_t>(part.words) * 8);
    });
    const MeasureOptions options{.warm_up = 2, .samples = samples > 0 ? samples : kDefaultSamples,
                                 .max_total_s = 5};
    Bandwidth result{.threads = threads, .bytes = bytes / 8 / threads * threads * 8};
    result.read = measure([&] { each([](Part& p) { p.sum += sum_of(p.from.get(), p.words); }); }, options);
    result.copy = measure([&] {
        each([](Part& p) { std::memcpy(p.to.get(), p.from.get(), static_cast<size_t>(p.words) * 8); });
    }, options);
    // The sums are looked at, so that the loops cannot be left out.
    for (const Part& part : parts) {
        KNLP_CHECK(part.words < 2 || part.sum != 0);
        KNLP_CHECK(part.to[part.words - 1] == static_cast<uint64_t>(part.words - 1));
    }
    const auto gbps = [&](double factor, const Timing& t) {
        return factor * static_cast<double>(result.bytes) / t.median_s / 1e9;
    };
    result.read_gbps = gbps(1, result.read);
    result.copy_gbps = gbps(2, result.copy);
    return result;
}

}  // namespace knlp::bench
