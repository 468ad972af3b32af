#pragma once

#include <cstdint>

// Reading and copying memory as fast as it goes: what other kernels' bytes are judged against.
//
// A read moves `bytes` bytes, a copy twice as many (non-temporal stores) or three times (a plain
// store first fetches the line it overwrites; only two are counted). One add or none for 8 bytes;
// limited by memory. Which pattern is the fastest differs from processor to processor, so all are
// measured.
namespace knlp::kernels {

enum class StreamPattern : uint8_t {
    kPlain,               // one stream from front to back
    kStreams,             // four streams, a quarter of the array each: more pages open at once
    kPrefetch,            // one stream, lines asked for 1 KiB ahead
    kNonTemporal,         // read: four streams, prefetched past the caches; copy: streaming stores
    kNonTemporalStreams,  // read: eight streams; copy: streaming stores to four streams
};
constexpr int kStreamPatterns = 5;

struct MemoryStreamArgs {
    const uint64_t* from = nullptr;  // 64-byte aligned
    uint64_t* to = nullptr;          // 64-byte aligned; not read from or written to by a read
    int64_t lines = 0;               // of 64 bytes
    StreamPattern pattern = StreamPattern::kPlain;
};

/// Sum of all 64-bit words, modulo 2^64: the same for every pattern and backend.
using MemoryReadFn = uint64_t (*)(const MemoryStreamArgs& args);
/// to = from; they do not overlap.
using MemoryCopyFn = void (*)(const MemoryStreamArgs& args);

uint64_t memory_read_scalar(const MemoryStreamArgs& args);
uint64_t memory_read_avx2(const MemoryStreamArgs& args);
uint64_t memory_read_avx512(const MemoryStreamArgs& args);
void memory_copy_scalar(const MemoryStreamArgs& args);
void memory_copy_avx2(const MemoryStreamArgs& args);
void memory_copy_avx512(const MemoryStreamArgs& args);

}  // namespace knlp::kernels
