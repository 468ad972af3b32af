#include "knlp/core/stats.h"

#include "knlp/core/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace knlp {

namespace {
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
}

double mean(std::span<const double> x) {
    if (x.empty()) return kNone;
    double sum = 0;
    for (const double value : x) sum += value;
    return sum / static_cast<double>(x.size());
}

double stddev(std::span<const double> x) {
    if (x.size() < 2) return kNone;
    const double center = mean(x);
    double sum = 0;
    for (const double value : x) sum += (value - center) * (value - center);
    return std::sqrt(sum / static_cast<double>(x.size() - 1));
}

double standard_error(std::span<const double> x) {
    return stddev(x) / std::sqrt(static_cast<double>(x.size()));
}

double percentile(std::span<const double> x, double q) {
    KNLP_CHECK(q >= 0 && q <= 1);
    if (x.empty()) return kNone;
    std::vector<double> sorted(x.begin(), x.end());
    std::sort(sorted.begin(), sorted.end());
    const double position = q * static_cast<double>(sorted.size() - 1);
    const size_t below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, sorted.size() - 1);
    return std::lerp(sorted[below], sorted[above], position - static_cast<double>(below));
}

double median(std::span<const double> x) {
    return percentile(x, 0.5);
}

double median_absolute_deviation(std::span<const double> x) {
    const double center = median(x);
    std::vector<double> distance;
    distance.reserve(x.size());
    for (const double value : x) distance.push_back(std::abs(value - center));
    return median(distance);
}

}  // namespace knlp
