#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace knlp::bench {

/// Fewer say little: neither a median nor a ratio is taken from them.
constexpr int64_t kFewestSamples = 7;

/// Repeated timings of one piece of work, seconds of the monotonic clock for one execution.
struct Timing {
    std::vector<double> samples_s;  // in the order they were taken
    double median_s = 0, p10_s = 0, p90_s = 0;
    double mad_s = 0;  // median absolute deviation
    /// Half of the samples lie further than 5 % from the median, or the middle 80 % spread over
    /// more than 30 %: something else used the machine.
    bool noisy() const;
};

/// Error{kUsage} without samples.
Timing summarize(std::vector<double> samples_s);

struct MeasureOptions {
    int64_t warm_up = 2;  // executions thrown away
    int64_t samples = 30;
    double min_sample_s = 0;  // work is repeated within a sample until it lasts this long
    double max_total_s = 0;   // stop sampling early after this long, but not below
                              // kFewestSamples; 0 = never
};
/// Throws Stopped between samples when a signal asks for it, as all benchmarks do.
Timing measure(const std::function<void()>& work, const MeasureOptions& options);

/// How many times faster `ours` is: median of `rival` over ours. Error{kUsage} from fewer than
/// kFewestSamples of either.
double speed_up(const Timing& ours, const Timing& rival);

}  // namespace knlp::bench
