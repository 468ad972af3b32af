#include "knlp/matrix/power.h"

#include "knlp/core/error.h"
#include "knlp/core/rng.h"
#include "knlp/core/stats.h"
#include "knlp/matrix/analysis.h"
#include "knlp/matrix/distributions.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace knlp::matrix {
namespace {

constexpr uint64_t kDraws = 100000;

/// Beyond this the normal part of the noncentral t is small beside its mean, and Boost.Math's
/// series gets long.
constexpr double kLargeNoncentrality = 100;

double critical_t(int64_t n, double alpha) {
    return -student_t_quantile(alpha / 2, static_cast<double>(n - 1));
}

/// Share of simulated experiments with |t| above `critical` and n equal signs.
double simulated_power(int64_t n, double effect, double critical) {
    const Stream stream(1, "matrix/power");
    std::array<float, kFewSeeds> normal{};
    std::array<double, kFewSeeds> values{};
    const std::span<const double> d(values.data(), static_cast<size_t>(n));
    uint64_t shown = 0;
    for (uint64_t draw = 0; draw < kDraws; ++draw) {
        stream.normal(normal, draw);
        for (size_t i = 0; i < d.size(); ++i) values[i] = effect + double{normal[i]};
        shown += std::abs(mean(d)) > critical * standard_error(d) && count_signs(d).agree();
    }
    return static_cast<double>(shown) / static_cast<double>(kDraws);
}

}  // namespace

double t_test_power(int64_t n, double effect, double alpha) {
    KNLP_CHECK(n >= 2 && effect != 0 && std::isfinite(effect) && alpha > 0 && alpha < 1);
    const double delta = std::abs(effect) * std::sqrt(static_cast<double>(n));
    const double df = static_cast<double>(n - 1), critical = critical_t(n, alpha);
    // T is delta / sqrt(X / df) then; leaving the normal part out moves the chance by some 1e-4.
    if (delta > kLargeNoncentrality)
        return chi_squared_cdf(std::min(df * std::pow(delta / critical, 2), 1e300), df);
    return 1 - noncentral_t_cdf(critical, df, delta) + noncentral_t_cdf(-critical, df, delta);
}

double verdict_power(int64_t n, double effect, double alpha) {
    if (n > kFewSeeds) return t_test_power(n, effect, alpha);
    KNLP_CHECK(n >= 2 && effect != 0 && std::isfinite(effect) && alpha > 0 && alpha < 1);
    return simulated_power(n, effect, critical_t(n, alpha));
}

int64_t seeds_needed(double effect, double alpha, double power) {
    KNLP_CHECK(power > 0 && power < 1);
    // The t test has at least the power of the verdict and takes no simulation.
    const auto enough = [&](int64_t n) {
        return t_test_power(n, effect, alpha) >= power && verdict_power(n, effect, alpha) >= power;
    };
    int64_t low = 1, high = 2;  // low is not enough; high is tried
    while (!enough(high)) {
        if (high == kMaxSeeds) return 0;
        low = high;
        high = high <= kFewSeeds ? high + 1 : std::min(2 * high, kMaxSeeds);
    }
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        (enough(middle) ? high : low) = middle;
    }
    return high;
}

double upper_sd(double sd, int64_t n, double confidence) {
    KNLP_CHECK(n >= 2 && sd >= 0 && confidence > 0 && confidence < 1);
    const double df = static_cast<double>(n - 1);
    return sd * std::sqrt(df / chi_squared_quantile(1 - confidence, df));
}

}  // namespace knlp::matrix
