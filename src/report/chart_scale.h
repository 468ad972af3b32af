#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace knlp::report {

enum class Scale { kLinear, kLog };

/// Round positions on an axis with the text to print there; values strictly ascending, texts
/// distinct.
struct Ticks {
    std::vector<double> values;
    std::vector<std::string> labels;
};

/// Multiples of 1, 2, 2.5 or 5 times a power of ten inside [low, high], about `wanted` of them and
/// at least two when low < high. Numbers of one axis have equal decimals; 20,000 is "20k", 0.0002
/// "2e-4". whole: only whole numbers, for counts; fewer than two ticks where the range holds no
/// more.
Ticks linear_ticks(double low, double high, int wanted, bool whole = false);

/// Powers of ten (with 2 and 5 where the range is short) inside [low, high], low > 0.
Ticks log_ticks(double low, double high, int wanted);

/// A range that shows all of [low, high]: widened to the next ticks, to something finite where the
/// two are equal, and down to zero when asked.
struct Range {
    double low = 0, high = 1;
};
Range nice_range(double low, double high, Scale scale, bool from_zero, int wanted);

/// Where `value` lies in the range: 0 at low, 1 at high.
double position(double value, const Range& range, Scale scale);

struct Point {
    double x = 0, y = 0;  // y may be NaN: a gap
};

/// Which of the points to draw, ascending, at most max_points: the first, the last and, of each
/// stretch between, its lowest and highest and one gap where it has any. All of them where they are
/// fewer.
std::vector<size_t> thin_out(const std::vector<Point>& points, size_t max_points);

}  // namespace knlp::report
