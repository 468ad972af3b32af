// The one file that sees Boost.Math: its headers take four seconds.
#include "knlp/matrix/distributions.h"

#include "knlp/core/error.h"

#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/non_central_t.hpp>
#include <boost/math/distributions/students_t.hpp>

#include <cmath>

namespace knlp::matrix {

using boost::math::cdf;
using boost::math::complement;
using boost::math::quantile;

double student_t_cdf(double t, double df) {
    KNLP_CHECK(std::isfinite(t) && df > 0);
    return cdf(boost::math::students_t(df), t);
}

double student_t_quantile(double p, double df) {
    KNLP_CHECK(p > 0 && p < 1 && df > 0);
    return quantile(boost::math::students_t(df), p);
}

double student_t_two_sided(double t, double df) {
    KNLP_CHECK(std::isfinite(t) && df > 0);
    return 2 * cdf(complement(boost::math::students_t(df), std::abs(t)));
}

double noncentral_t_cdf(double t, double df, double delta) {
    KNLP_CHECK(std::isfinite(t) && df > 0 && std::abs(delta) <= 1000);
    return cdf(boost::math::non_central_t(df, delta), t);
}

double chi_squared_cdf(double x, double df) {
    KNLP_CHECK(x >= 0 && std::isfinite(x) && df > 0);
    return cdf(boost::math::chi_squared(df), x);
}

double chi_squared_quantile(double p, double df) {
    KNLP_CHECK(p > 0 && p < 1 && df > 0);
    return quantile(boost::math::chi_squared(df), p);
}

}  // namespace knlp::matrix
