#include "knlp/bench/timing.h"

#include <algorithm>
#include <cmath>

#include "knlp/core/error.h"
#include "knlp/core/host.h"
#include "knlp/core/signals.h"
#include "knlp/core/stats.h"

namespace knlp::bench {
namespace {

constexpr double kNoisyDeviation = 0.05, kNoisySpread = 0.3;

double seconds_of(const std::function<void()>& work, int64_t repeats) {
    const double start = steady_seconds();
    for (int64_t i = 0; i < repeats; ++i) work();
    return steady_seconds() - start;
}

/// Executions that fill min_sample_s, from one trial of growing length.
int64_t repeats_for(const std::function<void()>& work, double min_sample_s) {
    int64_t repeats = 1;
    while (min_sample_s > 0 && repeats < (int64_t{1} << 40)) {
        const double took = seconds_of(work, repeats);
        if (took >= min_sample_s) break;
        // At most tenfold a time: the first trials are short and their clock reading coarse.
        const double factor = took > 0 ? std::min(10.0, 1.2 * min_sample_s / took) : 10.0;
        repeats =
            std::max(repeats + 1, static_cast<int64_t>(static_cast<double>(repeats) * factor));
    }
    return repeats;
}

}  // namespace

bool Timing::noisy() const {
    return mad_s > kNoisyDeviation * median_s || p90_s - p10_s > kNoisySpread * median_s;
}

Timing summarize(std::vector<double> samples_s) {
    if (samples_s.empty()) fail(kUsage, "a timing needs at least one sample");
    Timing timing;
    timing.median_s = median(samples_s);
    timing.p10_s = percentile(samples_s, 0.1);
    timing.p90_s = percentile(samples_s, 0.9);
    timing.mad_s = median_absolute_deviation(samples_s);
    timing.samples_s = std::move(samples_s);
    return timing;
}

Timing measure(const std::function<void()>& work, const MeasureOptions& options) {
    if (options.samples < 1) fail(kUsage, "samples: {} is not at least 1", options.samples);
    for (int64_t i = 0; i < options.warm_up; ++i) work();
    const int64_t repeats = repeats_for(work, options.min_sample_s);
    std::vector<double> samples;
    const double start = steady_seconds();
    for (int64_t i = 0; i < options.samples; ++i) {
        throw_if_stopped();
        samples.push_back(seconds_of(work, repeats) / static_cast<double>(repeats));
        const bool too_long =
            options.max_total_s > 0 && steady_seconds() - start > options.max_total_s;
        if (too_long && i + 1 >= kFewestSamples) break;
    }
    return summarize(std::move(samples));
}

double speed_up(const Timing& ours, const Timing& rival) {
    const int64_t fewest = std::min(std::ssize(ours.samples_s), std::ssize(rival.samples_s));
    if (fewest < kFewestSamples)
        fail(kUsage, "a speed-up from {} samples says nothing; at least {} are needed", fewest,
             kFewestSamples);
    if (!(ours.median_s > 0))
        fail(kUsage, "the work is too short for this clock: its median is 0 s");
    return rival.median_s / ours.median_s;
}

}  // namespace knlp::bench
