#include "kernels/memory_stream.h"

namespace knlp::kernels {

namespace {

constexpr int64_t kWords = 8;            // of a line
constexpr int64_t kAhead = 16 * kWords;  // 1 KiB

// Walks `streams` parts of the array side by side, a line of each in turn; `line` gets the first
// word of a line. Lines that do not divide evenly come last.
template <int streams, class Line>
void walk(int64_t lines, Line line) {
    const int64_t each = lines / streams;
    for (int64_t i = 0; i < each; ++i)
        for (int s = 0; s < streams; ++s) line((s * each + i) * kWords);
    for (int64_t i = each * streams; i < lines; ++i) line(i * kWords);
}

}  // namespace

// Here the patterns differ in order only: prefetches and streaming stores are no plain C++.
uint64_t memory_read_scalar(const MemoryStreamArgs& args) {
    const uint64_t* const from = args.from;
    uint64_t sum[kWords] = {};
    const auto add = [&](int64_t at) {
        for (int64_t w = 0; w < kWords; ++w) sum[w] += from[at + w];
    };
    const auto add_ahead = [&](int64_t at) {
        __builtin_prefetch(from + at + kAhead);
        add(at);
    };
    switch (args.pattern) {
        case StreamPattern::kPlain:
            walk<1>(args.lines, add);
            break;
        case StreamPattern::kPrefetch:
            walk<1>(args.lines, add_ahead);
            break;
        case StreamPattern::kStreams:
        case StreamPattern::kNonTemporal:
            walk<4>(args.lines, add);
            break;
        case StreamPattern::kNonTemporalStreams:
            walk<8>(args.lines, add);
            break;
    }
    uint64_t total = 0;
    for (const uint64_t part : sum) total += part;
    return total;
}

void memory_copy_scalar(const MemoryStreamArgs& args) {
    const uint64_t* const from = args.from;
    uint64_t* const to = args.to;
    const auto copy = [&](int64_t at) {
        for (int64_t w = 0; w < kWords; ++w) to[at + w] = from[at + w];
    };
    const auto copy_ahead = [&](int64_t at) {
        __builtin_prefetch(from + at + kAhead);
        copy(at);
    };
    switch (args.pattern) {
        case StreamPattern::kPlain:
        case StreamPattern::kNonTemporal:
            walk<1>(args.lines, copy);
            break;
        case StreamPattern::kPrefetch:
            walk<1>(args.lines, copy_ahead);
            break;
        case StreamPattern::kStreams:
        case StreamPattern::kNonTemporalStreams:
            walk<4>(args.lines, copy);
            break;
    }
}

}  // namespace knlp::kernels
