#include "chart_scale.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "knlp/core/error.h"

namespace knlp::report {
namespace {

/// A step as mantissa x 10^exponent, so that labels can be printed without rounding noise.
struct Step {
    double mantissa = 1;  // 1 2 2.5 5
    int exponent = 0;
    double value() const { return mantissa * std::pow(10.0, exponent); }
};

Step step_for(double span, int wanted) {
    const double rough = span / std::max(1, wanted);
    Step step{1, static_cast<int>(std::floor(std::log10(rough)))};
    for (double mantissa : {1.0, 2.0, 2.5, 5.0, 10.0}) {
        step.mantissa = mantissa;
        if (step.value() >= rough * 0.999) break;
    }
    return step.mantissa == 10 ? Step{1, step.exponent + 1} : step;
}

/// Value with the decimals the step needs, a suffix for thousands, or an exponent for tiny numbers.
std::string tick_label(double value, const Step& step, double largest) {
    const int decimals = (step.mantissa == 2.5 ? 1 : 0) - step.exponent;
    if (value == 0) return "0";
    if (largest < 0.01) {
        const int exponent = static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9));
        const int digits = std::max(0, decimals + exponent);
        std::string text = fmt::format("{:.{}f}", value / std::pow(10.0, exponent), digits);
        if (text.find('.') != std::string::npos) text.erase(text.find_last_not_of("0.") + 1);
        return fmt::format("{}e{}", text, exponent);
    }
    constexpr struct {
        double unit;
        int zeros;
        const char* suffix;
    } suffixes[] = {{1e12, 12, "T"}, {1e9, 9, "G"}, {1e6, 6, "M"}, {1e3, 3, "k"}};
    for (const auto& s : suffixes)
        if (largest >= s.unit * 9.99)
            return fmt::format("{:.{}f}{}", value / s.unit, std::max(0, decimals + s.zeros),
                               s.suffix);
    return fmt::format("{:.{}f}", value, std::max(0, decimals));
}

}  // namespace

Ticks linear_ticks(double low, double high, int wanted, bool whole) {
    KNLP_CHECK(std::isfinite(low) && std::isfinite(high) && low <= high);
    if (low == high) return {{low}, {fmt::format("{:g}", low)}};
    Step step = step_for(high - low, wanted);
    if (whole && step.value() < 1) step = {1, 0};
    if (whole && step.mantissa == 2.5 && step.exponent == 0) step = {5, 0};
    Ticks ticks;
    for (int attempt = 0; attempt < 8; ++attempt) {
        ticks = {};
        const double width = step.value();
        const double slack = 1e-9 * (high - low);
        const double first = std::ceil((low - slack) / width),
                     last = std::floor((high + slack) / width);
        const double largest = std::max(std::abs(low), std::abs(high));
        for (double i = first; i <= last; ++i) {
            const double value = i == 0 ? 0.0 : i * width;
            ticks.values.push_back(value);
            ticks.labels.push_back(tick_label(value, step, largest));
        }
        if (ticks.values.size() >= 2 || whole) break;
        step = step_for(width * 0.5, 1);
    }
    return ticks;
}

Ticks log_ticks(double low, double high, int wanted) {
    KNLP_CHECK(low > 0 && std::isfinite(high) && low <= high);
    const int first = static_cast<int>(std::floor(std::log10(low) + 1e-12));
    const int last = static_cast<int>(std::ceil(std::log10(high) - 1e-12));
    const int decades = std::max(1, last - first);
    const int stride = std::max(1, (decades + wanted - 1) / std::max(1, wanted));
    const std::vector<double> mantissas =
        decades * 3 <= wanted + 2 ? std::vector<double>{1, 2, 5} : std::vector<double>{1};
    Ticks ticks;
    for (int exponent = first; exponent <= last; exponent += stride)
        for (double mantissa : mantissas) {
            const double value = mantissa * std::pow(10.0, exponent);
            if (value < low * (1 - 1e-9) || value > high * (1 + 1e-9)) continue;
            ticks.values.push_back(value);
            ticks.labels.push_back(value >= 0.01 && value < 1e4
                                       ? fmt::format("{:g}", value)
                                       : fmt::format("{:g}e{}", mantissa, exponent));
        }
    return ticks;
}

Range nice_range(double low, double high, Scale scale, bool from_zero, int wanted) {
    if (scale == Scale::kLog) {
        low = std::max(low, 1e-300);
        high = std::max(high, low);
        return {std::pow(10.0, std::floor(std::log10(low) + 1e-12)),
                std::pow(10.0, std::max(std::ceil(std::log10(high) - 1e-12),
                                        std::floor(std::log10(low) + 1e-12) + 1))};
    }
    if (from_zero) {
        low = std::min(low, 0.0);
        high = std::max(high, 0.0);
    }
    if (low == high) {
        const double around = low == 0 ? 1 : std::abs(low) * 0.1;
        if (!from_zero || low == 0) low -= from_zero ? 0 : around;
        high += around;
    }
    const double width = step_for(high - low, wanted).value();
    return {std::floor(low / width + 1e-9) * width, std::ceil(high / width - 1e-9) * width};
}

double position(double value, const Range& range, Scale scale) {
    if (scale == Scale::kLog)
        return (std::log10(value) - std::log10(range.low)) /
               (std::log10(range.high) - std::log10(range.low));
    return (value - range.low) / (range.high - range.low);
}

std::vector<size_t> thin_out(const std::vector<Point>& points, size_t max_points) {
    const size_t n = points.size();
    std::vector<size_t> kept;
    if (n <= max_points || max_points < 5) {
        kept.resize(n);
        std::iota(kept.begin(), kept.end(), size_t{0});
        return kept;
    }
    // Three points a stretch: lowest, highest, one gap; first and last are kept besides.
    const size_t stretches = (max_points - 2) / 3;
    kept = {0, n - 1};
    for (size_t s = 0; s < stretches; ++s) {
        const size_t begin = 1 + (n - 2) * s / stretches, end = 1 + (n - 2) * (s + 1) / stretches;
        std::optional<size_t> lowest, highest, gap;
        for (size_t i = begin; i < end; ++i) {
            const double y = points[i].y;
            if (!std::isfinite(y)) {
                gap = gap.value_or(i);
                continue;
            }
            if (!lowest || y < points[*lowest].y) lowest = i;
            if (!highest || y > points[*highest].y) highest = i;
        }
        for (const auto& index : {lowest, highest, gap})
            if (index) kept.push_back(*index);
    }
    std::sort(kept.begin(), kept.end());
    kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
    return kept;
}

}  // namespace knlp::report
