#include "kernels/memory_stream.h"

#include <immintrin.h>

namespace knlp::kernels {

namespace {

constexpr int64_t kAhead = 16;  // lines: 1 KiB

enum class Hint { kNone, kT0, kNta };

template <Hint hint>
inline void ask(const __m512i* line) {
    if constexpr (hint == Hint::kT0) _mm_prefetch((const char*)(line + kAhead), _MM_HINT_T0);
    if constexpr (hint == Hint::kNta) _mm_prefetch((const char*)(line + kAhead), _MM_HINT_NTA);
}

// Four lines of a stream at once, each into a sum of its own: an addition never waits.
template <int streams, Hint hint>
uint64_t read(const MemoryStreamArgs& args) {
    const __m512i* const from = (const __m512i*)args.from;
    const int64_t each = args.lines / streams / 4 * 4;
    __m512i sum[4];
    for (__m512i& part : sum) part = _mm512_setzero_si512();
    for (int64_t i = 0; i < each; i += 4)
#pragma GCC unroll 8
        for (int s = 0; s < streams; ++s) {
            const __m512i* const lines = from + s * each + i;
#pragma GCC unroll 4
            for (int l = 0; l < 4; ++l) {
                ask<hint>(lines + l);
                sum[l] = _mm512_add_epi64(sum[l], _mm512_load_si512(lines + l));
            }
        }
    for (int64_t i = each * streams; i < args.lines; ++i)
        sum[0] = _mm512_add_epi64(sum[0], _mm512_load_si512(from + i));
    const __m512i total =
        _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3]));
    uint64_t words[8], result = 0;
    _mm512_storeu_si512(words, total);
    for (const uint64_t word : words) result += word;
    return result;
}

template <bool streaming>
inline void put(__m512i* to, __m512i value) {
    if constexpr (streaming)
        _mm512_stream_si512(to, value);
    else
        _mm512_store_si512(to, value);
}

template <int streams, Hint hint, bool streaming>
void copy(const MemoryStreamArgs& args) {
    const __m512i* const from = (const __m512i*)args.from;
    __m512i* const to = (__m512i*)args.to;
    const int64_t each = args.lines / streams / 4 * 4;
    for (int64_t i = 0; i < each; i += 4)
#pragma GCC unroll 4
        for (int s = 0; s < streams; ++s)
#pragma GCC unroll 4
            for (int l = 0; l < 4; ++l) {
                const int64_t at = s * each + i + l;
                ask<hint>(from + at);
                put<streaming>(to + at, _mm512_load_si512(from + at));
            }
    for (int64_t i = each * streams; i < args.lines; ++i)
        put<streaming>(to + i, _mm512_load_si512(from + i));
    // Streaming stores become visible to others in any order otherwise.
    if constexpr (streaming) _mm_sfence();
}

}  // namespace

uint64_t memory_read_avx512(const MemoryStreamArgs& args) {
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

void memory_copy_avx512(const MemoryStreamArgs& args) {
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
