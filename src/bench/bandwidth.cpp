// Memory bandwidth: every pattern of kernels/memory_stream.h in turn, then the best again.
#include "knlp/bench/machine.h"

#include "kernels/memory_stream.h"
#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"
#include "knlp/core/memory.h"
#include "knlp/core/parallel.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <mutex>

namespace knlp::bench {
namespace {

using kernels::MemoryStreamArgs;
using kernels::StreamPattern;

constexpr int64_t kDefaultSamples = 9, kRounds = 3;
constexpr int64_t kGiB = int64_t{1} << 30, kLine = 64;
constexpr int64_t kPiece = int64_t{4} << 20;  // that one thread copies at a time into fresh memory
constexpr std::array<const char*, kernels::kStreamPatterns> kNames = {
    "plain", "streams", "prefetch", "non-temporal", "non-temporal streams"};
// The library's own copy is a rival of ours: whichever is faster counts.
constexpr int kMemcpy = kernels::kStreamPatterns;

/// Pages of our own, large where the system has them: the kernels that are judged by this use such.
class Pages {
public:
    explicit Pages(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
        void* const at =
            ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            fail_code(kRun, "E_MEMORY", "{} bytes to measure bandwidth with: {}", bytes,
                      std::strerror(errno));
        words_ = static_cast<uint64_t*>(at);
        prefer_huge_pages(at, bytes);
    }
    ~Pages() { ::munmap(words_, bytes_); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    uint64_t* words() { return words_; }

private:
    size_t bytes_;
    uint64_t* words_;
};

/// One thread's part of the array, front half copied to back half.
struct Part {
    uint64_t* words = nullptr;
    int64_t lines = 0;
    uint64_t sum = 0;

    uint64_t* half() const { return words + lines / 2 * (kLine / 8); }
};

struct Kernels {
    kernels::MemoryReadFn read;
    kernels::MemoryCopyFn copy;
};

Kernels kernels_of(Isa level) {
    switch (level) {
        case Isa::kAvx512:
            return {kernels::memory_read_avx512, kernels::memory_copy_avx512};
        case Isa::kAvx2:
            return {kernels::memory_read_avx2, kernels::memory_copy_avx2};
        case Isa::kScalar:
            break;
    }
    return {kernels::memory_read_scalar, kernels::memory_copy_scalar};
}

void read_part(Part& part, int kernel) {
    part.sum = kernels_of(isa()).read(
        {.from = part.words, .lines = part.lines, .pattern = static_cast<StreamPattern>(kernel)});
}

void copy_part(Part& part, int kernel) {
    if (kernel == kMemcpy) {
        std::memcpy(part.half(), part.words, static_cast<size_t>(part.lines / 2 * kLine));
        return;
    }
    kernels_of(isa()).copy({.from = part.words,
                            .to = part.half(),
                            .lines = part.lines / 2,
                            .pattern = static_cast<StreamPattern>(kernel)});
}

struct Choice {
    std::string name;
    Timing timing;
    std::map<std::string, double> by_kernel;
};

/// Seconds of the fastest pass of each kernel: all in turn, so that a slow moment hits all of them.
std::vector<double> fastest_passes(int count, const std::function<void(int)>& pass) {
    std::vector<double> least(static_cast<size_t>(count), 1e300);
    for (int64_t round = 0; round < kRounds; ++round)
        for (int kernel = 0; kernel < count; ++kernel) {
            const double start = steady_seconds();
            pass(kernel);
            double& best = least[static_cast<size_t>(kernel)];
            best = std::min(best, steady_seconds() - start);
        }
    return least;
}

/// The kernel with the fastest pass, measured again.
Choice best_of(int count, int64_t bytes, int64_t samples, const std::function<void(int)>& pass) {
    const std::vector<double> least = fastest_passes(count, pass);
    const auto name = [](size_t kernel) {
        return kernel < kNames.size() ? std::string(kNames[kernel]) : std::string("memcpy");
    };
    Choice choice;
    for (size_t kernel = 0; kernel < least.size(); ++kernel)
        choice.by_kernel[name(kernel)] = static_cast<double>(bytes) / least[kernel] / 1e9;
    const int best = static_cast<int>(std::min_element(least.begin(), least.end()) - least.begin());
    choice.name = name(static_cast<size_t>(best));
    choice.timing =
        measure([&] { pass(best); }, {.warm_up = 0, .samples = samples, .max_total_s = 5});
    return choice;
}

void fill(Part& part, uint64_t salt) {
    for (int64_t i = 0; i < part.lines * (kLine / 8); ++i)
        part.words[i] = static_cast<uint64_t>(i) + salt;
}

/// Pages of every thread, filled by it.
struct Array {
    int64_t threads, lines;  // lines of one thread
    Pages pages;
    std::vector<Part> parts;

    Array(int64_t n_threads, int64_t bytes)
        : threads(n_threads),
          lines(bytes / kLine / n_threads / 2 * 2),
          pages(lines * kLine * n_threads),
          parts(static_cast<size_t>(n_threads)) {
        for (size_t i = 0; i < parts.size(); ++i)
            parts[i] = {.words = pages.words() + static_cast<int64_t>(i) * lines * (kLine / 8),
                        .lines = lines};
        each([&](Part& part) { fill(part, static_cast<uint64_t>(&part - parts.data())); });
    }
    int64_t bytes() const { return lines * kLine * threads; }
    void each(const std::function<void(Part&)>& work) {
        parallel_for(threads, threads, [&](int64_t i) { work(parts[static_cast<size_t>(i)]); });
    }
    void read(int kernel) {
        each([&](Part& part) { read_part(part, kernel); });
        for (const Part& part : parts) KNLP_CHECK(part.sum != 0);  // the loops cannot be left out
    }
    void copy(int kernel) {
        each([&](Part& part) { copy_part(part, kernel); });
    }
};

/// Arrays come and go in a benchmark; one word about their size is enough.
void warn_of_small_array(int64_t bytes) {
    static std::once_flag said;
    std::call_once(said, [&] {
        log::warn(
            "memory: {} MiB are read and copied instead of 1024, a quarter of what is free; caches "
            "may make up for some of it",
            bytes >> 20);
    });
}

int64_t checked_bytes(int64_t threads, int64_t bytes) {
    if (threads < 1) fail(kUsage, "threads: {} is not at least 1", threads);
    if (bytes == 0) {
        bytes = default_array_bytes(available_memory_bytes());
        if (bytes < kGiB) warn_of_small_array(bytes);
    }
    if (bytes < (1 << 20)) fail(kUsage, "bandwidth over {} bytes; at least 1 MiB is needed", bytes);
    return bytes;
}

/// The front half's words must have arrived in the back half: the copies were really made.
bool copied(const Part& part) {
    return std::memcmp(part.words, part.half(), static_cast<size_t>(part.lines / 2 * kLine)) == 0;
}

}  // namespace

int64_t default_array_bytes(int64_t free_bytes) {
    return std::max<int64_t>(std::min(kGiB, free_bytes / 4), 1 << 20);
}

Bandwidth measure_bandwidth(int64_t threads, int64_t bytes, int64_t samples) {
    Array array(threads, checked_bytes(threads, bytes));
    const int64_t moved = array.bytes();
    if (samples == 0) samples = kDefaultSamples;
    const Choice read =
        best_of(kernels::kStreamPatterns, moved, samples, [&](int kernel) { array.read(kernel); });
    const Choice copy = best_of(kernels::kStreamPatterns + 1, moved, samples,
                                [&](int kernel) { array.copy(kernel); });
    for (const Part& part : array.parts) KNLP_CHECK(copied(part));
    const auto gbps = [&](const Choice& choice) {
        return static_cast<double>(moved) / choice.timing.median_s / 1e9;
    };
    return {.threads = threads,
            .bytes = moved,
            .read_gbps = gbps(read),
            .copy_gbps = gbps(copy),
            .read = read.timing,
            .copy = copy.timing,
            .read_kernel = read.name,
            .copy_kernel = copy.name,
            .read_by_kernel = read.by_kernel,
            .copy_by_kernel = copy.by_kernel};
}

struct MemoryMeter::State {
    Array array;
    int read = -1, copy = -1;  // kernel; -1 until it is chosen

    /// Passes of one kernel until they have lasted so long; `kernel` is chosen by the first call.
    double gbps(int& kernel, int kernels, double least_s, const std::function<void(int)>& pass) {
        if (kernel < 0) {
            const std::vector<double> seconds = fastest_passes(kernels, pass);
            kernel = static_cast<int>(std::ranges::min_element(seconds) - seconds.begin());
        }
        const double start = steady_seconds();
        double bytes = 0, took = 0;
        while (bytes == 0 || took < least_s) {
            pass(kernel);
            bytes += static_cast<double>(array.bytes());
            took = steady_seconds() - start;
        }
        return bytes / took / 1e9;
    }
};

MemoryMeter::MemoryMeter(int64_t threads, int64_t bytes)
    : state_(new State{.array = Array(threads, checked_bytes(threads, bytes))}) {}

MemoryMeter::~MemoryMeter() = default;

double MemoryMeter::read_gbps(double least_s) {
    return state_->gbps(state_->read, kernels::kStreamPatterns, least_s,
                        [&](int kernel) { state_->array.read(kernel); });
}

double MemoryMeter::copy_gbps(double least_s) {
    return state_->gbps(state_->copy, kernels::kStreamPatterns + 1, least_s,
                        [&](int kernel) { state_->array.copy(kernel); });
}

double MemoryMeter::fresh_copy_seconds(int64_t bytes) {
    if (bytes < 1) fail(kUsage, "a copy of {} bytes; at least 1 is needed", bytes);
    Array& array = state_->array;
    const int64_t piece = std::min(kPiece, array.bytes()), whole = array.bytes() / piece;
    const auto* const from = reinterpret_cast<const std::byte*>(array.pages.words());
    const double start = steady_seconds();
    Pages fresh(bytes);
    auto* const to = reinterpret_cast<std::byte*>(fresh.words());
    parallel_for(array.threads, (bytes + piece - 1) / piece, [&](int64_t i) {
        const int64_t at = i * piece;
        std::memcpy(to + at, from + i % whole * piece,
                    static_cast<size_t>(std::min(piece, bytes - at)));
    });
    const double took = steady_seconds() - start;
    KNLP_CHECK(std::memcmp(to, from, static_cast<size_t>(std::min(piece, bytes))) == 0);
    return took;
}

}  // namespace knlp::bench
