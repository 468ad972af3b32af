#pragma once

#include <cstdint>

namespace knlp::matrix {

/// How many seeds a comparison needs. `effect` is the mean difference in units of the standard
/// deviation of the differences, d / s_d, other than zero; alpha is the level of the two-sided
/// test.

/// Chance that the paired t test of n >= 2 seeds has p < alpha: with t = t_{1 - alpha/2, n-1} and T
/// noncentral of noncentrality effect·sqrt(n) it is P(T > t) + P(T < -t) (Cohen 1988, Statistical
/// Power Analysis, chapter 2).
double t_test_power(int64_t n, double effect, double alpha);

/// Chance of the verdict better or worse. Above kFewSeeds that is t_test_power; up to it all signs
/// must agree as well, and the chance is the share of 100 000 simulated experiments (standard error
/// at most 0.0016; equal input gives equal bits).
double verdict_power(int64_t n, double effect, double alpha);

constexpr int64_t kMaxSeeds = 100000;
/// The smallest n whose verdict_power is at least `power`; 0 when kMaxSeeds are not enough.
int64_t seeds_needed(double effect, double alpha, double power);

/// Upper confidence bound of a normal standard deviation: sd·sqrt((n - 1) / x), where x is the
/// (1 - confidence) quantile of chi-squared with n - 1 degrees of freedom. What a careful plan
/// takes in place of the sd of a small pilot (Browne 1995, Statistics in Medicine 14:1933).
double upper_sd(double sd, int64_t n, double confidence);

}  // namespace knlp::matrix
