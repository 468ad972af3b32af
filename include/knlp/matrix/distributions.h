#pragma once

namespace knlp::matrix {

/// Distributions of normal samples, from Boost.Math. df is positive, p within (0, 1); all
/// arguments finite.

/// P(T <= t) of Student's t with `df` degrees of freedom.
double student_t_cdf(double t, double df);
/// The t with P(T <= t) = p.
double student_t_quantile(double p, double df);
/// P(|T| >= |t|).
double student_t_two_sided(double t, double df);
/// P(T <= t) where T = (Z + delta) / sqrt(X / df), Z standard normal, X chi-squared: what a t
/// statistic follows when there is an effect. delta within ±1000.
double noncentral_t_cdf(double t, double df, double delta);
/// P(X <= x) of chi-squared, x >= 0.
double chi_squared_cdf(double x, double df);
/// The x with P(X <= x) = p.
double chi_squared_quantile(double p, double df);

}  // namespace knlp::matrix
