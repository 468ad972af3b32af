#pragma once

#include <span>

namespace knlp {

/// Statistics of a sample; sums in double, left to right, so equal input gives equal bits. An empty
/// span gives NaN; one value has no spread: stddev and standard_error are NaN then.
double mean(std::span<const double> x);
/// Sample standard deviation, divisor n - 1.
double stddev(std::span<const double> x);
/// stddev / sqrt(n): standard error of the mean.
double standard_error(std::span<const double> x);
/// q in [0, 1], linear between order statistics (Hyndman and Fan's type 7, NumPy's default).
double percentile(std::span<const double> x, double q);
double median(std::span<const double> x);
/// Median of |x - median(x)|, not scaled.
double median_absolute_deviation(std::span<const double> x);

}  // namespace knlp
