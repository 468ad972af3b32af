#include "kernels/memory_stream.h"

#include <immintrin.h>

namespace knlp::kernels {

namespace {

constexpr int64_t kAhead = 32;  // registers: 1 KiB

enum class Hint { kNone, kT0, kNta };

template <Hint hint>
inline void ask(const __m256i* line) {
    if constexpr (hint == Hint::kT0) _mm_prefetch((const char*)(line + kAhead), _MM_HINT_T0);
    if constexpr (hint == Hint::kNta) _mm_prefetch((const char*)(line + kAhead), _MM_HINT_NTA);
}

// Two lines of a stream at once, each half into a sum of its own: an addition never waits.
template <int streams, Hint hint>
uint64_t read(const MemoryStreamArgs& args) {
    const __m256i* const from = (const __m256i*)args.from;
    const int64_t each = 2 * args.lines / streams / 4 * 4;
    __m256i sum[4];
    for (__m256i& part : sum) part = _mm256_setzero_si256();
    for (int64_t i = 0; i < each; i += 4)
#pragma GCC unroll 8
        for (int s = 0; s < streams; ++s) {
            const __m256i* const lines = from + s * each + i;
#pragma GCC unroll 4
            for (int l = 0; l < 4; ++l) {
                ask<hint>(lines + l);
                sum[l] = _mm256_add_epi64(sum[l], _mm256_load_si256(lines + l));
            }
        }
    for (int64_t i = each * streams; i < 2 * args.lines; ++i)
        sum[0] = _mm256_add_epi64(sum[0], _mm256_load_si256(from + i));
    const __m256i total =
        _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
    uint64_t words[4];
    _mm256_storeu_si256((__m256i*)words, total);
    return words[0] + words[1] + words[2] + words[3];
}

template <bool streaming>
inline void put(__m256i* to, __m256i value) {
    if constexpr (streaming)
        _mm256_stream_si256(to, value);
    else
        _mm256_store_si256(to, value);
}

template <int streams, Hint hint, bool streaming>
void copy(const MemoryStreamArgs& args) {
    const __m256i* const from = (const __m256i*)args.from;
    __m256i* const to = (__m256i*)args.to;
    const int64_t each = 2 * args.lines / streams / 4 * 4;
    for (int64_t i = 0; i < each; i += 4)
#pragma GCC unroll 4
        for (int s = 0; s < streams; ++s)
#pragma GCC unroll 4
            for (int l = 0; l < 4; ++l) {
                const int64_t at = s * each + i + l;
                ask<hint>(from + at);
                put<streaming>(to + at, _mm256_load_si256(from + at));
            }
    for (int64_t i = each * streams; i < 2 * args.lines; ++i)
        put<streaming>(to + i, _mm256_load_si256(from + i));
    // Streaming stores become visible to others in any order otherwise.
    if constexpr (streaming) _mm_sfence();
}

}  // namespace

uint64_t memory_read_avx2(const MemoryStreamArgs& args) {
    switch (args.pattern) {
        case StreamPattern::kPlain:
            return read<1, Hint::kNone>(args);
        case StreamPattern::kStreams:
            return read<4, Hint::kNone>(args);
        case StreamPattern::kPrefetch:
            return read<1, Hint::kT0>(args);
        case StreamPattern::kNonTemporal:
            return read<4, Hint::kNta>(args);
        case StreamPattern::kNonTemporalStreams:
            return read<8, Hint::kNone>(args);
    }
    return 0;
}

void memory_copy_avx2(const MemoryStreamArgs& args) {
    switch (args.pattern) {
        case StreamPattern::kPlain:
            return copy<1, Hint::kNone, false>(args);
        case StreamPattern::kStreams:
            return copy<4, Hint::kNone, false>(args);
        case StreamPattern::kPrefetch:
            return copy<1, Hint::kT0, false>(args);
        case StreamPattern::kNonTemporal:
            return copy<1, Hint::kNone, true>(args);
        case StreamPattern::kNonTemporalStreams:
            return copy<4, Hint::kT0, true>(args);
    }
}

}  // namespace knlp::kernels
